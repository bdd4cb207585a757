"""A norm over finitely many Gaussian values.

Over B exchangeable samples z is uniform on the sphere of radius sqrt(B) orthogonal to the ones and
independent of sigma, and B sigma^2 over the variance between samples is chi-squared with B - 1
degrees of freedom; the infinite batch is the limit. Over m entries of a sample (group; rms, without
the mean) it is the same sphere, with m for B.
source: arXiv:1902.08129 (Yang et al. 2019), Theorems 3.5 to 3.10, rederived.
"""

from dataclasses import replace
from functools import lru_cache
from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from depthscale.network import Norm
from depthscale.theory.moments.backward import UNKNOWN_GRADIENT, BackwardMoments, Weighted
from depthscale.theory.moments.forward import Errors, ForwardMoments, KnownLaw
from depthscale.theory.moments.laws import Spherical, WeightedSlopes
from depthscale.theory.moments.log2 import log2_of
from depthscale.theory.moments.sampled_expectations import CLOSE, spread_of_group
from depthscale.theory.norm.infinite import below_statistics
from depthscale.theory.norm.norm_shares import Deviation, NormShares, shares_of, unweighted
from depthscale.theory.norm.sigma import (
    ROUNDING,
    log2_seen,
    log2_varying,
    mixture,
    share_of_eps,
)


class Sphere(NamedTuple):
    norm: Norm
    y: ForwardMoments

    def forward(self) -> ForwardMoments:
        """Values of one neuron have the correlation -1 / (n - 1) of a sphere's coordinates; two
        samples' groups of entries are two spheres, whose correlation is that of y but for sigma."""
        norm, y = self.norm, self.y
        size, spread = int(norm.size), log2_varying(norm, y)
        radii, weights, _, _ = mixture(norm, spread)
        log2_ms = log2_of(float(np.dot(weights, np.square(radii))))
        error = (y.error + y.errors.spread) * share_of_eps(norm, spread)
        if norm.row.within_neuron:
            law, between = Spherical(size, None, radii, tuple(weights)), -1 / (norm.size - 1)
            known, errors = KnownLaw(law, normalized=True), Errors(error)
            if norm.row.mixes_samples:
                log2_spread = log2_ms + log2_of(1 - between)
                return y.become(log2_ms, between, log2_spread, 0.0, known, errors)
            # two samples are independent once each is centred over its positions
            places = y.places.with_correlation(between)
            return y.become(log2_ms, 0.0, log2_ms, 0.0, known, errors, places)
        eps, centred = norm.eps * 2.0**-spread, norm.row.centred
        own = y.sample_correlation
        law = Spherical(size, own, radii, tuple(weights), eps, centred=centred)
        found, sampled = spread_of_group("linear", law)
        log2_spread = y.log2_spread - spread + log2_of(found / max(1 - own, CLOSE))
        return y.become(
            log2_ms,
            1 - 2.0 ** (log2_spread - log2_ms),
            log2_spread,
            known=KnownLaw(law, normalized=True),
            errors=Errors(error, y.errors.spread + sampled),
        )

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        norm, y, w = self.norm, self.y, self._weighted(g)
        slopes, over_pairs = _over_pairs(norm, y, w)
        if over_pairs != over_pairs:
            return UNKNOWN_GRADIENT
        log2_factor, ratio = _factor(norm, log2_seen(norm, y), slopes, over_pairs)
        return below_statistics(norm, y, g, w, log2_factor, ratio)

    def _weighted(self, g: BackwardMoments) -> Weighted:
        if g.ties.weighted:
            return g.ties.weighted
        slopes = _unweighted(self.norm, log2_seen(self.norm, self.y), self.y.sample_correlation)
        return Weighted(slopes, g.sample_correlation, g.log2_ms, g.places.correlation)

    def shares(self, g: BackwardMoments) -> NormShares:
        radii, weights, _, _ = mixture(self.norm, log2_seen(self.norm, self.y))
        return shares_of(self.norm, self._weighted(g), np.square(radii), weights)

    def deviation(self) -> Deviation:
        """Over n Gaussian values n sigma^2 over the variance is chi-squared with n - 1 degrees of
        freedom: relative variance 2 / (n - 1), mean of the inverse n / (n - 3)."""
        norm, spread = self.norm, log2_seen(self.norm, self.y)
        variance = 2.0**spread * (1 - 1 / norm.size)
        _, _, weights, log2_inverse = mixture(norm, spread)
        return Deviation(
            variance + norm.eps,
            (variance / (variance + norm.eps) * sqrt(2 / (norm.size - 1))) ** 2,
            float(weights.sum()) * 2.0**log2_inverse,
        )


def _over_pairs(norm: Norm, y: ForwardMoments, w: Weighted) -> tuple[WeightedSlopes, float]:
    """Slopes, and the gradient's correlation above them, of the mean pair of the norm's values."""
    own, positions = w.position_correlation, y.places.positions
    if own is None:
        return w.slopes, w.sample_correlation
    if norm.row.over == "positions":
        return w.between_positions
    near = (positions - 1) / (norm.size - 1) * own
    ratio = (norm.size - positions) / (norm.size - 1) * w.sample_correlation
    if w.position_slopes is None:
        return w.slopes, near + ratio
    a, b = w.position_slopes, w.slopes
    product = near * a.product + ratio * b.product
    z_product = near * a.z_product + ratio * b.z_product
    return replace(b, product=product, z_product=z_product), 1.0


@lru_cache(maxsize=1 << 12)
def _factor(norm: Norm, spread: float, w: WeightedSlopes, ratio: float) -> tuple[float, float]:
    """As over an infinite batch, but <g>^2 and <z g>^2 keep each value's own share, 1 / size."""
    n = norm.size
    radii, _, weights, log2_inverse = mixture(norm, spread)
    square, product, z_product = w.square, ratio * w.product, ratio * w.z_product
    total = float(weights @ square)
    if norm.statistics == "frozen":
        return log2_of(total) + log2_inverse, float(weights @ product) / total if total else 0.0
    if not norm.row.within_neuron:  # the entries of a sample share no gradient
        product = z_product = np.zeros_like(square)
    kept_mean = 1 - 1 / n if norm.row.centred else 1.0
    left = kept_mean * (square - product) - (2 - np.square(radii)) * (
        w.z_square / n + (1 - 1 / n) * z_product
    )
    kept = float(weights @ np.where(left > ROUNDING * square, left, 0.0))
    if not kept:
        return -inf, 0.0
    between = -1 / (n - 1)
    if not norm.row.within_neuron:
        between = ratio * float(weights @ w.product) / total
    return log2_of(kept) + log2_inverse, between


@lru_cache(maxsize=1 << 12)
def _unweighted(norm: Norm, spread: float, ratio: float) -> WeightedSlopes:
    between = -1 / (norm.size - 1) if norm.row.within_neuron else ratio
    return unweighted(np.square(mixture(norm, spread)[0]), between)
