"""Batch Norm over infinitely many samples: sigma is a constant, but common to what it is over, so
that the gradient loses what goes through both statistics."""

from functools import lru_cache
from math import inf
from typing import NamedTuple

import numpy as np

from depthscale.network import Norm
from depthscale.theory.moments.backward import UNKNOWN_GRADIENT, BackwardMoments, Weighted
from depthscale.theory.moments.forward import Errors, ForwardMoments, KnownLaw
from depthscale.theory.moments.laws import Gaussian, WeightedSlopes
from depthscale.theory.moments.log2 import log2_of, product_of, sum_of
from depthscale.theory.norm.norm_shares import Deviation, NormShares, shares_of, unweighted
from depthscale.theory.norm.sigma import (
    ROUNDING,
    log2_seen,
    log2_variance,
    log2_varying,
    share_of_eps,
)


class InfiniteBatch(NamedTuple):
    norm: Norm
    y: ForwardMoments

    def forward(self) -> ForwardMoments:
        """Samples that share nothing, since the mean over them is gone."""
        norm, y = self.norm, self.y
        spread = log2_varying(norm, y)
        log2_z2 = spread - log2_variance(norm, y)
        law = Gaussian(2.0**log2_z2, 0.0) if isinstance(y.law, Gaussian) else None
        errors = Errors(y.error * share_of_eps(norm, spread))
        return y.become(log2_z2, 0.0, log2_z2, 0.0, KnownLaw(law, normalized=True), errors)

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        norm, y, w = self.norm, self.y, self._weighted(g)
        if w.sample_correlation != w.sample_correlation:
            return UNKNOWN_GRADIENT
        log2_factor, ratio = _factor(norm, log2_seen(norm, y), w.slopes, w.sample_correlation)
        return below_statistics(norm, y, g, w, log2_factor, ratio)

    def _weighted(self, g: BackwardMoments) -> Weighted:
        if g.ties.weighted:
            return g.ties.weighted
        spread = log2_seen(self.norm, self.y)
        z2 = np.array([2.0 ** (spread - sum_of(spread, log2_of(self.norm.eps)))])
        own = g.places.correlation
        return Weighted(unweighted(z2, 0.0), g.sample_correlation, g.log2_ms, own)

    def shares(self, g: BackwardMoments) -> NormShares:
        norm, y = self.norm, self.y
        z2 = np.array([2.0 ** (log2_seen(norm, y) - log2_variance(norm, y))])
        return shares_of(norm, self._weighted(g), z2, np.ones(1))

    def deviation(self) -> Deviation:
        variance = 2.0 ** log2_variance(self.norm, self.y)
        return Deviation(variance, 0.0, 1 / variance)


def below_statistics(
    norm: Norm, y: ForwardMoments, g: BackwardMoments, w: Weighted, log2_factor: float, ratio: float
) -> BackwardMoments:
    """The gradient below a norm. / log2_factor, ratio: of w, through what is independent of it."""
    error, own = g.error + y.error, None
    if norm.row.mixes_samples:
        # E 1/s = (1 + var s) / E s, to first order
        error = g.error + y.errors.spread + y.places.variance_fluctuation
        log2_factor += log2_of(1 + y.places.variance_fluctuation)
    elif norm.row.over == "positions":
        error, ratio, own = error + y.errors.spread, 0.0, ratio
    places = g.places.with_correlation(own)
    return g.become(product_of(log2_factor, w.log2_unit), ratio, error, places)


@lru_cache(maxsize=1 << 12)
def _factor(norm: Norm, spread: float, w: WeightedSlopes, ratio: float) -> tuple[float, float]:
    """dE/dy = (1/sigma) (g - <g> - z <z g>), the batch's means being what two samples share.

    Returns:
        log2 of the factor on the gradient's mean square, and its ratio between samples.
    """
    variance = sum_of(spread, log2_of(norm.eps))
    square, product, z_product = (
        float(w.square[0]),
        ratio * float(w.product[0]),
        ratio * float(w.z_product[0]),
    )
    if norm.statistics == "frozen":
        return log2_of(square) - variance, product / square if square else 0.0
    left = square - product - (2 - 2.0 ** (spread - variance)) * z_product
    return (log2_of(left) - variance if left > ROUNDING * square else -inf), 0.0
