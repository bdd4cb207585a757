"""Dynamical isometry, arXiv:1711.04735 (Pennington, Schoenholz, Ganguli 2017): the spectrum of J
J^T."""

from math import log

import numpy as np
import pytest
import torch

from depthscale.errors import InvalidSpec, NoTheory
from depthscale.nets.draw import draw_rows
from depthscale.nets.elementwise import elementwise
from depthscale.network.operations import Linear
from depthscale.numerics import gaussian
from depthscale.theory.classical.fixed_points import q_star
from depthscale.theory.classical.spectrum import spectrum
from tolerances import within

DEPTH, WIDTH = 6, 300


@pytest.mark.parametrize(
    ("name", "sigma_w2", "weights", "per_layer"),
    [
        ("linear", 1.0, "gaussian", 1.0),
        ("linear", 1.0, "orthogonal", 0.0),
        ("relu", 2.0, "gaussian", 2.0),
        ("relu", 2.0, "orthogonal", 1.0),
    ],
)
@pytest.mark.parametrize("depth", [1, 10, 100])
def test_the_spread_is_2_l_for_relu_and_l_for_orthogonal_relu(
    name, sigma_w2, weights, per_layer, depth
) -> None:
    """Linear: L, and 0 for orthogonal weights; so ReLU cannot be an isometry."""
    found = spectrum(name, depth, sigma_w2, weights=weights)
    assert found.relative_variance == pytest.approx(per_layer * depth, abs=1e-12)
    assert found.log2_mean == pytest.approx(0, abs=1e-12)


def test_twin_leaky_relu_spreads_less() -> None:
    """mu_2 / mu_1^2 = 2 (1 + a^4) / (1 + a^2)^2."""
    slope = 0.5
    found = spectrum(
        f"leaky_relu({slope})", 10, 2 / (1 + slope**2), weights="orthogonal"
    ).relative_variance
    assert found == pytest.approx(10 * (2 * (1 + slope**4) / (1 + slope**2) ** 2 - 1), rel=1e-12)
    with pytest.raises(AssertionError):
        assert found == pytest.approx(10, rel=0.5)


def jacobian(name: str, sigma_w2: float, weights: str, q: float, seed: int) -> np.ndarray:
    """Of a network on one input whose first preactivation has variance q: slopes by autograd."""
    x = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)) * (q / sigma_w2) ** 0.5
    total = torch.eye(WIDTH)
    for number in range(1, DEPTH + 1):
        weight = draw_rows(Linear(WIDTH, WIDTH, sigma_w2, 0.0, weights), seed, number)
        y = (weight @ x).requires_grad_()
        x = elementwise(name).phi(y)
        slope = torch.autograd.grad(x.sum(), y)[0]
        x, total = x.detach(), slope[:, None] * (weight @ total)
    return total.double().numpy()


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(("name", "sigma_w2"), [("relu", 2.0), ("linear", 1.0)])
def test_networks_have_that_mean_and_spread(name: str, sigma_w2: float, weights: str) -> None:
    first, second = [], []
    for seed in range(24):
        j = jacobian(name, sigma_w2, weights, 1.0, seed)
        product = j @ j.T
        first.append(np.trace(product) / WIDTH)
        second.append(np.square(product).sum() / WIDTH)
    mean, expected = np.mean(first), spectrum(name, DEPTH, sigma_w2, weights=weights)  # pyright: ignore[reportArgumentType]
    stderr = np.std(first, ddof=1) / np.sqrt(len(first)) + 1e-6
    within(float(mean), 2.0**expected.log2_mean, float(stderr), bias=0.01)
    spread = float(np.mean(second) / mean**2 - 1)
    per_net = np.array(second) / mean**2 - 2 * np.array(first) / mean * np.mean(second) / mean**2
    spread_stderr = float(per_net.std(ddof=1) / np.sqrt(len(first))) + 1e-6
    within(
        spread,
        expected.relative_variance,
        spread_stderr,
        bias=expected.relative_variance * DEPTH / WIDTH * 2,
    )
    with pytest.raises(AssertionError):
        within(spread, expected.relative_variance + DEPTH, spread_stderr)


def test_the_mean_is_chi_1_to_the_depth_for_tanh() -> None:
    value = q_star("tanh", 1.5, 0.05).value
    chi = 1.5 * gaussian.expect(lambda u: np.cosh(u) ** -4.0, value).value
    assert spectrum("tanh", 20, 1.5, value).log2_mean == pytest.approx(20 * log(chi, 2), rel=1e-9)


def test_what_has_no_spectrum_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="depth >= 1"):
        spectrum("relu", 0)
    with pytest.raises(NoTheory, match="not for 'uniform'"):
        spectrum("relu", 3, weights="uniform")  # pyright: ignore[reportArgumentType]
