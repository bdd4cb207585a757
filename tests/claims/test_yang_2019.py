"""Yang et al. 2019 (arXiv:1902.08129), "A Mean Field Theory of Batch Normalization": its numbers for ReLU and linear."""

from math import inf

import pytest

from depthscale.measure import growth
from depthscale.numerics.moments import arc_cosine, arc_cosine_slope
from depthscale.spec import NetSpec
from depthscale.theory import predict
from tolerances import agrees

TABLE = """
4   3.08406 2       4.81636 .38053
8   1.78819 1.2     2.13372 .28497
16  1.58995 1.07692 1.72300 .27280
64  1.49306 1.01639 1.52146 .26774
128 1.47968 1.00800 1.49354 .26711
512 1.47007 1.00196 1.47347 .26667
inf 1.46694 1       1.46694 .26653
"""
ROWS = [line.split() for line in TABLE.split("\n") if line]


def network(batch: str, **changes: str) -> NetSpec:
    return NetSpec(norm="batch", batch=inf if batch == "inf" else int(batch), **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("batch", "relu", "linear", "frozen", "top"), ROWS)
def test_the_rates_over_finite_batches_are_the_tables(batch: str, relu: str, linear: str, frozen: str, top: str) -> None:
    agrees(growth(predict(network(batch))).rate, relu)
    agrees(growth(predict(network(batch, activation="linear"))).rate, linear)
    agrees(growth(predict(network(batch, statistics="frozen"))).rate, frozen)
    agrees(predict(network(batch), loss="shared").gradient.mean_square[9], f"0{top}")


@pytest.mark.parametrize("batch", [4, 5, 7, 33, 1000])
def test_theorem_8_in_its_other_form_gives_the_same_rate(batch: int) -> None:
    """[(B - 1 + J')/(1 - J) - 1] / (B - 3), at rho = -1/(B - 1)."""
    j, slope = arc_cosine(-1 / (batch - 1)), arc_cosine_slope(-1 / (batch - 1))
    expected = ((batch - 1 + slope) / (1 - j) - 1) / (batch - 3)
    assert growth(predict(network(str(batch)))).rate == pytest.approx(expected, rel=1e-12)


def test_twin_a_batch_of_one_more_has_another_rate() -> None:
    with pytest.raises(AssertionError):
        agrees(growth(predict(network("9"))).rate, "1.78819")


def test_a_linear_network_explodes_least_of_all() -> None:
    for batch in (4, 8, 64):
        assert growth(predict(network(str(batch), activation="linear"))).rate < growth(predict(network(str(batch)))).rate
        assert growth(predict(network(str(batch), activation="linear"))).rate == pytest.approx((batch - 2) / (batch - 3))


@pytest.mark.parametrize(("eps", "rate"), [(0.1, 1.46694), (0.5, 1.46694), (0.8, 1.25), (1.0, 1.0), (1.5, 0.66667)])
def test_the_transition_lies_at_eps_1(eps: float, rate: float) -> None:
    """Below eps = .68 the rate is unchanged; above it the signal collapses and the rate is 1 / eps."""
    deep = predict(NetSpec(norm="batch", batch=inf, eps=eps, depth=400)).gradient.log2_mean_square
    assert 2 ** (deep[300] - deep[301]) == pytest.approx(rate, abs=5e-6)
