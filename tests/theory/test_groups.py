"""A group norm over few entries against samples of whole groups: what two samples share once each
is normalized."""

import numpy as np
import pytest

from depthscale.network.activations import activation, shifted
from depthscale.network.spec import NetSpec
from depthscale.theory import predict
from depthscale.theory.moments.laws import Gaussian, Spherical
from depthscale.theory.moments.sampled_expectations import (
    CLOSE,
    factor_of_group_after,
    spread_of_group,
)
from tolerances import within

GROUPS = 100_000


def pair_of_groups(size: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Entries of two samples. / returns: two arrays [GROUPS, size]."""
    rng = np.random.default_rng(0)
    x, across = rng.standard_normal((2, GROUPS, size))
    return x, correlation * x + np.sqrt(1 - correlation**2) * across


def standardized(x: np.ndarray, eps: float = 0.0) -> np.ndarray:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)


def spread(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean of (a - b)^2 / 2, and its standard error over groups."""
    each = np.square(a - b).mean(1) / 2
    return float(each.mean()), float(each.std() / np.sqrt(len(each)))


@pytest.mark.parametrize("correlation", [-0.2, 0.0, 0.6, 0.99])
@pytest.mark.parametrize(("size", "eps"), [(3, 0.0), (4, 0.0), (4, 0.3), (16, 0.1)])
@pytest.mark.parametrize("name", ["linear", "relu", "silu"])
def test_the_spread_between_samples_is_that_of_sampled_groups(
    name: str, size: int, eps: float, correlation: float
) -> None:
    a, b = (standardized(each, eps) for each in pair_of_groups(size, correlation))
    phi = shifted(activation(name), 1.3, -0.4).phi
    expected, stderr = spread(phi(a), phi(b))
    found, error = spread_of_group(
        name, Spherical(size, correlation, eps=eps, gain=1.3, shift=-0.4)
    )
    within(found, expected, float(np.hypot(stderr, error * found)))


def test_twin_gaussian_values_of_the_same_correlation_spread_too_little() -> None:
    """Over 4 entries samples part by 2 (1 - c) as c tends to 1, not by 1 - c: the factor (m - 2) /
    (m - 3)."""
    a, b = (standardized(each) for each in pair_of_groups(4, 0.99))
    with pytest.raises(AssertionError):
        within(0.01, *spread(a, b))
    found, error = spread_of_group("linear", Spherical(8, 1 - CLOSE))
    within(found / CLOSE, 6 / 5, error * 6 / 5 + 1e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_factor_of_a_norm_after_the_activation_is_that_of_sampled_groups(
    correlation: float,
) -> None:
    a, b = (activation("gelu").phi(np.sqrt(1.7) * each) for each in pair_of_groups(4, correlation))
    above, above_error = spread(standardized(a), standardized(b))
    below, below_error = spread(a, b)
    found, error = factor_of_group_after("gelu", Gaussian(1.7, correlation), 4, 0.0)
    stderr = found * np.sqrt((above_error / above) ** 2 + (below_error / below) ** 2 + error**2)
    within(found, above / below, float(stderr))


@pytest.mark.parametrize(
    ("size", "note"), [(2, ""), (3, "mean"), (4, "variance"), (5, "variance"), (6, "")]
)
def test_groups_of_few_entries_are_told_of(size: int, note: str) -> None:
    notes = predict(NetSpec(norm="group", width=60, groups=60 // size, depth=3)).notes
    assert (notes == ()) if not note else (note in notes[0] and f"over {size} entries" in notes[0])


def test_only_the_spread_between_samples_is_sampled() -> None:
    """The mean square above a group norm is a quadrature; what two samples share needs virtual
    neurons, and their error."""
    profile = predict(NetSpec(norm="group", groups=64, width=512, depth=5, activation="gelu"))
    assert profile.activation.relative_stderr.max() < 1e-9
    assert profile.gradient.relative_stderr.max() < 1e-9
    assert 1e-6 < profile.batch_variance.relative_stderr[2] < 0.02
