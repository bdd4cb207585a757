"""What a norm's sigma is over, and its law over Gaussian values."""

from math import inf, log2
from typing import NoReturn

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.laws import GAUSSIAN_FROM, Gaussian, variance_rule
from depthscale.theory.moments.log2 import log2_of, sum_of

FAR = 1000.0  # |log2| past which float64 holds no variance
ROUNDING = 1e-13  # a factor this much smaller than its terms is 0: what is left is their rounding


def is_over_many_entries(norm: Norm, y: ForwardMoments) -> bool:
    """Whether sigma is a constant because a sample has many entries."""
    row = norm.row
    if row.within_neuron:
        return False
    if norm.size == inf or not row.finite_law:
        return True
    if row.over == "groups" or isinstance(y.law, Gaussian):
        return False
    if norm.size < GAUSSIAN_FROM:  # a mean square of fewer is no constant, of a law not known
        no_rule(norm)
    return True


def log2_seen(norm: Norm, y: ForwardMoments) -> float:
    """log2 of the variance that the norm sees: between samples, between positions, or between
    entries."""
    if norm.row.mixes_samples:
        return y.log2_spread
    if norm.row.over == "positions":
        own = y.places.correlation
        return y.log2_spread if own is None else y.log2_ms + log2_of(1 - own)
    return y.without_mean().log2_ms if norm.row.centred else y.log2_ms


def log2_varying(norm: Norm, y: ForwardMoments) -> float:
    """The same. / raises: NoTheory where that is 0."""
    return _varying(log2_seen(norm, y))


def log2_variance(norm: Norm, y: ForwardMoments) -> float:
    """log2 of sigma^2, eps included, where it is a constant. / raises: NoTheory where that is 0."""
    return _varying(sum_of(log2_seen(norm, y), log2_of(norm.eps)))


def _varying(log2_variance: float) -> float:
    if log2_variance == -inf:
        raise NoTheory("its input does not vary, so there is nothing to divide by")
    return log2_variance


def share_of_eps(norm: Norm, log2_spread: float) -> float:
    """Of sigma^2: by as much of a variance's relative error the output's mean square is wrong."""
    return 1 / (1 + 2.0 ** min(log2_spread - log2_of(norm.eps), FAR)) if norm.eps else 0.0


def mixture(
    norm: Norm, log2_spread: float
) -> tuple[tuple[float, ...], np.ndarray, np.ndarray, float]:
    """The law of sigma over n Gaussian values: n sigma^2 over their variance is chi-squared, with
    one degree of freedom fewer where a mean is taken away.

    Args:
        norm: over finitely many values.
        log2_spread: log2 of the variance that it sees.

    Returns:
        Radii of z; forward weights [k], whose sum is 1; backward ones [k] and a log2, whose product
        sums to E 1/sigma^2. Without eps the radius is 1 and independent of sigma.
    """
    degrees = norm.size - norm.row.centred
    if not norm.eps:
        mean_inverse = log2(norm.size / (degrees - 2)) if degrees > 2 else inf
        return (1.0,), np.ones(1), np.ones(1), mean_inverse - log2_spread
    variances, weights = (np.array(row) for row in variance_rule(int(norm.size), int(degrees)))
    inverse = 1 / (variances + norm.eps * 2.0**-log2_spread)
    return tuple(np.sqrt(variances * inverse).tolist()), weights, weights * inverse, -log2_spread


def no_rule(norm: Norm) -> NoReturn:
    raise NoTheory(
        f"no rule for a {norm.kind} norm over {norm.size:g} values that are neither Gaussian nor "
        "an activation's output"
    )
