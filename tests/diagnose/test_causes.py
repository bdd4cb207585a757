"""Who does it: the branch that does nothing, the one odd layer, the kind of operation, the layer
where the signal ends."""

import re
from math import log2

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from depthscale._diagnose.route import route_to
from depthscale.measure.analysis import Analysis
from known_networks import (
    BATCH,
    KNOWN,
    WIDTH,
    Beside,
    Made,
    beside,
    he,
    layer_norm,
    mlp,
    one_layer,
    silent,
)


def found(made: Made, rule: str, **probing) -> ds.Finding:
    (finding,) = ds.diagnose(ds.probe(*made, **probing)).matching((rule,))
    return finding


def rules(made: Made) -> set[str]:
    return {finding.rule for finding in ds.diagnose(ds.probe(*made))}


# ---- branches


def test_a_branch_that_does_nothing_is_named_with_its_weights() -> None:
    torch.manual_seed(0)
    finding = found(beside(0.03), "branch-vanishes")
    assert finding.severity == "warn"
    assert finding.where.startswith("branch.")
    assert "branch." in finding.says
    assert finding.evidence["fan_in_variance"] == pytest.approx(2 * 0.03**2, rel=0.05)
    assert finding.evidence["fan_in_variance_elsewhere"] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_a_branch_that_is_merely_weaker_is_none(factor: float) -> None:
    torch.manual_seed(0)
    assert not {rule for rule in rules(beside(factor)) if rule.startswith("branch")}


class Rank(nn.Module):
    """A low-rank addition whose second factor begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = he(WIDTH, 4), he(4, WIDTH)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Gain(nn.Module):
    """A branch times a number that begins at 0 (SkipInit)."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.layers = nn.Parameter(torch.zeros(())), mlp(3, nn.ReLU)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)


def zero_gamma() -> nn.Module:
    norm = nn.BatchNorm1d(WIDTH)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(*mlp(3, nn.ReLU)[0], norm)


class Gated(nn.Module):
    """A branch times what a layer that begins at 0 makes of the input (adaLN-zero)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.layers = nn.Linear(WIDTH, WIDTH), mlp(3, nn.ReLU)[0]
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x) * self.layers(x)


def rank_in_zero_gamma() -> nn.Module:
    return nn.Sequential(Beside(Rank()), zero_gamma())


@pytest.mark.parametrize("branch", [Rank, Gain, zero_gamma, Gated, rank_in_zero_gamma])
def test_branches_that_begin_at_zero_are_at_most_a_remark(branch) -> None:
    torch.manual_seed(0)
    diagnosis = ds.diagnose(ds.probe(Beside(branch()), torch.randn(BATCH, WIDTH)))
    assert diagnosis.healthy, diagnosis
    assert all(each.severity == "info" for each in diagnosis.matching(("branch",)))


def test_only_weights_of_zero_begin_at_zero() -> None:
    """What lies behind them has no signal either, but is not why."""
    torch.manual_seed(0)
    branch = nn.Sequential(he(WIDTH, WIDTH), he(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False))
    nn.init.zeros_(branch[1].weight)  # type: ignore[arg-type]
    finding = found((Beside(branch), torch.randn(BATCH, WIDTH)), "branch-begins-at-zero")
    assert (finding.where, finding.evidence["zeros"], finding.evidence["operations"]) == (
        "branch.1",
        1,
        1,
    )


def test_zeros_behind_zeros_never_train() -> None:
    """Autograd gives every parameter of this branch exactly 0, and so for good."""
    torch.manual_seed(0)
    branch = nn.Sequential(Rank(), zero_gamma())
    network, x = Beside(branch), torch.randn(BATCH, WIDTH)
    assert found((network, x), "branch-vanishes").severity == "warn"
    network(x).square().sum().backward()
    assert all(
        not p.grad.any()
        for name, p in branch.named_parameters()
        if p.grad is not None and name != "1.6.bias"
    )


# ---- one odd step


@pytest.mark.parametrize(
    ("factor", "verb"), [(100.0, "grows"), (1000.0, "grows"), (0.01, "shrinks"), (1e-4, "shrinks")]
)
@pytest.mark.parametrize("which", [3, 10])
def test_one_odd_layer_is_found_with_its_fold_and_its_weights(
    factor: float, verb: str, which: int
) -> None:
    torch.manual_seed(1)
    finding = found(one_layer(20, which, factor), "gradient")
    assert finding.rule == "gradient-jumps"
    assert finding.where == f"{2 * which}"
    assert verb in finding.says
    assert finding.evidence["log2_step"] == pytest.approx(2 * log2(factor), abs=1.5)
    assert finding.evidence["fan_in_variance"] == pytest.approx(2 * factor**2, rel=0.03)
    assert ", those of the others 2 in the median" in finding.says
    assert f"module {2 * which}" in finding.headline


@pytest.mark.parametrize(
    ("which", "factor", "severity"), [(0, 0.01, "warn"), (19, 200.0, "warn"), (19, 0.005, "info")]
)
def test_the_first_and_the_last_layer_may_be_odd_too(
    which: int, factor: float, severity: str
) -> None:
    """A last layer that begins small is usual, as in policies and in classifiers."""
    torch.manual_seed(0)
    finding = found(one_layer(20, which, factor), "gradient-jumps")
    assert (finding.where, finding.severity) == (f"{2 * which}", severity)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_layer_of_another_width_is_not_odd(width: int, seed: int) -> None:
    """1 to 256 multiplies the gradient's mean square by about 256, as such weights must."""
    torch.manual_seed(seed)
    network = nn.Sequential(he(width, WIDTH), nn.ReLU(), *mlp(12, nn.ReLU)[0], nn.Linear(WIDTH, 10))
    assert "gradient-jumps" not in rules((network, torch.randn(BATCH, width)))


@pytest.mark.parametrize("which", [0, 7, 19])
@pytest.mark.parametrize("factor", [0.005, 200.0])
def test_weights_whose_size_a_norm_takes_back_are_not_odd(which: int, factor: float) -> None:
    torch.manual_seed(0)
    assert "gradient-jumps" not in rules(one_layer(20, which, factor, layer_norm, nn.ReLU))


def test_steps_that_all_differ_have_no_odd_one() -> None:
    torch.manual_seed(0)
    network, x = mlp(13, nn.ReLU)
    for k, part in enumerate(part for part in network.children() if isinstance(part, nn.Linear)):
        part.weight.data.mul_(2.0 ** ((5 * k) % 13 - 6))
    assert "gradient-jumps" not in rules((network, x))


def test_an_odd_second_layer_is_no_plateau() -> None:
    """The shrinking next to the input is the same cause, and not said again."""
    torch.manual_seed(0)
    found_rules = rules(one_layer(20, 1, 0.01))
    assert "gradient-jumps" in found_rules
    assert not found_rules & {"gradient-shrinks", "activation-shrinks"}


class Times(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 8


def test_of_an_odd_step_the_operation_that_differs_from_its_kind_is_named() -> None:
    """Every step multiplies by 8 after weights of an eighth, which is even; in one of them the
    weights are 16 times as large."""
    torch.manual_seed(0)
    network, x = mlp(12, nn.ReLU, Times)
    for name, part in network.named_children():
        if isinstance(part, nn.Linear):
            part.weight.data.mul_(2.0 if name == "15" else 0.125)
    finding = found((network, x), "gradient-jumps")
    assert finding.where == "15"
    assert finding.evidence["log2_step"] == pytest.approx(8, abs=1)


def test_one_odd_layer_among_few_is_found() -> None:
    torch.manual_seed(0)
    finding = found(one_layer(6, 3, 0.005), "gradient")
    assert (finding.rule, finding.where) == ("gradient-jumps", "6")


def test_over_many_networks_a_jump_is_no_rate() -> None:
    """Their mean step is known well, and no step but one changes the gradient."""
    trace = ds.probe(lambda: one_layer(20, 10, 1000.0), repeats=6)
    assert [
        each.rule
        for each in ds.diagnose(trace).findings
        if each.rule.startswith(("gradient-", "activation-"))
    ][:1] == ["gradient-jumps"]
    assert not ds.diagnose(trace).matching(
        ("gradient-explodes", "gradient-vanishes", "gradient-grows")
    )


def test_a_jump_in_a_network_that_explodes_hides_nothing() -> None:
    def both() -> Made:
        network, x = mlp(20, nn.ReLU, sigma_w2=4.0)
        network[20].weight.data *= 1000  # type: ignore[union-attr, operator]
        return network, x

    found_rules = {each.rule for each in ds.diagnose(ds.probe(both, repeats=4)).findings}
    assert {"gradient-jumps", "gradient-explodes"} <= found_rules


def uneven() -> Made:
    """Layers of which each changes the gradient by another factor."""
    torch.manual_seed(0)
    network, x = mlp(6, nn.ReLU)
    for k, factor in ((2, 0.1), (4, 20.0), (6, 0.2), (8, 10.0)):
        network[k].weight.data *= factor  # type: ignore[union-attr, operator]
    return network, x


def test_a_rate_that_allows_harm_gets_no_verdict() -> None:
    verdict = ds.diagnose(ds.probe(*uneven())).verdict
    assert verdict.startswith("not known whether the gradient survives")
    assert "networks (repeats=" in verdict
    assert "nothing wrong" not in verdict


def test_as_many_networks_as_are_said_would_tell() -> None:
    def made() -> Made:
        return mlp(24, nn.ReLU, width=32)

    one = ds.diagnose(ds.probe(made, seed=5)).verdict
    assert one.startswith("not known")
    (said,) = re.findall(r"repeats=(\d+)", one)
    many = ds.diagnose(ds.probe(made, repeats=int(said), seed=5))
    assert many.healthy
    assert many.verdict.startswith("nothing wrong")


def test_networks_that_are_all_the_same_are_told() -> None:
    for trace in (ds.probe(uneven, repeats=3), ds.probe(*uneven(), repeats=3)):
        assert (
            "all 3 repeats are of one network (a model, or a function that seeds itself)"
            in ds.diagnose(trace).verdict
        )


@pytest.mark.slow
def test_steady_networks_do_not_jump() -> None:
    for seed in range(100):
        trace = ds.probe(lambda: mlp(12, nn.ReLU, width=16, batch=4), seed=seed)
        assert not ds.diagnose(trace).matching(("gradient-jumps",)), seed


# ---- a whole change without a rate


def small_unet(std: float) -> Made:
    torch.manual_seed(0)
    network, x = beside(1.0)
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
    return network, x


def test_a_vanishing_gradient_without_a_rate_names_the_kind_and_the_worst_operations() -> None:
    finding = found(small_unet(0.002), "gradient-vanishes")
    assert "linear does it: the 4 on the way multiply the norm by 1/10^" in finding.says
    assert "fan_in x variance 0.0010" in finding.says, "256 x 0.002^2"
    assert ", by linear (most at " in finding.headline
    assert "2^" not in finding.says
    assert "variance of 2 / fan_in" in finding.advice
    assert finding.evidence["log2_change"] > 23


def test_one_layer_that_does_it_alone_is_named_with_its_weights() -> None:
    torch.manual_seed(0)
    finding = found(one_layer(4, 2, 1e-4), "gradient-vanishes")
    assert finding.where == "4"
    assert "module 4 (linear) alone multiplies the norm by 1/10^" in finding.says
    assert "by module 4 alone" in finding.headline
    assert "the others 2 in the median" in finding.says


def test_a_route_adds_up_to_what_was_measured() -> None:
    """From the sketches at both ends, apart from the edges that the parts are read from."""
    trace = ds.probe(*KNOWN["pre-LN residual"].make())
    route = route_to(Analysis(trace), trace.ops[0])
    norm2 = [op.log2_gradient_ms + log2(op.size) for op in (trace.ops[0], trace.ops[-1])]
    assert sum(part for _, part in route.parts) == pytest.approx(norm2[0] - norm2[1], abs=1e-4)
    assert route.change == pytest.approx(norm2[0] - norm2[1], abs=1e-4)
    assert sum(part for _, part, _ in route.kinds) == pytest.approx(route.change, abs=1e-9)


# ---- where the signal ends


@pytest.mark.parametrize("layer", [he, nn.Linear])
def test_a_dead_layer_is_one_finding_at_its_root(layer) -> None:
    """With biases of 0 every layer above it is silent too; with others they are not, and no
    gradient passes either way."""
    torch.manual_seed(0)
    network, _ = silent(20, 10)
    for name, part in network.named_children():
        if layer is nn.Linear and isinstance(part, nn.Linear) and name != "20":
            nn.init.normal_(part.bias, 0.0, 0.3)
    diagnosis = ds.diagnose(ds.probe(network, torch.randn(BATCH, WIDTH)))
    worst = [each for each in diagnosis if each.severity != "info"]
    assert [(each.rule, each.where) for each in worst] == [("gradient-deleted", "21")]
    assert diagnosis.verdict.startswith(
        "module 21: no gradient passes relu: its output is 0 for every sample"
    )
    assert ("none passes module 39 either" in diagnosis.verdict) == (layer is he)
    assert "biases" in worst[0].advice


def test_weights_of_zero_on_every_path_are_named() -> None:
    network, x = mlp(4, nn.ReLU)
    nn.init.zeros_(network[4].weight)  # type: ignore[arg-type]
    finding = found((network, x), "gradient-deleted")
    assert finding.where == "4"
    assert "as 4.weight is" in finding.says


def test_where_nothing_is_left_no_other_finding_says_so_again() -> None:
    made = KNOWN["a loss that the last BN deletes"]
    diagnosis = ds.diagnose(ds.probe(made.make, **made.probing))
    assert [each.rule for each in diagnosis if each.severity != "info"] == ["gradient-deleted"]
