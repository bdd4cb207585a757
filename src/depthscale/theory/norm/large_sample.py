"""Norms over so many values that their variance hardly varies, though the values are no independent
Gaussians.

Batch Norm over positions that are alike within a sample, group norm over channels and positions,
and either over what is not Gaussian. sigma is then a constant, and z of the kind that y was. What
is left out is of the order of 1 / n, where n is how many independent values of one variance
fluctuate as much as these do (their participation ratio); the error says so.
"""

from math import inf, log2
from typing import NamedTuple

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.moments.backward import BackwardMoments, Weighted
from depthscale.theory.moments.forward import Errors, ForwardMoments, KnownLaw
from depthscale.theory.moments.laws import GAUSSIAN_FROM, Gaussian
from depthscale.theory.moments.log2 import log2_of, product_of, sum_of
from depthscale.theory.norm.norm_shares import Deviation, NormShares, unweighted
from depthscale.theory.norm.sigma import ROUNDING, log2_varying, no_rule

# Independent values without which sigma is no constant: so many where nothing is known of them, and
# a tenth where positions of a sample are told apart, whose fluctuations the error then bounds.
_FEWEST, _FEWEST_APART = GAUSSIAN_FROM, 20


class LargeSample(NamedTuple):
    norm: Norm
    y: ForwardMoments

    def forward(self) -> ForwardMoments:
        """Every product less what all values share. / raises: NoTheory where too few take part."""
        norm, y = self.norm, self.y
        log2_varying(norm, y)
        mean2, own = self._mean2(), y.places.correlation
        spread, many = y.log2_ms + log2_of(1 - mean2), self._independent()
        if spread == -inf:
            raise NoTheory("its input does not vary, so there is nothing to divide by")
        variance = sum_of(spread, log2_of(norm.eps))
        log2_ms, left = spread - variance, 1 - mean2
        if norm.row.mixes_samples:
            between = (y.sample_correlation - mean2) / left
        else:  # two samples' group means share 1 / channels of what their entries do
            alike = y.sample_correlation - self._square_of_mean()
            between = alike * (1 - y.places.positions / norm.size) / left
        law = Gaussian(2.0**log2_ms, between) if isinstance(y.law, Gaussian) else None
        within = None if own is None else (own - mean2) / left
        return y.become(
            log2_ms,
            between,
            y.log2_spread - variance,
            known=KnownLaw(law, normalized=True),
            errors=Errors(y.error + 2 / many),
            places=y.places.with_correlation(within),
        )

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        """dE/dy = (1/sigma) (g - <g> - z <z g>), <> over the norm's values, with E 1/sigma^2 to the
        first order in 1 / n."""
        y, of_batch = self.y, self.norm.row.mixes_samples
        out, many = self.forward(), self._independent()
        variance = y.log2_ms + log2_of(1 - self._mean2()) - out.log2_ms
        w, square, mean_g, of_sigma = self._taken(g)
        nearby, w_near = w.between_positions
        error = g.error + y.error + 2 / many + (y.errors.spread if of_batch else 0.0)
        left = square - mean_g - of_sigma
        if not left > ROUNDING * square:
            return BackwardMoments(left if left != left else -inf, 0.0, error)
        fluctuation = y.places.variance_fluctuation if of_batch else 0.0
        factor = log2(left * (1 + 2 / many + fluctuation)) - variance
        # the parts taken away are common to all values, so that each pair keeps its product less
        # the same
        product = w.sample_correlation * float(w.slopes.product.mean())
        between = (product - mean_g if of_batch else product) / left
        own = (w_near * float(nearby.product.mean()) - mean_g) / left
        alike = y.places.correlation is None and w.position_correlation is None
        places = g.places.with_correlation(None if alike else own)
        return g.become(product_of(factor, w.log2_unit), between, error, places)

    def shares(self, g: BackwardMoments) -> NormShares:
        _, square, of_mean, of_sigma = self._taken(g)
        return NormShares(of_mean / square, of_sigma / square)

    def deviation(self) -> Deviation:
        """To the first order in 1 / n."""
        eps, seen = self.norm.eps, 2.0 ** (self.y.log2_ms + log2_of(1 - self._mean2()))
        variance, spread = seen + eps, 2 / self._independent() * (seen / (seen + eps)) ** 2
        return Deviation(variance, spread, (1 + spread) / variance)

    def _taken(self, g: BackwardMoments) -> tuple[Weighted, float, float, float]:
        """The slopes above, their mean square, and what of it the terms through the mean and
        through sigma take away."""
        out = self.forward()
        w, z2 = g.ties.weighted, np.array([2.0**out.log2_ms])
        if w is None:
            w = Weighted(
                unweighted(z2, out.sample_correlation),
                g.sample_correlation,
                g.log2_ms,
                g.places.correlation,
                unweighted(z2, out.position_correlation),
            )
        square = float(w.slopes.square.mean())
        if self.norm.statistics == "frozen":
            return w, square, 0.0, 0.0
        own, near, ratio = self._pairs()
        at, (nearby, w_near) = w.slopes, w.between_positions

        def mean(own_value: np.ndarray, near_value: np.ndarray, ratio_value: np.ndarray) -> float:
            return float(
                (
                    own * own_value
                    + near * w_near * near_value
                    + ratio * w.sample_correlation * ratio_value
                ).mean()
            )

        mean_g = mean(at.square, nearby.product, at.product)
        mean_zg = mean(at.z_square, nearby.z_product, at.z_product)
        return w, square, mean_g, (2 - 2.0**out.log2_ms) * mean_zg

    def _pairs(self) -> tuple[float, float, float]:
        """Of a mean over the norm's pairs of values: the shares of one value with itself, of two
        positions, of two samples."""
        size, of_batch = self.norm.size, self.norm.row.mixes_samples
        if size == inf:
            return 0.0, 0.0, float(of_batch)
        own, near = 1 / size, (self.y.places.positions - 1) / size
        return own, near, (1 - own - near) if of_batch else 0.0

    def _mean2(self) -> float:
        """The square of the mean over the norm's values, relative."""
        own, near, ratio = self._pairs()
        between = own + near * self.y.position_correlation + ratio * self.y.sample_correlation
        return between + self._square_of_mean()

    def _square_of_mean(self) -> float:
        """What the entries of a group have in common beside a channel's positions."""
        if self.norm.row.mixes_samples or not self.y.mean:
            return 0.0
        own, near, _ = self._pairs()
        return self.y.mean**2 * (1 - own - near)

    def _independent(self) -> float:
        """(sum of eigenvalues)^2 / sum of their squares, of the covariance of the norm's values
        about their mean. / raises: NoTheory where that is too few."""
        norm, y = self.norm, self.y
        if norm.size == inf:
            return inf
        p, samples = y.places.positions, norm.size / y.places.positions
        alone = 1 - y.position_correlation
        common = y.sample_correlation if norm.row.mixes_samples else y.mean**2
        together = alone + p * (y.position_correlation - common)
        total = samples * (p - 1) * alone + (samples - 1) * together
        squares = samples * (p - 1) * alone**2 + (samples - 1) * together**2
        many = total**2 / squares if squares else 0.0
        apart = y.places.correlation is not None or norm.row.over == "groups"
        if many >= (_FEWEST_APART if apart else _FEWEST):
            return many
        if p == 1:
            no_rule(norm)
        raise NoTheory(
            f"its {norm.size:g} values vary as {many:.3g} independent ones do, too few for a "
            "variance that hardly varies"
        )
