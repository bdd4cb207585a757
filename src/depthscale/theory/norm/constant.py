"""A sigma that is one number: running statistics, which are 0 and 1 at initialization, and those
over the many entries of a sample."""

from math import log2
from typing import NamedTuple

from depthscale.network import Norm
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import NO_LAW, ForwardMoments, KnownLaw
from depthscale.theory.moments.laws import Gaussian, moved
from depthscale.theory.norm.norm_shares import Deviation, NormShares
from depthscale.theory.norm.sigma import FAR, log2_variance


class Constant(NamedTuple):
    norm: Norm
    y: ForwardMoments

    @property
    def _is_running(self) -> bool:
        return self.norm.statistics == "running"

    @property
    def _log2_variance(self) -> float:
        if self._is_running:
            return log2(1 + self.norm.eps)
        return log2_variance(self.norm, self.y)

    def forward(self) -> ForwardMoments:
        """y over sigma, less its mean over entries; what was Gaussian stays so."""
        y, log2_sigma2 = self.y, self._log2_variance
        if y.mean and self.norm.row.centred and not self._is_running:
            y = y.without_mean()
        log2_ms, known = y.log2_ms - log2_sigma2, NO_LAW
        if isinstance(y.law, Gaussian) and not y.known.normalized and log2_ms > -FAR:
            law = Gaussian(2.0**log2_ms, y.sample_correlation)
            known = KnownLaw(moved(y.law, 2.0 ** (-log2_sigma2 / 2), 0.0) if y.law.shift else law)
        spread = y.log2_spread - log2_sigma2
        return y.become(log2_ms, y.sample_correlation, spread, y.mean, known)

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        return g.times(-self._log2_variance)

    def shares(self, g: BackwardMoments) -> NormShares:
        return NormShares(0.0, 0.0)

    def deviation(self) -> Deviation:
        variance = 1 + self.norm.eps if self._is_running else 2.0**self._log2_variance
        return Deviation(variance, 0.0, 1 / variance)
