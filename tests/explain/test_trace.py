"""explain(trace): the growth argument at the norms of a user's own model."""

from collections.abc import Callable
from functools import cache
from math import isnan, nan, sqrt

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from broken_networks import correlated, tied
from depthscale._explain.expected import expected
from depthscale._explain.explanation import Explanation, read_explanation
from depthscale._explain.forward_backward import record
from depthscale._explain.measured import measured
from depthscale._explain.verdict import Row, Unit, judge
from depthscale.errors import InvalidProbe
from depthscale.nets.draw import draw_input, output_gradient
from depthscale.nets.module import build
from depthscale.network.spec import NetSpec
from tolerances import within

SPEC = NetSpec(norm="batch", depth=6, width=256, batch=128)
SHARED_STEPS = {
    "product",
    "slope",
    "norm",
    "through_mean",
    "through_sigma",
    "sigma2",
    "spread",
    "inverse",
    "flatness",
    "slopes_independent",
    "z_independent",
    "layer",
}


def of_spec(
    spec: NetSpec,
    seed: int = 0,
    loss: str = "independent",
    weight: Callable[..., Tensor] | None = None,
) -> Explanation:
    """The network, input and cotangent of a seed as `explain growth` has them, probed as a model of
    one's own."""
    model = build(spec, seed)
    if weight is not None:
        linears = [module for module in model if isinstance(module, nn.Linear)]
        for layer, linear in enumerate(linears, start=1):
            linear.weight = nn.Parameter(weight(spec, seed, layer))

    def contracted(output: Tensor) -> Tensor:
        return (output * output_gradient(spec, seed, loss, output.detach())).sum()

    return ds.explain(ds.probe(model, draw_input(spec, seed), loss=contracted, norms=True))


@cache
def founding() -> Explanation:
    return of_spec(SPEC)


def failing(found: Explanation, step: str) -> list[str]:
    return [norm.name for norm in found.norms if norm[step].verdict == "fails"]


def test_the_rows_are_those_of_explain_growth_on_the_same_network() -> None:
    """Its tape holds every value and gradient by torch.autograd.grad; here they are read at the
    nodes of a probed module."""
    for norm, numbers in zip(
        founding().norms, measured(record(SPEC, 0, "independent")), strict=True
    ):
        assert set(numbers) >= SHARED_STEPS
        for step in SHARED_STEPS:
            assert norm[step].measured == pytest.approx(numbers[step], rel=2e-5, abs=2e-6), step


def test_theory_beside_them_is_that_of_the_description_up_to_the_weights_that_were_drawn() -> None:
    """The mean square of 256² weights has the relative standard error sqrt(2) / 256; a norm's
    numbers read two of them."""
    for norm, numbers in list(zip(founding().norms, expected(SPEC, "independent"), strict=True))[
        1:
    ]:
        for step in SHARED_STEPS:
            assert norm[step].predicted == pytest.approx(
                numbers[step], rel=4 * 2 / SPEC.width, abs=1e-6
            ), step


def test_on_the_founding_network_every_step_holds_and_a_sentence_says_so() -> None:
    (line,) = read_explanation(founding())
    assert line.startswith("Every step of the argument holds at all 6 norms")
    assert founding().networks == 1
    assert isnan(founding().norms[0]["norm"].stderr)


def test_the_first_norms_row_argues_from_its_own_sigma() -> None:
    row = founding()["4"]["norm"]
    assert row.argued == founding()["4"]["inverse"].measured
    assert founding()["4"]["slope"].argued == pytest.approx(0.5, abs=4 * 0.5 / sqrt(128 * 256))


def test_correlated_weights_break_the_matrix_product() -> None:
    found = of_spec(SPEC, weight=correlated)
    assert len(failing(found, "product")) >= 3
    assert any("the weights below do not multiply" in clause for clause in read_explanation(found))


def test_weights_that_come_back_make_slopes_know_their_gradient() -> None:
    found = of_spec(SPEC, weight=tied)
    assert failing(found, "slopes_independent")[:3] == ["1", "4", "7"]
    assert failing(found, "slope")[:3] == ["1", "4", "7"]


def test_a_batch_of_4_breaks_what_is_said_of_sigma() -> None:
    found = of_spec(NetSpec(norm="batch", depth=4, width=256, batch=4))
    for step in ("spread", "flatness", "through_mean", "through_sigma", "norm"):
        assert len(failing(found, step)) == 4
        assert "one σ is over 4 values" in found["4"][step].why
    assert not failing(found, "product")
    assert read_explanation(found)[0] == "Some step of the argument fails at all 4 norms:"


def test_a_loss_common_to_all_samples_breaks_the_top_norm_alone() -> None:
    """Of a gradient common to all samples ReLU leaves 1/2 along the ones and 1/pi along z."""
    found = of_spec(SPEC, loss="shared")
    assert failing(found, "through_mean") == failing(found, "through_sigma") == ["16"]
    assert found["16"]["through_mean"].measured == pytest.approx(0.5, abs=0.02)
    assert found["16"]["through_sigma"].measured == pytest.approx(1 / torch.pi, abs=0.02)
    assert (
        read_explanation(found)[0]
        == "Every step of the argument holds at 5 of 6 norms; elsewhere fails:"
    )
    assert any(
        clause.startswith("the term through the mean takes a share") and "at 16" in clause
        for clause in read_explanation(found)
    )


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.bn0 = nn.BatchNorm2d(32)
        self.conv = nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        nn.init.uniform_(self.bn1.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.bn0(self.stem(x)), inplace=True)
        return nn.functional.gelu(self.bn1(self.conv(x)))


def convolutional() -> tuple[nn.Module, Tensor]:
    return Convolutional(), torch.randn(16, 3, 16, 16)


def test_a_convolutional_network_has_every_step() -> None:
    found = ds.explain(convolutional)
    assert [norm.values for norm in found.norms] == [16 * 16 * 16, 16 * 8 * 8]
    assert all(
        row.verdict.startswith("holds")
        for row in found["bn1"].rows
        if row.step not in ("inverse", "flatness", "spread")
    )
    assert found["bn1"]["scale"].argued == pytest.approx(
        13 / 12, abs=4 * sqrt(0.0944 / 64)
    )  # of U(1/2, 3/2)
    assert all(norm.rest < 1e-9 for norm in found.norms)


def test_a_convolutions_argued_gain_counts_the_outputs_that_read_an_entry() -> None:
    """Independent weights: <|J^T g|²> = fan_out <w²>, by a float64 Monte Carlo over the convolution
    alone."""
    torch.manual_seed(0)
    gains = []
    for seed in range(20):
        conv = nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False, dtype=torch.float64)
        x = torch.zeros(1, 32, 16, 16, dtype=torch.float64, requires_grad=True)
        y = conv(x)
        cotangent = torch.randn(
            y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        (below,) = torch.autograd.grad(y, x, cotangent)
        gains.append(float(below.square().mean() / cotangent.square().mean()))
    found = torch.tensor(gains)
    within(
        ds.explain(convolutional)["bn1"]["product"].argued,
        float(found.mean()),
        float(found.std()) / sqrt(20) + 0.001,
    )


def test_a_transformers_layer_norms_have_shares_of_one_over_their_size() -> None:
    """Under independent cotangents at the last norm, <g>² and <z g>² are g² / 64 in the mean, each
    a chi-squared of one."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
    found = ds.explain(layer, torch.randn(8, 16, 64))
    assert [(norm.name, norm.op, norm.values) for norm in found.norms] == [
        ("norm1", "layer_norm", 64),
        ("norm2", "layer_norm", 64),
    ]
    for step in ("through_mean", "through_sigma"):
        within(found["norm2"][step].measured, 1 / 64, sqrt(2 / (8 * 16)) / 64)
    assert found["norm1"]["product"].verdict == "no such step"
    assert "no linear map" in found["norm1"]["product"].why
    assert found["norm1"]["z_independent"].verdict == "holds"
    assert not found.missing


def test_in_eval_mode_nothing_goes_through_statistics() -> None:
    model, x = convolutional()
    for _ in range(3):
        model(3 * x + 1)
    found = ds.explain(model, x, mode="eval")
    bn = model.bn1
    assert isinstance(bn, nn.BatchNorm2d)
    for step in ("through_mean", "through_sigma"):
        row = found["bn1"][step]
        assert (row.verdict, row.why) == (
            "no such step",
            "its statistics are constants, as in eval mode",
        )
    assert bn.running_var is not None
    variance = bn.running_var.double() + bn.eps
    assert found["bn1"]["sigma2"].measured == pytest.approx(float(variance.mean()), rel=1e-6)
    assert found["bn1"]["inverse"].measured == pytest.approx(float((1 / variance).mean()), rel=1e-6)
    assert found["bn1"].rest < 1e-9


def test_an_rms_norm_takes_no_mean_away() -> None:
    found = ds.explain(nn.Sequential(nn.Linear(32, 32), nn.RMSNorm(32)), torch.randn(8, 32))
    assert found["1"]["through_mean"].why == "RMS Norm takes no mean away"
    assert found["1"]["through_sigma"].measured > 0


def of_groups(groups: int) -> tuple[nn.Module, Tensor]:
    maps = [
        nn.Conv2d(16, 64, 3, padding=1, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
    ]
    for each in maps:
        nn.init.kaiming_normal_(each.weight)
    return nn.Sequential(maps[0], nn.GroupNorm(groups, 64), nn.ReLU(), maps[1]), torch.randn(
        8, 16, 16, 16
    )


def test_a_group_norm_over_channels_and_positions_takes_what_theory_says() -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(8):
        torch.manual_seed(seed)
        norm = ds.explain(*of_groups(4))["1"]
        for step in ("sigma2", "inverse", "through_mean", "through_sigma", "norm"):
            rows.setdefault(step, []).append((norm[step].predicted, norm[step].measured))
    for found in rows.values():
        predicted, measured = torch.tensor(found, dtype=torch.float64).T
        within(
            float(measured.mean()),
            float(predicted.mean()),
            float((measured - predicted).std()) / sqrt(8),
        )


@pytest.mark.parametrize("groups", [1, 8, 64])
def test_a_group_norm_of_any_size_is_explained(groups: int) -> None:
    assert ds.explain(*of_groups(groups))["1"]["norm"].verdict == "holds"


def test_several_networks_give_standard_errors() -> None:
    seen = [ds.explain(convolutional, seed=seed)["bn1"]["norm"].measured for seed in range(3)]
    row = ds.explain(convolutional, repeats=3)["bn1"]["norm"]
    values = torch.tensor(seen, dtype=torch.float64)
    assert row.measured == pytest.approx(float(values.mean()), rel=1e-12)
    assert row.stderr == pytest.approx(float(values.std()) / sqrt(3), rel=1e-9)


def test_what_cannot_be_explained_is_refused() -> None:
    model, x = convolutional()
    with pytest.raises(InvalidProbe, match="probe with norms=True"):
        ds.explain(ds.probe(model, x))
    with pytest.raises(
        InvalidProbe,
        match=r"Linear has no norm to explain: none of its operations is one of batch_norm",
    ):
        ds.explain(nn.Linear(4, 4), torch.randn(2, 4))
    with pytest.raises(InvalidProbe, match="no norm 'bn2' was explained; there is bn0, bn1"):
        ds.explain(model, x)["bn2"]
    with pytest.raises(InvalidProbe, match="explained as it is"):
        ds.explain(ds.probe(model, x, norms=True), x)


JUDGED = [
    ("factor", 2.0, nan, 2.03, nan, 1, "holds"),
    ("factor", 2.0, nan, 2.05, nan, 1, "holds up to 2.5 %"),
    ("factor", 2.0, 2.3, 2.3, nan, 1, "fails"),
    ("factor", 2.0, nan, 2.3, 0.12, 1000, "holds"),
    ("factor", 2.0, nan, 2.3, 0.05, 1000, "fails"),
    ("factor", 2.0, nan, 2.3, 0.3, 1000, "too few seeds"),
    ("share", 0.0, nan, 0.03, nan, 1, "holds up to 3.0 %"),
    ("correlation", 0.0, nan, -0.12, nan, 1, "fails"),
    ("factor", float("inf"), nan, 2.0, nan, 1, "fails"),
    ("factor", nan, nan, 2.0, nan, 1, "no formula"),
    ("factor", 2.0, 2.0, nan, nan, 1, "no such step"),
]


@pytest.mark.parametrize(
    ("unit", "argued", "predicted", "measured", "stderr", "networks", "verdict"), JUDGED
)
def test_the_verdict_is_that_of_argument_and_measurement(
    unit: Unit,
    argued: float,
    predicted: float,
    measured: float,
    stderr: float,
    networks: int,
    verdict: str,
) -> None:
    row = Row("", "", "", unit, None, argued, predicted, measured, stderr)
    assert judge(row, networks, str).verdict == verdict


class Deleted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kept, self.deleted = nn.LayerNorm(8), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.kept(x) + 0 * self.deleted(x)


def test_a_norm_that_gets_a_gradient_of_zeros_is_named_and_not_judged() -> None:
    found = ds.explain(Deleted(), torch.randn(4, 8))
    assert [norm.name for norm in found.norms] == ["kept"]
    assert found.without == ("deleted",)
