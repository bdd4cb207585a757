"""BackwardMoments: second moments of a gradient, and how it depends on the values beside it."""

from dataclasses import dataclass, replace
from math import inf, nan
from typing import NamedTuple

import numpy as np

from depthscale.theory.moments.forward import ONE_PLACE, Places
from depthscale.theory.moments.laws import WeightedSlopes
from depthscale.theory.moments.log2 import product_of, sum_of
from depthscale.theory.space.border_profile import mixed
from depthscale.theory.space.position_gram import PositionGram


class Weighted(NamedTuple):
    """A gradient just below an activation that received a norm's output: slopes times a gradient
    above that is independent.

    Args:
        slopes: with products between two samples.
        sample_correlation, position_correlation: of the gradient above.
        log2_unit: log2 of its mean square.
        position_slopes: with products between two positions, None where those are the same.
    """

    slopes: WeightedSlopes
    sample_correlation: float
    log2_unit: float
    position_correlation: float | None = None
    position_slopes: WeightedSlopes | None = None

    @property
    def between_positions(self) -> tuple[WeightedSlopes, float]:
        """Slopes, and the correlation above them, of two positions."""
        own = self.position_correlation
        return self.position_slopes or self.slopes, self.sample_correlation if own is None else own


@dataclass(frozen=True, slots=True, eq=False)
class ChannelMoments:
    """A gradient's second moments given what each sampled channel saw, [replicates, channels] each,
    times 2^log2_unit.

    Args:
        square: at a point.
        product: with another sample.
        nearby: with another position of its sample.
    """

    square: np.ndarray
    product: np.ndarray
    nearby: np.ndarray
    log2_unit: float

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.square, self.product, self.nearby

    def plus(self, other: "BackwardMoments") -> "ChannelMoments":
        """With an uncorrelated gradient, whose channels, if it has some, are the same ones."""
        c = other.ties.channels
        theirs = c.moments if c else (1.0, other.sample_correlation, other.position_correlation)
        unit = max(self.log2_unit, log2_unit := c.log2_unit if c else other.log2_ms)
        ours, factor = 2.0 ** (self.log2_unit - unit), 2.0 ** (log2_unit - unit)
        square, product, nearby = (
            ours * a + factor * b for a, b in zip(self.moments, theirs, strict=True)
        )
        return ChannelMoments(square, product, nearby, unit)


class Ties(NamedTuple):
    """How a gradient depends on the values beside it, for the operation just below.

    Args:
        weighted: where it depends on the norm's output that it belongs to.
        below: the gradient at the input of the activation underneath, where a norm above that
            activation makes the two depend on each other.
        channels: where it depends on what a sampled channel saw.
    """

    weighted: Weighted | None = None
    below: "BackwardMoments | None" = None
    channels: ChannelMoments | None = None


FREE = Ties()


class BackwardMoments(NamedTuple):
    """Second moments of dE/dx, named as ForwardMoments. / error: relative."""

    log2_ms: float
    sample_correlation: float
    error: float = 0.0
    places: Places = ONE_PLACE
    ties: Ties = FREE

    def become(
        self,
        log2_ms: float,
        sample_correlation: float,
        error: float | None = None,
        places: Places | None = None,
        ties: Ties = FREE,
    ) -> "BackwardMoments":
        """What an operation sends down of this: of its error and places where it says no others."""
        return BackwardMoments(
            log2_ms,
            sample_correlation,
            self.error if error is None else error,
            self.places if places is None else places,
            ties,
        )

    @property
    def position_correlation(self) -> float:
        """Between two positions of one sample."""
        own = self.places.correlation
        return self.sample_correlation if own is None else own

    def gram_over(self, positions: int) -> PositionGram:
        """Of all pairs of so many positions; an even one where those are alike."""
        own = self.places
        return own.gram or PositionGram.even(positions, self.position_correlation, own.profile)

    def times(self, log2_factor: float) -> "BackwardMoments":
        """The gradient multiplied by a constant whose square is 2^log2_factor."""
        if not log2_factor:
            return self
        weighted, below, channels = self.ties
        if weighted:
            weighted = weighted._replace(log2_unit=product_of(weighted.log2_unit, log2_factor))
        if channels:
            channels = replace(channels, log2_unit=product_of(channels.log2_unit, log2_factor))
        log2_ms = product_of(self.log2_ms, log2_factor)
        return self._replace(log2_ms=log2_ms, ties=Ties(weighted, below, channels))

    def plus(self, other: "BackwardMoments") -> "BackwardMoments":
        """The sum of two uncorrelated gradients."""
        if -inf in (self.log2_ms, other.log2_ms):
            return other if self.log2_ms == -inf else self
        total = sum_of(self.log2_ms, other.log2_ms)
        if total == inf:
            return self.become(inf, self.sample_correlation)
        share = 2.0 ** (self.log2_ms - total)
        own, theirs = self.places, other.places
        between = None
        if own.correlation is not None or theirs.correlation is not None:
            between = share * self.position_correlation + (1 - share) * other.position_correlation
        channels = self.ties.channels and self.ties.channels.plus(other)
        if channels is None and other.ties.channels:
            channels = other.ties.channels.plus(self)
        return BackwardMoments(
            total,
            share * self.sample_correlation + (1 - share) * other.sample_correlation,
            max(self.error, other.error),
            self._places_of_sum(other, share, between),
            Ties(channels=channels),
        )

    def _places_of_sum(
        self, other: "BackwardMoments", share: float, between: float | None
    ) -> Places:
        own, theirs = self.places, other.places
        gram = own.gram or theirs.gram
        if gram is None:
            return Places(own.positions, between, mixed(own.profile, theirs.profile, share))
        n = gram.positions
        return Places.of(self.gram_over(n).plus(other.gram_over(n), share))


NOTHING = BackwardMoments(-inf, 0.0)
UNKNOWN_GRADIENT = BackwardMoments(nan, nan)
