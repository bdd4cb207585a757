"""A norm of values whose size, or whose correlation, is not known."""

from math import inf, nan
from typing import NamedTuple

from depthscale.network import Norm
from depthscale.theory.moments.backward import UNKNOWN_GRADIENT, BackwardMoments
from depthscale.theory.moments.forward import EXACT, ForwardMoments, KnownLaw
from depthscale.theory.moments.laws import GAUSSIAN_FROM, Gaussian, Spherical
from depthscale.theory.moments.log2 import log2_of
from depthscale.theory.norm.contract import Regime
from depthscale.theory.norm.norm_shares import Deviation, NormShares
from depthscale.theory.norm.sigma import is_over_many_entries


class Unknown(NamedTuple):
    """What a norm makes known of such values: next to their size eps counts as 0.

    Args:
        norm: the norm.
        y: what it receives.
        otherwise: the law of sigma, where no more than a correlation is missing.
    """

    norm: Norm
    y: ForwardMoments
    otherwise: Regime | None = None

    def forward(self) -> ForwardMoments:
        """Of mean square 1; over samples their correlation is -1 / (n - 1), whatever it was."""
        norm, y = self.norm, self.y
        gaussian, own = isinstance(y.law, Gaussian), y.places.correlation
        if norm.row.mixes_samples and own is None and norm.size < inf:
            law = Spherical(int(norm.size)) if gaussian else None
            between = -1 / (norm.size - 1)
            known = KnownLaw(law, normalized=True)
            return y.become(0.0, between, log2_of(1 - between), known=known, errors=EXACT)
        constant = is_over_many_entries(norm, y)
        is_gaussian = gaussian and (constant or norm.size >= GAUSSIAN_FROM)
        return y.become(
            0.0,
            nan,
            nan,
            0.0 if norm.row.centred else y.mean,
            KnownLaw(
                Gaussian(1.0, y.sample_correlation) if is_gaussian else None,
                normalized=not constant,
            ),
            EXACT,
            y.places.with_correlation(None if own is None else nan),
        )

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        """sigma is not known, but where a correlation is all that is missing."""
        return UNKNOWN_GRADIENT if self.otherwise is None else self.otherwise.backward(g)

    def shares(self, g: BackwardMoments) -> NormShares:
        return NormShares(nan, nan) if self.otherwise is None else self.otherwise.shares(g)

    def deviation(self) -> Deviation:
        return Deviation(nan, nan, nan) if self.otherwise is None else self.otherwise.deviation()
