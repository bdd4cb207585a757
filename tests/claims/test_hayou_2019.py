"""Hayou et al. 2019 (arXiv:1902.06853), "On the Impact of the Activation Function on Deep Neural
Networks Training": critical lines.
"""

from math import pi, sqrt

import pytest

from depthscale.theory.classical.critical import critical_line
from depthscale.theory.classical.point import classical
from tolerances import agrees

LINES = [
    ("tanh", 0.2236, "1.3270"),
    ("tanh", 0.2, "1.3041"),
    ("tanh", 0.3, "1.3956"),
    ("erf", 0.2, "1.1528"),
    ("erf", 0.3, "1.2337"),
    ("elu", 0.2, "1.2293"),
    ("gelu", 0.2, "1.5470"),
    ("gelu", 0.3, "1.4505"),
    ("silu", 0.2, "1.6795"),
    ("silu", 0.3, "1.5756"),
]


def sigma_w(activation: str, sigma_b: float) -> float:
    (point,) = critical_line(activation, sigma_b**2)
    return sqrt(point.sigma_w2.value)


@pytest.mark.parametrize(("activation", "sigma_b", "printed"), LINES)
def test_tanh_is_critical_at_1_3041_for_biases_of_0_2_and_nine_others_as_printed(
    activation: str, sigma_b: float, printed: str
) -> None:
    agrees(sigma_w(activation, sigma_b), printed)


@pytest.mark.parametrize(("activation", "quoted"), [("tanh", 1.302), ("elu", 1.227)])
def test_the_papers_1_302_and_1_227_lie_within_0_2_percent(activation: str, quoted: float) -> None:
    assert sigma_w(activation, 0.2) == pytest.approx(quoted, rel=0.002)


def test_twin_variances_taken_for_standard_deviations_miss_1_3041() -> None:
    (point,) = critical_line("tanh", 0.2)
    with pytest.raises(AssertionError):
        agrees(sqrt(point.sigma_w2.value), "1.3041")


def test_the_gelu_point_at_0_2_has_q_0_576_and_is_not_where_depth_leads() -> None:
    (point,) = critical_line("gelu", 0.04)
    agrees(point.q_star, "0.576")
    assert not point.stable
    (tanh,) = critical_line("tanh", 0.04)
    assert tanh.stable


@pytest.mark.parametrize(
    ("activation", "sigma_w2"), [("relu", 2.0), ("leaky_relu(0.2)", 2 / 1.04), ("linear", 1.0)]
)
def test_relu_is_critical_only_at_2_and_0(activation: str, sigma_w2: float) -> None:
    (point,) = critical_line(activation, 0.0)
    assert point.sigma_w2.value == pytest.approx(sigma_w2, rel=1e-14)
    assert critical_line(activation, 0.01) == ()
    assert classical(activation, sigma_w2, 0.0).phase == "critical"


@pytest.mark.parametrize(
    ("activation", "sigma_w"), [("tanh", 1.0), ("erf", sqrt(pi) / 2), ("sin", 1.0)]
)
def test_without_biases_tanh_is_critical_at_1_and_erf_at_0_8862(
    activation: str, sigma_w: float
) -> None:
    (point,) = critical_line(activation, 0.0)
    assert sqrt(point.sigma_w2.value) == pytest.approx(sigma_w, rel=1e-12)
    assert point.q_star == 0.0


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
@pytest.mark.parametrize("sigma_b2", [0.0, 0.1, 1.0])
def test_sigmoid_and_softplus_have_no_critical_point_of_variance_below_10(
    activation: str, sigma_b2: float
) -> None:
    assert all(point.q_star > 10 for point in critical_line(activation, sigma_b2))


def test_tanh_with_biases_of_05_is_critical_at_1_76095() -> None:
    (point,) = critical_line("tanh", 0.05)
    agrees(point.sigma_w2.value, "1.76095")  # by scipy's quad and brentq: 1.76095464
    agrees(point.q_star, "0.57005")
