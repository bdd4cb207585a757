"""The terms of a norm's backward pass in expectation: what goes through the mean, what through
sigma, and sigma itself.

dE/dy = (1/sigma) [g - <g> - z <z g>], g = dE/dz: <g> and z <z g> are orthogonal to each other and
to what is left, so each takes a share of |g|^2. Over n values <g>^2 is g^2 / n and (1 - 1/n) times
the product of two of them, and likewise <z g>^2 with z g. With eps <z^2> < 1, and what goes through
sigma is (2 - <z^2>) <z g>^2.
"""

from dataclasses import dataclass

import numpy as np

from depthscale.network import Norm
from depthscale.theory.moments.backward import Weighted
from depthscale.theory.moments.laws import WeightedSlopes


@dataclass(frozen=True)
class NormShares:
    """Of |dE/dz|^2, what the terms through the mean and through sigma take away."""

    through_mean: float
    through_sigma: float


@dataclass(frozen=True)
class Deviation:
    """sigma^2, eps included, over the neurons (or samples) that it is computed for.

    Args:
        variance: its mean.
        spread: its variance over the square of its mean.
        inverse: mean of 1 / sigma^2; inf over 3 values or fewer.
    """

    variance: float
    spread: float
    inverse: float


def shares_of(norm: Norm, w: Weighted, z2: np.ndarray, weights: np.ndarray) -> NormShares:
    """Shares of a gradient.

    Args:
        norm: that it arrives at.
        w: the gradient, weighted with the norm's output.
        z2: mean squares that z may have.
        weights: of each of them.
    """
    own, ratio = 1 / norm.size, w.sample_correlation if norm.row.mixes_samples else 0.0
    square = float(weights @ w.slopes.square)
    mean = own * w.slopes.square + (1 - own) * ratio * w.slopes.product
    sigma = (2 - z2) * (own * w.slopes.z_square + (1 - own) * ratio * w.slopes.z_product)
    return NormShares(float(weights @ mean) / square, float(weights @ sigma) / square)


def unweighted(z2: np.ndarray, correlation: float) -> WeightedSlopes:
    """Slopes of no activation at all: the gradient above does not depend on z.

    Args:
        z2: mean squares that z may have.
        correlation: of two z.
    """
    one = np.ones_like(z2)
    return WeightedSlopes(one, one, z2, correlation * z2, 0.0)
