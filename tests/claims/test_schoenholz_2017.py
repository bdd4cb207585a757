"""Schoenholz et al. 2017 (arXiv:1611.01232), "Deep Information Propagation": slopes, depth scales
and trainable depths."""

from math import inf

import numpy as np
import pytest

from depthscale.network.activations import activation
from depthscale.theory.classical.maps import c_map, q_map
from depthscale.theory.classical.point import batch_norm_trainable_depth, classical
from depthscale.theory.corrections.relaxation import relaxation
from tolerances import agrees, within

TABLE = """
tanh 1.0    .05 0.75903 0.56428 1.748 3.627
tanh 1.5    .05 0.93864 0.55198 1.683 15.79
tanh 1.7603 .05 0.99986 0.51827 1.521 -
erf  1.0    .05 0.86759 0.55021 1.674 7.041
relu 1.8    .1  0.90000 0.90000 9.491 9.491
gelu 2.0    .1  0.75635 0.83677 5.611 3.581
"""
ROWS = [tuple(line.split()) for line in TABLE.split("\n") if line]


@pytest.mark.parametrize(("name", "sigma_w2", "sigma_b2", "chi_1", "chi_q", "xi_q", "xi_c"), ROWS)
def test_slopes_and_depth_scales_of_six_networks_are_as_printed_15_79_layers_for_tanh_at_1_5(
    name: str, sigma_w2: str, sigma_b2: str, chi_1: str, chi_q: str, xi_q: str, xi_c: str
) -> None:
    found = classical(name, float(sigma_w2), float(sigma_b2))
    agrees(found.chi_1.value, chi_1)
    agrees(found.chi_c.value, chi_1)
    agrees(found.chi_q.value, chi_q)
    agrees(found.xi_q.value, xi_q)
    assert (found.c_star.value, found.phase) == (1.0, "ordered")
    if xi_c != "-":
        agrees(found.xi_c.value, xi_c)


def test_near_the_critical_line_tanh_remembers_for_7000_layers() -> None:
    assert classical("tanh", 1.7603, 0.05).xi_c.value == pytest.approx(7e3, rel=0.05)


def test_twin_one_percent_off_the_critical_weights_it_is_150_layers() -> None:
    with pytest.raises(AssertionError):
        assert classical("tanh", 1.7603 * 0.99, 0.05).xi_c.value == pytest.approx(7e3, rel=0.05)


@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(1.5, 0.05), (3.0, 0.05)])
def test_distances_from_the_fixed_points_shrink_by_chi_q_and_chi_c_per_layer(
    sigma_w2: float, sigma_b2: float
) -> None:
    found = classical("tanh", sigma_w2, sigma_b2)
    q, c = found.q_star.value, found.c_star.value
    off_q, off_c = q * 1.0001, c - 1e-4
    moved_q = q_map("tanh", off_q, sigma_w2, sigma_b2).value
    moved_c = c_map("tanh", off_c, q, sigma_w2, sigma_b2).value
    assert (moved_q - q) / (off_q - q) == pytest.approx(found.chi_q.value, rel=1e-3)
    assert (moved_c - c) / (off_c - c) == pytest.approx(found.chi_c.value, rel=1e-3)


def test_networks_are_trainable_to_6_xi_c_which_is_95_layers_for_tanh_at_1_5() -> None:
    agrees(classical("tanh", 1.5, 0.05).trainable_depth, "95")
    assert classical("relu", 2.0, 0.0).trainable_depth == inf


def test_batch_norm_networks_are_trainable_to_16_over_log_rate_which_is_41_8_layers_for_relu() -> (
    None
):
    agrees(batch_norm_trainable_depth(1.46694), "41.8")
    agrees(batch_norm_trainable_depth(3.08406), "14.2")
    assert batch_norm_trainable_depth(1.0) == inf


def test_twin_with_the_rms_rate_the_rule_gives_84_layers() -> None:
    with pytest.raises(AssertionError):
        agrees(batch_norm_trainable_depth(1.21117), "41.8")


@pytest.mark.parametrize("name", ["softsign", "silu"])
def test_slopes_of_activations_in_no_table_are_those_of_a_million_draws(name: str) -> None:
    a, found = activation(name), classical(name, 1.8, 0.3)
    g = np.random.default_rng(0).standard_normal(1_000_000)
    u = np.sqrt(found.q_star.value) * g
    q, chi = 1.8 * a.phi(u) ** 2 + 0.3, 1.8 * a.derivative(u) ** 2
    within(float(q.mean()), found.q_star.value, float(q.std() / 1e3))
    within(float(chi.mean()), found.chi_1.value, float(chi.std() / 1e3))


RELAXATION = """
4   0.3774 0.5258
8   0.5386 0.7436
16  0.6308 0.8656
64  0.7067 0.9651
128 0.7200 0.9824
512 0.7301 0.9956
inf 0.7335 1.0000
"""


@pytest.mark.parametrize(
    ("batch", "lambda_m", "lambda_l"), [line.split() for line in RELAXATION.split("\n") if line]
)
def test_batch_norm_relu_forgets_correlations_by_0_5386_and_norms_by_0_7436_over_8_samples(
    batch: str, lambda_m: str, lambda_l: str
) -> None:
    found = relaxation(float(batch))
    agrees(found.lambda_m, lambda_m)
    agrees(found.lambda_l, lambda_l)
    assert found.lambda_g == 0.0


def test_twin_linear_batch_norm_forgets_both_by_7_over_9() -> None:
    assert relaxation(8, "linear").lambda_m == pytest.approx(7 / 9, rel=1e-12)
    assert relaxation(8, "linear").lambda_l == pytest.approx(7 / 9, rel=1e-12)
    with pytest.raises(AssertionError):
        agrees(relaxation(8, "linear").lambda_m, "0.5386")
