"""Every rule speaks where it should and is silent beside it; every threshold is one that a rule
reads."""

from collections.abc import Callable
from dataclasses import fields, replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import depthscale as ds
from depthscale._diagnose import RULE_NAMES as RULES
from depthscale._diagnose.finding import Severity
from depthscale.measure.analysis import Analysis
from known_networks import (
    KNOWN,
    WIDTH,
    LogInside,
    Made,
    RootInside,
    batch_norm,
    beside,
    dead,
    he,
    mlp,
    one_layer,
    torch_default,
    turning,
)


def rules(make: Callable[[], Made], **probing) -> dict[str, ds.Finding]:
    return {finding.rule: finding for finding in ds.diagnose(ds.probe(make, **probing))}


class Sequence(nn.Module):
    """Every position becomes the mean of all, `mixed` of the way, in each of 12 layers."""

    def __init__(self, mixed: float):
        super().__init__()
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(12):
            x = torch.tanh(x + self.mixed * (x.mean(1, keepdim=True) - x))
        return x


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x.masked_fill(torch.ones(x.shape[-2:]).triu(1) > 0, -inf), -1)


def scaled(factor: float) -> Made:
    network, x = mlp(2, nn.ReLU)
    return network, x * factor


def half_trained(training: bool) -> Made:
    network, x = mlp(2, batch_norm, nn.ReLU)
    network[1].train(training)
    return network, x


def trained_once(made: Made) -> Made:
    """Statistics that were taken once."""
    made[0](made[1])
    return made


FIRES: list[
    tuple[str, Callable[[], dict[str, ds.Finding]], Callable[[], dict[str, ds.Finding]]]
] = [
    (
        "gradient-explodes",
        lambda: rules(KNOWN["batch norm, 40 layers, batch 128"].make),
        lambda: rules(lambda: mlp(40, nn.ReLU)),
    ),
    (
        "gradient-vanishes",
        lambda: rules(lambda: torch_default(20)),
        lambda: rules(lambda: mlp(20, nn.ReLU)),
    ),
    (
        "gradient-grows",
        lambda: rules(KNOWN["selu, LeCun"].make),
        lambda: rules(lambda: mlp(40, nn.ReLU)),
    ),
    (
        "gradient-shrinks",
        lambda: rules(KNOWN["tanh, critical"].make),
        lambda: rules(lambda: mlp(40, nn.ReLU)),
    ),
    (
        "activation-explodes",
        lambda: rules(lambda: one_way(2.0)),
        lambda: rules(lambda: one_way(1.0)),
    ),
    (
        "activation-vanishes",
        lambda: rules(lambda: one_way(0.5)),
        lambda: rules(lambda: one_way(1.0)),
    ),
    ("activation-grows", lambda: rules(lambda: one_way(1.05)), lambda: rules(lambda: one_way(1.0))),
    (
        "activation-shrinks",
        lambda: rules(lambda: one_way(0.95)),
        lambda: rules(lambda: one_way(1.0)),
    ),
    (
        "gradient-mixed-growth",
        lambda: rules(lambda: turning(4.0, 1.0)),
        lambda: rules(lambda: turning(4.0, 4.0)),
    ),
    (
        "activation-mixed-growth",
        lambda: rules(lambda: two_ways(1.5, 1 / 1.5)),
        lambda: rules(lambda: two_ways(1.5, 1.5)),
    ),
    ("theory-differs", lambda: rules(lambda: aligned(0.5)), lambda: rules(lambda: aligned(0.0))),
    ("dead-units", lambda: rules(lambda: dead(4)), lambda: rules(lambda: mlp(4, nn.ReLU))),
    (
        "saturated-units",
        lambda: rules(lambda: mlp(4, nn.Tanh, sigma_w2=100.0)),
        lambda: rules(lambda: mlp(4, nn.Tanh, sigma_w2=1.0)),
    ),
    (
        "samples-collapse",
        lambda: rules(lambda: torch_default(12)),
        lambda: rules(lambda: mlp(12, nn.ReLU)),
    ),
    ("positions-collapse", lambda: sequence(0.9), lambda: sequence(0.0)),
    (
        "rank-collapse",
        lambda: rules(lambda: mlp(400, lambda: nn.RMSNorm(16), width=16, sigma_w2=1.0)),
        lambda: rules(lambda: mlp(4, nn.Tanh, sigma_w2=1.0)),
    ),
    (
        "activation-not-finite",
        lambda: rules(lambda: (LogInside(), torch.randn(4, WIDTH))),
        lambda: rules(masked),
    ),
    (
        "gradient-not-finite",
        lambda: rules(lambda: (RootInside(), torch.randn(4, WIDTH))),
        lambda: rules(masked),
    ),
    (
        "gradient-deleted",
        lambda: rules(lambda: mlp(3, nn.ReLU, batch_norm), loss="shared"),
        lambda: rules(lambda: mlp(3, nn.ReLU, batch_norm)),
    ),
    ("branch-vanishes", lambda: rules(lambda: beside(0.03)), lambda: rules(lambda: beside(1.0))),
    (
        "branch-begins-at-zero",
        lambda: rules(lambda: beside(1.0, last=0.0)),
        lambda: rules(lambda: beside(1.0, last=0.1)),
    ),
    (
        "gradient-jumps",
        lambda: rules(lambda: one_layer(20, 10, 100.0)),
        lambda: rules(lambda: one_layer(20, 10, 2.0)),
    ),
    (
        "gradient-cut",
        lambda: rules(lambda: cut_in_two(True)),
        lambda: rules(lambda: cut_in_two(False)),
    ),
    ("parameter-unregistered", lambda: listed(list), lambda: listed(nn.ModuleList)),
    ("parameters-unused", lambda: half_used(False), lambda: half_used(True)),
    ("parameter-not-optimized", lambda: optimized(4), lambda: optimized(0)),
    ("first-step-scrambles", lambda: stepped("sgd", lr=30.0), lambda: stepped("sgd", lr=1e-6)),
    ("first-step-turns", lambda: stepped("sgd", lr=1e-6), lambda: stepped("sgd", lr=30.0)),
    ("first-step-not-taken", lambda: stepped("lbfgs"), lambda: stepped("sgd", lr=1e-6)),
    ("activation-near-overflow", lambda: near_the_limit(20), lambda: near_the_limit(1)),
    (
        "loss-input",
        lambda: judged(nn.Softmax(-1), F.cross_entropy),
        lambda: judged(nn.LogSoftmax(-1), F.cross_entropy),
    ),
    (
        "logits-large",
        lambda: judged(Times(30.0), F.cross_entropy),
        lambda: judged(Times(1.0), F.cross_entropy),
    ),
    (
        "labels-odd",
        lambda: judged(Times(1.0), F.cross_entropy, equal=True),
        lambda: judged(Times(1.0), F.cross_entropy),
    ),
    (
        "targets-scale",
        lambda: judged(Times(1.0), F.mse_loss, target=1000.0),
        lambda: judged(Times(1.0), F.mse_loss, target=3.0),
    ),
    ("one-position", lambda: rules(lambda: token(False)), lambda: rules(lambda: token(True))),
    (
        "loss-shapes",
        lambda: judged(Last(), F.mse_loss, target=1.0),
        lambda: judged(Times(1.0), F.mse_loss, target=1.0),
    ),
    (
        "softmax-over-samples",
        lambda: rules(lambda: (nn.Softmax(0), torch.randn(32, WIDTH))),
        lambda: rules(lambda: (nn.Softmax(1), torch.randn(32, WIDTH))),
    ),
    ("softmax-one-hot", lambda: attention(30.0), lambda: attention(1.0)),
    ("softmax-flat", lambda: attention(1e-4), lambda: attention(0.1)),
    (
        "inputs-scale",
        lambda: rules(lambda: scaled(127.0)),
        lambda: rules(lambda: scaled(5.0)),
    ),
    ("branch-inert", lambda: rules(lambda: inert(1e-6)), lambda: rules(lambda: inert(0.1))),
    ("layers-equal", lambda: encoder(copies=True), lambda: encoder(copies=False)),
    (
        "inputs-equal",
        lambda: rules(lambda: (mlp(3, nn.ReLU)[0], torch.randn(1, WIDTH).expand(8, WIDTH))),
        lambda: rules(lambda: (mlp(3, nn.ReLU)[0], torch.randn(8, WIDTH))),
    ),
    (
        "gradient-underflows-float16",
        lambda: rules(lambda: torch_default(20)),
        lambda: rules(lambda: mlp(20, nn.ReLU)),
    ),
    (
        "gradient-overflows-float16",
        lambda: rules(KNOWN["batch norm, 100 layers, batch 8"].make),
        lambda: rules(lambda: mlp(12, nn.ReLU)),
    ),
    (
        "activation-underflows-float16",
        lambda: rules(lambda: scaled(1e-8)),
        lambda: rules(lambda: scaled(1.0)),
    ),
    (
        "activation-overflows-float16",
        lambda: rules(lambda: scaled(1e6)),
        lambda: rules(lambda: scaled(1.0)),
    ),
    ("activation-overflows-bfloat16", lambda: overflown(), lambda: rules(lambda: scaled(1e6))),
    (
        "nothing-measured",
        lambda: rules(lambda: mlp(6, nn.ReLU, batch=0)),
        lambda: rules(lambda: mlp(6, nn.ReLU, batch=1)),
    ),
    (
        "batch-too-small",
        lambda: rules(lambda: mlp(6, batch_norm, nn.ReLU, batch=3)),
        lambda: rules(lambda: mlp(6, batch_norm, nn.ReLU, batch=4)),
    ),
    (
        "norm-over-one-value",
        lambda: rules(lambda: mlp(4, lambda: nn.GroupNorm(WIDTH, WIDTH), nn.ReLU)),
        lambda: rules(lambda: mlp(4, lambda: nn.GroupNorm(8, WIDTH), nn.ReLU)),
    ),
    (
        "eval-mode-untrained",
        lambda: rules(lambda: mlp(2, batch_norm, nn.ReLU), mode="eval"),
        lambda: rules(lambda: trained_once(mlp(2, batch_norm, nn.ReLU)), mode="eval"),
    ),
    (
        "mixed-modes",
        lambda: rules(lambda: half_trained(False)),
        lambda: rules(lambda: half_trained(True)),
    ),
]


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Token(nn.Module):
    """The first position is read, behind attention over positions, or over the samples."""

    def __init__(self, batch_first: bool):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=batch_first)
        self.head = he(WIDTH, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.head(y[:, 0])


def token(batch_first: bool) -> Made:
    return Token(batch_first), torch.randn(16, 12, WIDTH)


class Last(nn.Module):
    """The first of several outputs, with an axis of its own that no target has."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., None, :1]


def judged(
    last: nn.Module, loss: Callable[..., Tensor], equal: bool = False, target: float = 0.0
) -> dict[str, ds.Finding]:
    """A classifier, or a regression for a target of some size, whose loss is given."""
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(he(WIDTH, WIDTH), nn.ReLU(), he(WIDTH, 20), last),
        torch.randn(32, WIDTH),
    )
    labels = torch.zeros(32, dtype=torch.long) if equal else torch.arange(32) % 20
    wanted = torch.randn(32, 20) * target if target else labels
    return rules(lambda: (model, x), loss=lambda out: loss(out, wanted))


class Attention(nn.Module):
    def __init__(self, scale: float):
        super().__init__()
        self.maps, self.scale = nn.ModuleList(he(WIDTH, WIDTH, 1.0) for _ in range(3)), scale

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x) for each in self.maps)
        return F.scaled_dot_product_attention(q, k, v, scale=self.scale * WIDTH**-0.5)


def attention(scale: float) -> dict[str, ds.Finding]:
    return rules(lambda: (Attention(scale), torch.randn(4, 16, WIDTH)))


class Listed(nn.Module):
    def __init__(self, container: Callable[..., Any]):
        super().__init__()
        self.layers = container(he(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return x


class Halves(nn.Module):
    """Two layers, of which one may lead nowhere."""

    def __init__(self, used: bool):
        super().__init__()
        self.first, self.second, self.used = he(WIDTH, WIDTH), he(WIDTH, WIDTH), used

    def forward(self, x: Tensor) -> Tensor:
        h, other = self.first(x), self.second(x)
        return h + other if self.used else h


def half_used(used: bool) -> dict[str, ds.Finding]:
    return rules(lambda: (Halves(used), torch.randn(8, WIDTH)))


def listed(container: Callable[..., Any]) -> dict[str, ds.Finding]:
    return rules(lambda: (Listed(container), torch.randn(8, WIDTH)))


def optimized(left_out: int) -> dict[str, ds.Finding]:
    network, x = mlp(6, nn.ReLU)
    optimizer = torch.optim.SGD(list(network.parameters())[left_out:], 0.1)
    return {each.rule: each for each in ds.diagnose(ds.probe(network, x, optimizer=optimizer))}


def stepped(name: str, **settings: float) -> dict[str, ds.Finding]:
    network, x = KNOWN["batch norm, 40 layers, batch 128"].make()
    kinds = {"sgd": torch.optim.SGD, "lbfgs": torch.optim.LBFGS}
    optimizer = kinds[name](network.parameters(), **settings)
    run = ds.probe(network, x, loss=lambda y: y.sin().mean(), optimizer=optimizer)
    return {each.rule: each for each in ds.diagnose(run)}


class Scaled(nn.Module):
    """A residual branch behind a learnt scale."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((WIDTH,), scale))
        self.inside = nn.Sequential(nn.LayerNorm(WIDTH), he(WIDTH, WIDTH), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.inside(x)


def inert(scale: float) -> Made:
    return nn.Sequential(*(Scaled(scale) for _ in range(6))), torch.randn(16, WIDTH)


def encoder(copies: bool) -> dict[str, ds.Finding]:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
    net = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    for each in () if copies else net.modules():
        if isinstance(each, nn.Linear):
            each.reset_parameters()
        elif isinstance(each, nn.MultiheadAttention):
            each._reset_parameters()
    return {each.rule: each for each in ds.diagnose(ds.probe(net, torch.randn(4, 8, 32)))}


def near_the_limit(scale: float) -> dict[str, ds.Finding]:
    network = nn.Sequential(nn.Linear(WIDTH, WIDTH), Times(scale), nn.LayerNorm(WIDTH)).half()
    return rules(lambda: (network, torch.full((4, WIDTH), 1000.0).half()))


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def cut_in_two(cut: bool) -> Made:
    network, x = mlp(4, nn.ReLU)
    return network.insert(4, Detached() if cut else nn.Identity()), x


def overflown() -> dict[str, ds.Finding]:
    network, x = mlp(2, nn.ReLU)
    return rules(lambda: (network.double(), x.double() * 1e39))


def masked() -> Made:
    return nn.Sequential(he(8, 8), Masked()), torch.randn(2, 8, 8)


def sequence(mixed: float) -> dict[str, ds.Finding]:
    return rules(lambda: (Sequence(mixed), torch.randn(4, 6, 32)))


class Straight(torch.autograd.Function):
    """x -> gain x, with the gradient of the identity: signals grow, gradients do not."""

    @staticmethod
    def forward(ctx, x: Tensor, gain: float) -> Tensor:
        return x * gain

    @staticmethod
    def backward(ctx, *gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[0], None


class Amplifier(nn.Module):
    def __init__(self, gain: float):
        super().__init__()
        self.gain, self.fc = gain, he(64, 64, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return Straight.apply(self.fc(x), self.gain)  # type: ignore[return-value]


def one_way(gain: float) -> Made:
    return nn.Sequential(*(Amplifier(gain) for _ in range(30))), torch.randn(16, 64)


def two_ways(first: float, then: float) -> Made:
    return nn.Sequential(*(Amplifier(gain) for gain in [first] * 15 + [then] * 15)), torch.randn(
        16, 64
    )


def aligned(share: float) -> Made:
    """Layers that share a part of their weights with the identity: independent weights of the same
    size would do less."""
    network, x = mlp(12, nn.ReLU)
    for weight in (each for name, each in network.named_parameters() if name.endswith("weight")):
        weight.data.mul_((1 - share) ** 0.5).add_((2 * share) ** 0.5 * torch.eye(WIDTH))
    return network, x


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(("rule", "where", "beside"), FIRES, ids=[rule for rule, _, _ in FIRES])
def test_a_rule_speaks_where_it_should_and_is_silent_beside(rule: str, where, beside) -> None:
    found = where()
    assert rule in found
    assert rule not in beside()
    finding = found[rule]
    assert finding.says
    assert finding.severity in ("info", "warn", "error")
    assert finding.evidence


def test_every_rule_that_a_user_may_name_is_tested() -> None:
    assert {
        rule for rule in RULES if not any(name.startswith(rule) for name, _, _ in FIRES)
    } == set()
    assert all(any(name.startswith(rule) for rule in RULES) for name, _, _ in FIRES)


@pytest.mark.parametrize("name", [f.name for f in fields(ds.Thresholds)])
def test_every_threshold_is_read_and_says_its_unit_and_reason(name: str) -> None:
    sources = [path.read_text() for path in Path(ds.__file__).parent.rglob("*.py")]
    assert any(
        f"{owner}.{name}" in s for s in sources for owner in ("thresholds", "limits", "self")
    )
    meta = next(f.metadata for f in fields(ds.Thresholds) if f.name == name)
    assert meta["unit"]
    assert meta["why"]


def test_thresholds_move_the_verdict() -> None:
    trace = ds.probe(KNOWN["batch norm, 20 layers, batch 128"].make)
    assert ds.diagnose(trace).findings[0].severity == "warn"
    assert ds.diagnose(trace, ds.Thresholds(error_change=500)).findings[0].severity == "error"
    assert ds.diagnose(trace, ds.Thresholds(warn_change=1e5)).findings[0].severity == "info"
    assert ds.diagnose(trace, ds.Thresholds(z_score=1e9)).healthy


def test_findings_come_worst_first_and_are_matched_by_rule_beginning_and_severity() -> None:
    named: tuple[tuple[str, Severity], ...] = (
        ("gradient-explodes", "error"),
        ("dead-units", "warn"),
        ("mixed-modes", "info"),
    )
    found = ds.Diagnosis(
        tuple(ds.Finding(rule, severity, "a", "x") for rule, severity in named), ""
    )
    assert [f.rule for f in found.matching(("gradient",))] == ["gradient-explodes"]
    assert [f.rule for f in found.matching(("warn",))] == ["gradient-explodes", "dead-units"]
    assert len(found.matching(("info",))) == 3
    assert [f.rule for f in found.matching(("mixed-modes", "error"))] == [
        "gradient-explodes",
        "mixed-modes",
    ]
    assert found.matching(("activation",)) == ()
    assert not found.healthy
    severities = [f.severity for f in ds.diagnose(ds.probe(KNOWN["samples collapse"].make))]
    assert severities == sorted(severities, key=["error", "warn", "info"].index)


def test_the_parts_of_the_operations_add_up_from_end_to_end() -> None:
    """backward and forward parts, each along the gradient's paths: what the mean squares change by
    between the network's ends."""
    trace = ds.probe(KNOWN["post-LN residual"].make)
    account = ds.ledger(trace)
    first, last = trace.ops[0], trace.ops[-1]
    assert sum(e.backward for e in account.entries) == pytest.approx(
        first.log2_gradient_ms - last.log2_gradient_ms, abs=1e-6
    )
    assert sum(e.forward for e in account.entries) == pytest.approx(
        last.log2_activation_ms - first.log2_activation_ms, abs=1e-6
    )
    adds = [e for e in account.entries if trace.ops[e.id].op == "add"]
    assert all(abs(e.resize - 1) < 1e-9 for e in adds), "an addition hands on twice as many values"


class Wide(nn.Module):
    """x + W relu(V x), four times as wide inside."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = he(64, 256), he(256, 64)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(x)))


def test_widths_inside_a_branch_cancel_in_the_parts() -> None:
    trace = ds.probe(nn.Sequential(*(Wide() for _ in range(4))), torch.randn(16, 64))
    account = ds.ledger(trace)
    change = trace.ops[0].log2_gradient_ms - trace.ops[-1].log2_gradient_ms
    assert sum(e.backward for e in account.entries) == pytest.approx(change, abs=1e-6)
    assert account.total_log2_norm2 == pytest.approx(
        sum(e.contribution for e in account.entries), abs=1e-6
    )


def test_where_nan_first_appears_is_followed_back_to_its_origin() -> None:
    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(x * 1000.0) - torch.exp(x * 1000.0)

    (finding,) = [
        f
        for f in ds.diagnose(ds.probe(Late(), torch.ones(2, 4)))
        if f.rule == "activation-not-finite"
    ]
    assert finding.where == "exp", "infinity minus infinity is NaN, but exp made the infinities"
    network, x = mlp(2, nn.ReLU)
    x[0, 0] = nan
    (finding,) = [f for f in ds.diagnose(ds.probe(network, x)) if f.rule == "activation-not-finite"]
    assert finding.where == "input"
    assert "the input holds them" in finding.says
    network, x = mlp(2, nn.ReLU)
    network[2].weight.data[0, 0] = nan  # type: ignore[index]
    (finding,) = [f for f in ds.diagnose(ds.probe(network, x)) if f.rule == "activation-not-finite"]
    assert "parameter" in finding.says


def test_values_that_leave_their_type_are_told_from_divisions() -> None:
    """A map that multiplies by 300 in two layers of float16, and 1 / 0."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(3))).half()
    for layer in network:
        layer.weight.data = torch.eye(8).half() * 300  # type: ignore[union-attr]
    (finding,) = [
        f
        for f in ds.diagnose(ds.probe(network, torch.ones(4, 8).half())).findings
        if f.rule == "activation-not-finite"
    ]
    says = "they passed 65,504, the largest number of float16; its inputs reach 300"
    assert (finding.where, says in finding.says) == ("1", True)
    assert "wider range" in finding.advice

    class Divides(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1 / (x * 0)

    (finding,) = [
        f
        for f in ds.diagnose(ds.probe(Divides(), torch.ones(4, 8))).findings
        if f.rule == "activation-not-finite"
    ]
    assert "it divides by 0" in finding.says
    assert "divides by" in finding.advice


def test_samples_around_the_middle_of_a_sigmoid_have_not_collapsed() -> None:
    torch.manual_seed(0)
    network, x = (
        nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Sigmoid()),
        torch.randn(32, WIDTH),
    )
    for p in network[2].parameters():
        p.data *= 0.1
    assert float(torch.corrcoef(network(x).detach()).mean()) < 0.9
    assert "samples-collapse" not in rules(lambda: (network, x))


def test_a_case_without_any_depth_is_said_plainly() -> None:
    trace = ds.probe(mlp(1)[0], torch.randn(4, WIDTH))
    assert Analysis(trace).bulk == ()
    assert ds.diagnose(trace).verdict.startswith("nothing wrong was found; nothing repeats")
    with pytest.raises(TypeError, match="diagnose takes a Run"):
        ds.diagnose(replace(ds.Thresholds()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phi", "asked"),
    [
        (nn.ReLU, "a variance of 2 / fan_in, as relu asks for (torch.nn.init.normal_ with std="),
        (nn.Tanh, "depthscale phase --activation tanh"),
        (None, "a variance of 1 / fan_in"),
    ],
)
def test_weights_of_a_wrong_size_get_advice_for_their_activation(
    phi: type[nn.Module] | None, asked: str
) -> None:
    found = rules(lambda: mlp(20, *([phi] if phi else []), sigma_w2=0.3))["gradient-vanishes"]
    assert asked in found.advice
