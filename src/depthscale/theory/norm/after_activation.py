"""A norm above an activation whose outputs it divides: slopes and sigma depend on each other, so
that both are sampled together."""

from math import log2, nan
from typing import NamedTuple

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.moments.backward import BackwardMoments, Ties
from depthscale.theory.moments.forward import Errors, ForwardMoments, Source
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.moments.sampled_expectations import (
    CLOSE,
    After,
    factor_of_group_after,
    norm_after_activation,
)
from depthscale.theory.norm.norm_shares import Deviation, NormShares
from depthscale.theory.norm.sigma import log2_seen, log2_varying, no_rule
from depthscale.theory.norm.sphere import Sphere

_MOST_SAMPLED = 2000  # values of a norm, for each of which sampled neurons take a dimension


def can_be_sampled(norm: Norm, y: ForwardMoments) -> bool:
    """Whether values are the output of an activation of Gaussians, and not too many."""
    source = y.known.source
    return (
        source is not None and isinstance(source.received, Gaussian) and norm.size <= _MOST_SAMPLED
    )


class AfterActivation(NamedTuple):
    norm: Norm
    y: ForwardMoments

    def _activation(self) -> tuple[Source, Gaussian]:
        """The activation, and what it received. / raises: NoTheory."""
        source = self.y.known.source
        if source is None or not isinstance(source.received, Gaussian):
            no_rule(self.norm)
        return source, source.received

    def _sampled(self, ratio: float = 0.0, frozen: bool = False) -> After:
        source, received = self._activation()
        size, of_batch = int(self.norm.size), self.norm.row.mixes_samples
        eps = self._eps(source)
        return norm_after_activation(
            source.activation, received, size, of_batch, eps, ratio, frozen
        )

    def _eps(self, source: Source) -> float:
        """Over the unit in which an activation's output is sampled."""
        return self.norm.eps * 2.0**-source.unit

    def forward(self) -> ForwardMoments:
        norm, y = self.norm, self.y
        log2_varying(norm, y)
        if norm.row.over == "positions":
            raise NoTheory("no rule for an instance norm of values that are not Gaussian")
        log2_ms, error = 0.0, 0.0
        if norm.eps:
            after = self._sampled()
            log2_ms, error = log2(after.square), y.error + after.error
        if norm.row.mixes_samples:
            between = -1 / (norm.size - 1)
            spread = log2_ms + log2_of(1 - between)
            return y.become(log2_ms, between, spread, errors=Errors(error))
        source, received = self._activation()
        factor, sampled = factor_of_group_after(
            source.activation, received, int(norm.size), self._eps(source)
        )
        spread = y.log2_spread - source.unit + log2(factor)
        errors = Errors(error, y.errors.spread + sampled)
        return y.become(log2_ms, 1 - 2.0 ** (spread - log2_ms), spread, errors=errors)

    def backward(self, g: BackwardMoments) -> BackwardMoments:
        """The gradient at the activation's output, and with it the one at its input."""
        source, received = self._activation()
        norm, samples, of_batch = self.norm, g.sample_correlation, self.norm.row.mixes_samples
        if of_batch and 1 - received.correlation < CLOSE:
            raise NoTheory(
                "its samples agree to ten digits, too closely for sampled neurons to tell them "
                "apart"
            )
        frozen = norm.statistics == "frozen"
        after = self._sampled(samples if of_batch else 0.0, frozen)
        error, places = g.error + after.error, g.places.with_correlation(None)
        below, at = (
            product_of(g.log2_ms, log2_of(square) - source.unit)
            for square in (after.slopes, after.at)
        )
        between = -1 / (norm.size - 1) if of_batch and not frozen else samples
        ties = Ties(below=g.become(below, after.slopes_ratio, error, places))
        return g.become(at, between, error, places, ties)

    def shares(self, g: BackwardMoments) -> NormShares:
        """As of Gaussian values."""
        return Sphere(self.norm, self.y).shares(g)

    def deviation(self) -> Deviation:
        variance = 2.0 ** log2_seen(self.norm, self.y) * (1 - 1 / self.norm.size)
        return Deviation(variance + self.norm.eps, nan, nan)
