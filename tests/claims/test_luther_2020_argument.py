"""Luther 2020, the argument itself: what each term of Batch Norm's backward pass costs, measured
and in closed form."""

from functools import cache
from math import pi, sqrt

import numpy as np
import pytest

from depthscale._explain.argument import Argument, growth_argument
from depthscale._explain.verdict import Row
from depthscale.network.spec import NetSpec
from tolerances import agrees, within

SEEDS = 12
ORDER = 10 / 1024  # depth / width: what theory leaves out, relative


@cache
def argument(batch: int = 128, loss: str = "shared") -> Argument:
    spec = NetSpec(
        norm="batch", depth=10, width=1024, batch=batch, input_variance=0.5 if batch == 512 else 1.0
    )
    return growth_argument(spec, loss, SEEDS if batch == 128 else 4)


def bulk(step: str, batch: int = 128) -> tuple[float, float]:
    """Mean over layers 1..9, and its standard error from their spread."""
    values = np.array([row.measured for row in argument(batch).of(step)[:-1]])
    return float(values.mean()), float(values.std(ddof=1) / sqrt(len(values)))


def top(step: str, batch: int = 128) -> Row:
    return argument(batch).of(step)[-1]


def j(c: float) -> float:
    """The arc-cosine kernel, from its definition (Cho & Saul 2009)."""
    return float((np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi)


def slope(c: float) -> float:
    return float(1 - np.arccos(c) / np.pi)


@pytest.mark.parametrize(("batch", "printed"), [(128, "0.0039"), (512, "0.00098")])
def test_the_term_through_the_mean_takes_0_0039_of_the_gradient_over_128_inputs_0_00098_over_512(
    batch: int, printed: str
) -> None:
    expected = (1 - slope(-1 / (batch - 1))) / batch
    assert argument(batch).of("through_mean")[4].predicted == pytest.approx(expected, rel=1e-12)
    agrees(expected, printed)
    mean, stderr = bulk("through_mean", batch)
    within(mean, expected, stderr, bias=2 * ORDER * expected)


@pytest.mark.parametrize(("batch", "printed"), [(128, "0.0054"), (512, "0.00133")])
def test_the_term_through_sigma_takes_0_0054_over_128_inputs_and_0_00133_over_512(
    batch: int, printed: str
) -> None:
    expected = (1 - j(-1 / (batch - 1))) / batch
    assert argument(batch).of("through_sigma")[4].predicted == pytest.approx(expected, rel=1e-12)
    agrees(expected, printed)
    mean, stderr = bulk("through_sigma", batch)
    within(mean, expected, stderr, bias=2 * ORDER * expected)


@pytest.mark.parametrize("batch", [128, 512])
def test_in_the_top_layer_under_a_shared_loss_they_take_a_half_and_1_over_pi(batch: int) -> None:
    """J'(rho) + (1 - J'(rho)) / B and J(rho) + (1 - J(rho)) / B, which the limit makes 1/2 and
    1/pi."""
    rho = -1 / (batch - 1)
    for step, kernel, limit in (("through_mean", slope, 1 / 2), ("through_sigma", j, 1 / pi)):
        row = top(step, batch)
        assert row.predicted == pytest.approx(kernel(rho) + (1 - kernel(rho)) / batch, rel=1e-12)
        assert row.predicted == pytest.approx(limit, abs=1 / batch)
        within(row.measured, row.predicted, row.stderr, bias=ORDER * row.predicted)
        assert row.verdict == "fails"


def test_twin_cotangents_of_their_own_leave_the_top_layer_1_over_b_each() -> None:
    found = argument(loss="independent")
    for step in ("through_mean", "through_sigma"):
        row = found.of(step)[-1]
        within(row.measured, 1 / 128, row.stderr)
        with pytest.raises(AssertionError):
            within(row.measured, top(step).predicted, row.stderr, bias=ORDER)


def test_sigma2_is_2_at_first_and_then_0_68026() -> None:
    rows = argument().of("sigma2")
    agrees(rows[0].predicted, "1.984")
    for row in rows[1:]:
        agrees(row.predicted, "0.68026")
    for row in rows:
        within(row.measured, row.predicted, row.stderr, bias=0.003)


def test_the_mean_of_1_over_sigma2_is_1_49354_and_not_1_2() -> None:
    """Published as 1.2, which is the root of it; E 1/sigma^2 E sigma^2 = (B - 1) / (B - 3) exactly,
    times 1 + O(1 / width)."""
    rows = argument().of("inverse")[1:]
    for row, flat in zip(rows, argument().of("flatness")[1:], strict=True):
        agrees(row.predicted, "1.49354")
        assert flat.predicted == pytest.approx(127 / 125, rel=1e-12)
        within(row.measured, row.predicted, row.stderr, bias=ORDER * row.predicted)
        within(flat.measured, flat.predicted, flat.stderr, bias=ORDER)


def test_twin_the_published_mean_of_1_over_sigma2_is_not_measured() -> None:
    row = argument().of("inverse")[4]
    with pytest.raises(AssertionError):
        within(row.measured, 1.2, row.stderr, bias=ORDER * 1.2)


def test_sigma_varies_by_an_eighth_between_neurons() -> None:
    """sqrt(2 / (B - 1)) = .1255 in an infinitely wide network; .094 / .68 = .138 to .144 at width
    1024, plus O(B / width)."""
    rows = argument().of("spread")
    agrees(sqrt(rows[0].predicted), "0.1255")
    for row in rows:
        assert 0.1255 < sqrt(row.measured) < 0.15


def test_without_a_norm_the_variance_over_the_batch_falls_as_2_times_1_minus_c() -> None:
    c = 0.0
    for row in argument().of("vanilla_variance"):
        expected = 2 * (1 - c) * (1 - 1 / 128)
        assert row.predicted == pytest.approx(expected, rel=1e-10)
        within(row.measured, expected, row.stderr, bias=ORDER * expected)
        c = j(c)


def test_gradients_do_not_know_the_forward_pass() -> None:
    """The independence that the argument needs, tested: no correlation of squares, of slopes, or of
    z itself."""
    for step in ("slopes_independent", "squares_independent", "z_independent"):
        for row in argument().of(step):
            within(row.measured, 0.0, row.stderr, k=5, bias=1e-6)


def test_the_steps_multiply_up_to_the_rate() -> None:
    """2 times 1/2 times (1/sigma^2)(1 - shares) is the layer's factor, on every network exactly."""
    found = argument()
    for product, half, norm, layer in zip(
        *(found.of(s) for s in ("product", "slope", "norm", "layer")), strict=True
    ):
        assert product.predicted * half.predicted * norm.predicted == pytest.approx(
            layer.predicted, rel=1e-12
        )
    row = found.of("rate")[0]
    agrees(row.predicted, "1.47968")
    within(row.measured, row.predicted, row.stderr, bias=0.01 * 0.48)
    assert row.verdict == "holds"
