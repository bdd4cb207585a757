"""Verdicts that users and testers found wrong once."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthscale._diagnose import assert_propagation, diagnose
from depthscale._probe import probe
from depthscale.errors import PropagationFailed, UnreliableGrowth
from depthscale.measure import Analysis, compare, growth
from depthscale.measure.laws import Factor, Power, fit_power, law_of
from depthscale.measure.wording import growth_in_words
from depthscale.theory import predict, predict_run
from known_networks import he, mlp, turning


def rules(model: nn.Module, inputs: Tensor, **asked: Any) -> set[str]:
    torch.manual_seed(0)
    found = diagnose(probe(model, inputs, **asked))
    return {each.rule for each in found if each.severity != "info"}


class ZeroBranches(nn.Module):
    """Residual blocks whose last Batch Norm begins at gamma = 0."""

    def __init__(self, zero: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        norms = [nn.BatchNorm1d(32) for _ in range(6)]
        for norm in norms:
            nn.init.constant_(norm.weight, 0.0 if zero else 1.0)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), norm) for norm in norms)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


def test_a_branch_that_begins_at_zero_deletes_no_gradient() -> None:
    assert rules(ZeroBranches(), torch.randn(16, 32)) == set()


def test_a_zero_on_every_path_learns_first_unless_another_follows() -> None:
    """The last layer's own gradient is not 0; of two zeros in a row neither gets any."""
    body, first, second = nn.Linear(16, 16), nn.Linear(16, 16, False), nn.Linear(16, 4, False)
    nn.init.zeros_(second.weight)
    x = torch.randn(8, 16)
    assert rules(nn.Sequential(body, nn.ReLU(), first, second), x) == set()
    nn.init.zeros_(first.weight)
    assert rules(nn.Sequential(body, nn.ReLU(), first, second), x) == {"gradient-deleted"}


@pytest.mark.parametrize("width", [16, 64, 100, 128, 1000])
def test_untouched_running_statistics_are_known_at_any_width(width: int) -> None:
    model = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width)).eval()
    trace = probe(model, torch.randn(8, width))
    assert "eval-mode-untrained" in {found.rule for found in diagnose(trace)}
    assert predict_run(trace).stops == ()


class Recurrent(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head = nn.RNNCell(8, 64), nn.Linear(64, 3)
        nn.init.orthogonal_(self.cell.weight_hh, gain)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 64)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.head(h)


def test_a_recurrent_cell_that_reads_an_input_at_every_step_has_a_rate() -> None:
    """A small orthogonal map of gain .6: .36 a step in mean square, less what tanh takes."""
    trace = probe(
        Recurrent(0.6), 0.1 * torch.randn(16, 30, 8, generator=torch.Generator().manual_seed(0))
    )
    found = growth(trace)
    assert found is not None
    assert found.step == "use of cell"
    assert 0.28 < found.rate < 0.37
    assert "gradient-vanishes" in {
        finding.rule for finding in diagnose(trace) if finding.severity == "error"
    }


class Tower(nn.Module):
    """A side branch of growing gradients beside a skip: nothing that every path crosses repeats."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.side = nn.ModuleList(nn.Linear(32 + k, 33 + k, bias=False) for k in range(16))
        for layer in self.side:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=(gain / layer.in_features) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.side:
            y = torch.relu(layer(y))
        return torch.cat([x, y], -1)


def test_an_explosion_without_a_rate_is_told_by_its_size() -> None:
    assert rules(Tower(2.0), torch.randn(16, 32)) == set()
    assert "gradient-explodes" in rules(Tower(12.0), torch.randn(16, 32))


def test_one_number_a_sample_is_no_collapse() -> None:
    assert (
        rules(
            nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1), nn.Tanh()),
            torch.randn(32, 64),
        )
        == set()
    )


class Reciprocal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        return 4 / nn.functional.softplus(self.first(x)) + (2 - x)


def test_a_number_over_a_tensor_is_not_the_tensor_over_the_number() -> None:
    found = predict_run(probe(Reciprocal(), torch.randn(8, 32)))
    assert any("rdiv" in why for _, why in found.stops)


def test_what_all_samples_share_is_not_predicted() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places, self.out = (
                nn.Embedding(50, 64),
                nn.Embedding(16, 64),
                nn.Linear(64, 8),
            )

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(self.tokens(ids) + self.places(torch.arange(ids.shape[1])))

    trace = probe(Positions(), torch.randint(0, 50, (8, 16)))
    found = predict_run(trace)
    assert found.stops == ()
    assert (
        found.ops[trace["places"].id].log2_gradient_ms
        != found.ops[trace["places"].id].log2_gradient_ms
    )
    assert found.ops[trace["tokens"].id].log2_gradient_ms == pytest.approx(
        trace["tokens"].log2_gradient_ms, abs=0.3
    )


def test_a_prediction_along_operations_has_the_rate_of_its_steps() -> None:
    """torch draws weights of variance 1 / (3 width), and a ReLU keeps half: 1/6 a step."""
    model = nn.Sequential(*(part for _ in range(6) for part in (nn.Linear(32, 32), nn.ReLU())))
    trace = probe(model, torch.randn(8, 32))
    rate = growth(predict(trace))
    assert (rate.step, rate.steps, rate.stderr) == ("linear-relu", 4, 0)
    assert rate.rate == pytest.approx(Analysis.of(trace).predicted_rate)
    assert rate.rate == pytest.approx(1 / 6, rel=0.15)


def test_only_operations_of_one_kind_are_compared() -> None:
    x = torch.randn(8, 32)
    normed = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.Linear(32, 32))
    plain = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    found = compare(probe(normed, x), probe(plain, x))
    assert found.rows == ("0", "2")
    assert (found.second.only_first, found.second.only_this) == (("1",), ("1",))


def normed(depth: int, batch: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    parts = (
        part for _ in range(depth) for part in (nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU())
    )
    return nn.Sequential(*parts), torch.randn(batch, 32)


def test_an_empty_batch_is_the_only_finding_and_no_rate() -> None:
    trace = probe(*normed(12, 0))
    (found,) = diagnose(trace).findings
    assert (found.rule, found.severity) == ("nothing-measured", "error")
    assert "give inputs with at least one sample" in found.advice
    with pytest.raises(
        UnreliableGrowth, match="the batch is empty, 0 samples went in; give inputs"
    ):
        assert_propagation(trace)


@pytest.mark.parametrize("batch", [2, 3])
def test_two_or_three_samples_under_a_batch_norm_have_no_rate_and_no_theory(batch: int) -> None:
    trace = probe(*normed(12, batch))
    found = diagnose(trace)
    assert [each.rule for each in found if each.severity != "info"] == ["batch-too-small"]
    assert not any(each.rule == "theory-differs" for each in found)
    assert found.predicted_rate != found.predicted_rate
    assert f"{batch} values a channel" in found.verdict
    with pytest.raises(UnreliableGrowth, match="whose mean is infinite; it takes 4 values or more"):
        growth(trace)
    assert growth(trace, "activation") is not None
    assert growth(probe(*normed(12, 4))) is not None
    assert growth(probe(*normed(12, batch), mode="eval")) is not None


def test_one_such_norm_outside_the_steps_leaves_them_their_rate() -> None:
    """A pooled branch's norm sees a value a sample, the norms of the bulk many."""
    torch.manual_seed(0)
    bulk = [
        part for _ in range(8) for part in (nn.Conv1d(16, 16, 1), nn.BatchNorm1d(16), nn.ReLU())
    ]
    trace = probe(
        nn.Sequential(*bulk, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.BatchNorm1d(16)),
        torch.randn(3, 16, 64),
    )
    assert growth(trace) is not None
    (found,) = [each for each in diagnose(trace) if each.rule == "batch-too-small"]
    assert found.severity == "info"


def test_a_depth_that_turns_is_said_in_words_and_fails_an_assertion() -> None:
    torch.manual_seed(0)
    trace = probe(*turning(4.0, 1.0))
    found = growth(trace)
    assert found is not None
    assert 0.8 < found.rate < 1.25, "no mean rate would tell"
    assert growth_in_words(found).startswith("turns: explodes x1.4")
    diagnosis = diagnose(trace)
    (finding,) = diagnosis.matching(("gradient-mixed-growth",))
    assert "from module 1 to module 29 they explode, x1.4" in finding.says
    assert "from module 29 to module 57 they vanish, 1/1.4" in finding.says
    assert "at both ends they may look healthy" in diagnosis.verdict
    with pytest.raises(PropagationFailed, match=r"turns: .* above max_rate=1\.05 in one part"):
        assert_propagation(trace)
    with pytest.raises(PropagationFailed, match=r"below min_rate=0\.95 in one part"):
        assert_propagation(trace, max_rate=None, min_rate=0.95)
    assert_propagation(trace, max_rate=2.2, min_rate=0.4)


def test_two_rates_of_one_direction_are_no_power_of_depth() -> None:
    """20 layers whose gradients double, then 10 that lose 15 %: 374-fold in RMS, once excused as
    depth^9."""
    torch.manual_seed(0)
    assert "gradient-explodes" in rules(*turning(4.0, 4.0, 1.7, depth=10))


def test_a_signal_that_levels_off_is_said_so() -> None:
    """torch's default biases hold the signal up from some depth on."""
    torch.manual_seed(0)
    found = diagnose(probe(*mlp(30, nn.ReLU, layer=nn.Linear)))
    (finding,) = found.matching(("activation-shrinks",))
    assert finding.severity == "info"
    assert "over the 7 steps next to the input and are steady beyond" in finding.says
    assert finding.evidence["law"] == "transient"
    assert finding.evidence["law_evidence"] > 16


class Graph(nn.Module):
    """Rounds of message passing over 60 nodes of some 6 neighbours: sums or means, by an index or
    by a matrix."""

    def __init__(self, by: str, mean: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(he(64, 64), nn.ReLU()) for _ in range(12))
        self.by, (self.sender, self.receiver) = by, torch.randint(0, 60, (2, 360))
        sums = torch.eye(60).index_put((self.receiver, self.sender), torch.tensor(1.0))
        self.matrix = nn.Buffer(sums / sums.sum(1, keepdim=True) if mean else sums)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            h = layer(x)
            if self.by == "matrix":
                h = self.matrix @ h
            elif self.by == "sparse":
                h = torch.sparse.mm(self.matrix.to_sparse(), h)
            elif self.by == "index":
                h = h.index_add(0, self.receiver, h[self.sender])
            x = h
        return x


def advice(model: nn.Module) -> dict[str, str]:
    found = diagnose(probe(model, torch.randn(60, 64, generator=torch.Generator().manual_seed(0))))
    assert not any(each.rule == "theory-differs" for each in found), (
        "theory knows no mixing of samples"
    )
    return {each.rule: each.advice for each in found if each.severity != "info"}


@pytest.mark.parametrize("by", ["matrix", "sparse", "index"])
def test_sums_over_neighbours_get_advice_for_graphs(by: str) -> None:
    assert "rounds of message passing" in advice(Graph(by, mean=False))["gradient-explodes"]


@pytest.mark.parametrize("by", ["matrix", "sparse"])
def test_means_over_neighbours_are_called_over_smoothing(by: str) -> None:
    assert "over-smoothing" in advice(Graph(by, mean=True))["samples-collapse"]


def test_networks_without_neighbours_get_none_of_it() -> None:
    assert advice(Graph("none", mean=True)) == {}
    collapsed = advice(mlp(40, nn.Tanh, width=64, sigma_w2=1.0, sigma_b2=0.3)[0])
    assert "critical line" in collapsed["samples-collapse"]


def test_an_exponent_that_no_residual_network_has_is_no_power_of_depth() -> None:
    """Steps that follow depth^37 exactly are a constant factor with a little slope; depth^3 is a
    bottleneck's."""
    position = np.arange(1.0, 7.0)
    wiggle = 1e-3 * np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    steep, usual = (p * np.log((position + 17) / (position + 16)) + wiggle for p in (-37.0, -3.0))
    fitted = fit_power(steep, position)
    assert fitted is not None
    assert fitted.exponent == pytest.approx(-37, rel=0.05)
    assert fitted.evidence > 6
    assert isinstance(law_of(steep, position), Factor)
    law = law_of(usual, position)
    assert isinstance(law, Power)
    assert law.exponent == pytest.approx(-3, rel=0.05)


class OverTime(nn.Module):
    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 32)
        for step in x.unbind(1):
            if isinstance(self.cell, nn.LSTMCell):
                h, c = self.cell(step, (h, c))
            else:
                h = self.cell(step, h)
        return h


def advised(cell: Any, bias: slice | None) -> nn.Module:
    """What the advice says: orthogonal blocks, and a bias of 2 for the gate that keeps the past."""
    for block in cell.weight_hh.data.split(32):
        nn.init.orthogonal_(block)
    if bias is not None:
        cell.bias_hh.data[bias] = 2.0
    return cell


@pytest.mark.parametrize(
    ("kind", "bias"),
    [(nn.RNNCell, None), (nn.GRUCell, slice(32, 64)), (nn.LSTMCell, slice(32, 64))],
)
def test_recurrent_cells_get_advice_that_helps_them(kind: Any, bias: slice | None) -> None:
    """Bits that the gradient's mean square loses in a step: at most half of them are left."""
    torch.manual_seed(0)
    x = torch.randn(8, 30, 16)
    before = probe(OverTime(kind(16, 32)), x)
    (found,) = diagnose(before).matching(("gradient-vanishes",))
    assert "orthogonal_" in found.advice
    assert "skip connections" not in found.advice
    after = growth(probe(OverTime(advised(kind(16, 32), bias)), x))
    lost = growth(before)
    assert after is not None
    assert lost is not None
    assert -after.change < -lost.change / 2


def test_half_the_units_are_idle_by_chance_in_a_batch_of_one() -> None:
    """2^-batch of them: no finding in a healthy network, one where all of a layer's are."""
    silent = 0
    for seed in range(20):
        torch.manual_seed(seed)
        maps = [nn.Linear(64, 64) for _ in range(8)]
        for each in maps:
            nn.init.kaiming_normal_(each.weight)
        model = nn.Sequential(*(part for each in maps for part in (each, nn.ReLU())))
        silent += all(
            found.rule != "dead-units"
            for found in diagnose(probe(model, torch.randn(1, 64))).findings
        )
        with torch.no_grad():
            maps[3].weight.mul_(1e-3)
            maps[3].bias.fill_(-1.0)
            maps[3].bias[0] = 1.0
        assert any(
            found.rule == "dead-units"
            for found in diagnose(probe(model, torch.randn(1, 64))).findings
        )
    assert silent == 20
