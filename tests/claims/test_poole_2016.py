"""Poole et al. 2016 (arXiv:1606.05340), "Exponential expressivity in deep neural networks through
transient chaos": its maps."""

from math import exp, pi, sinh, sqrt

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from depthscale.numerics.closed_forms import arc_cosine
from depthscale.theory.classical.maps import c_map, chi_1, chi_c, q_map
from depthscale.theory.classical.point import classical
from tolerances import agrees


def iterated(activation: str, sigma_w2: float, sigma_b2: float, layers: int) -> tuple[float, float]:
    """Variance and correlation after many layers, from 1 and .5, by the maps alone."""
    q, c = 1.0, 0.5
    for _ in range(layers):
        q = q_map(activation, q, sigma_w2, sigma_b2).value
    for _ in range(layers):
        c = c_map(activation, c, q, sigma_w2, sigma_b2).value
    return q, c


@pytest.mark.parametrize(
    ("activation", "sigma_w2", "sigma_b2", "q_star"),
    [
        ("tanh", 1.0, 0.05, ".19359"),
        ("tanh", 1.5, 0.05, ".41804"),
        ("tanh", 1.7603, 0.05, ".56965"),
        ("tanh", 1.76096, 0.05, ".57005"),
        ("erf", 1.0, 0.05, ".28843"),
        ("relu", 1.8, 0.1, "1.00000"),
        ("gelu", 2.0, 0.1, ".34083"),
    ],
)
def test_the_variance_of_tanh_at_1_and_05_settles_at_19359_and_six_others_as_printed(
    activation: str, sigma_w2: float, sigma_b2: float, q_star: str
) -> None:
    agrees(
        classical(activation, sigma_w2, sigma_b2).q_star.value,
        q_star if q_star[0] != "." else f"0{q_star}",
    )


def test_twin_another_bias_has_another_q_star() -> None:
    with pytest.raises(AssertionError):
        agrees(classical("tanh", 1.0, 0.0501).q_star.value, "0.19359")


@pytest.mark.parametrize("c", [-0.9, 0.0, 0.4, 0.99])
def test_relu_maps_correlations_by_the_arc_cosine_kernel_and_1_over_pi_for_0(c: float) -> None:
    assert c_map("relu", c, 0.7, 2.0, 0.0).value == pytest.approx(arc_cosine(c), rel=1e-14)
    assert c_map("relu", 0.0, 0.7, 2.0, 0.0).value == pytest.approx(1 / pi, rel=1e-14)
    assert c_map("relu", 1.0, 0.7, 2.0, 0.0).value == 1.0


def test_twin_with_biases_relu_maps_0_to_more_than_1_over_pi() -> None:
    with pytest.raises(AssertionError):
        assert c_map("relu", 0.0, 0.7, 2.0, 0.1).value == pytest.approx(1 / pi, rel=1e-3)


@pytest.mark.parametrize(("q", "c"), [(0.3, 0.2), (2.0, 0.9)])
def test_erf_sin_and_leaky_relu_have_their_closed_maps(q: float, c: float) -> None:
    assert c_map("sin", c, q, 1.0, 0.0).value == pytest.approx(
        exp(-q) * sinh(q * c) / ((1 - exp(-2 * q)) / 2), rel=1e-12
    )
    assert chi_1("erf", q, 1.0).value == pytest.approx(4 / pi / sqrt(1 + 4 * q), rel=1e-12)
    assert chi_c("erf", c, q, 1.0).value == pytest.approx(
        4 / pi / sqrt((1 + 2 * q) ** 2 - 4 * (q * c) ** 2), rel=1e-12
    )
    assert q_map("leaky_relu(0.2)", q, 1.5, 0.1).value == pytest.approx(
        1.5 * 1.04 * q / 2 + 0.1, rel=1e-12
    )
    assert chi_1("leaky_relu(0.2)", q, 1.5).value == pytest.approx(1.5 * 1.04 / 2, rel=1e-12)


def test_the_c_map_of_tanh_at_3_and_05_is_a_double_integral_over_the_plane() -> None:
    """By another library, in cartesian coordinates."""
    q, c = 1.42801, 0.3
    law = multivariate_normal(cov=[[q, q * c], [q * c, q]])  # pyright: ignore[reportArgumentType]
    grid = np.linspace(-9, 9, 721)
    u, v = np.meshgrid(grid, grid)
    total = (
        float(np.sum(np.tanh(u) * np.tanh(v) * law.pdf(np.dstack([u, v]))))
        * (grid[1] - grid[0]) ** 2
    )
    square = quad(lambda x: np.tanh(x) ** 2 * np.exp(-(x**2) / 2 / q) / sqrt(2 * pi * q), -9, 9)[0]
    assert c_map("tanh", c, q, 3.0, 0.05).value == pytest.approx(
        (3 * total + 0.05) / (3 * square + 0.05), rel=1e-9
    )


def test_tanh_at_3_and_05_is_chaotic_and_forgets_down_to_a_correlation_of_0_2993() -> None:
    found = classical("tanh", 3.0, 0.05)
    q, c = iterated("tanh", 3.0, 0.05, 300)
    assert found.phase == "chaotic"
    assert found.q_star.value == pytest.approx(q, rel=1e-12)
    assert found.c_star.value == pytest.approx(c, abs=1e-12)


def test_twin_the_ordered_tanh_forgets_nothing_but_the_difference() -> None:
    assert classical("tanh", 1.0, 0.05).c_star.value == 1.0
    with pytest.raises(AssertionError):
        assert classical("tanh", 1.0, 0.05).c_star.value == pytest.approx(0.2993, abs=1e-3)
