"""The terms of a norm's backward pass in expectation: what goes through the mean, what through
sigma, and sigma itself.

dE/dy = (1/sigma) [g - <g> - z <z g>], g = dE/dz: <g> and z <z g> are orthogonal to each other and
to what is left, so each takes a share of |g|^2. Over n values <g>^2 is g^2 / n and (1 - 1/n) times
the product of two of them, and likewise <z g>^2 with z g. With eps <z^2> < 1, and what goes through
sigma is (2 - <z^2>) <z g>^2.
"""

from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np

from depthscale.network import Norm
from depthscale.theory import self_averaging
from depthscale.theory.laws import Gaussian
from depthscale.theory.norms import (
    log2_seen,
    log2_variance,
    mixture,
    over_many_entries,
    self_averages,
    unweighted,
)
from depthscale.theory.states import Gradient, Signal, Weighted


@dataclass(frozen=True)
class Shares:
    """Of |dE/dz|^2, what the terms through the mean and through sigma take away."""

    through_mean: float
    through_sigma: float


@dataclass(frozen=True)
class Deviation:
    """Of sigma^2, eps included, over the neurons (or samples) that it is computed for.

    variance: its mean. spread: its variance over the square of its mean. inverse: mean of 1 /
    sigma^2; inf over 3 values or fewer.
    """

    variance: float
    spread: float
    inverse: float


def shares(norm: Norm, y: Signal, g: Gradient) -> Shares:
    """Shares of the gradient g that arrives at the output of a norm whose input is y.

    Both are 0 for statistics that take no gradient, and for those over the many entries of a
    sample, whose gradients share nothing.
    error: that of the slopes. / source: arXiv:1902.08129, the steps of theorem 3.9.
    """
    if norm.statistics != "batch" or over_many_entries(norm, y):
        return Shares(0.0, 0.0)
    if self_averages(norm, y):
        _, square, of_mean, of_sigma = self_averaging.taken(norm, y, g)
        return Shares(of_mean / square, of_sigma / square)
    spread = log2_seen(norm, y)
    w = g.weighted or Weighted(unweighted(norm, spread, y.ratio), g.ratio, g.log2_ms)
    own, ratio = 1 / norm.size, w.ratio if norm.kind == "batch" else 0.0
    z2, weights = _radii(norm, y, spread)
    square = float(weights @ w.slopes.square)
    mean = own * w.slopes.square + (1 - own) * ratio * w.slopes.product
    sigma = (2 - z2) * (own * w.slopes.z_square + (1 - own) * ratio * w.slopes.z_product)
    return Shares(float(weights @ mean) / square, float(weights @ sigma) / square)


def _radii(norm: Norm, y: Signal, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares that z may have, and their weights: 1 alone without eps."""
    if norm.size == inf:
        return np.array([2.0 ** (spread - log2_variance(norm, y))]), np.ones(1)
    radii, weights, _, _ = mixture(norm, spread)
    return np.square(radii), weights


def deviation(norm: Norm, y: Signal) -> Deviation:
    """sigma^2 of a norm whose input is that signal. / raises: NoTheory where the input does not
    vary.

    Over n Gaussian values n sigma^2 over the variance is chi-squared with n - 1 degrees of freedom:
    relative variance 2 / (n - 1), mean of the inverse n / (n - 3). nan where the values are not
    Gaussian.
    """
    if norm.statistics == "running":
        return Deviation(1 + norm.eps, 0.0, 1 / (1 + norm.eps))
    if norm.size == inf or over_many_entries(norm, y):
        variance = 2.0 ** log2_variance(norm, y)
        return Deviation(variance, 0.0, 1 / variance)
    if self_averages(norm, y):
        variance, wavering = self_averaging.deviation(norm, y)
        return Deviation(variance, wavering, (1 + wavering) / variance)
    seen = 2.0 ** log2_seen(norm, y)
    variance = seen * (1 - 1 / norm.size)
    if not isinstance(y.law, Gaussian):
        return Deviation(variance + norm.eps, nan, nan)
    _, _, weights, log2_inverse = mixture(norm, log2_seen(norm, y))
    inverse = float(weights.sum()) * 2.0**log2_inverse
    return Deviation(
        variance + norm.eps,
        (variance / (variance + norm.eps) * sqrt(2 / (norm.size - 1))) ** 2,
        inverse,
    )
