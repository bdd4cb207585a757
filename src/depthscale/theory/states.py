"""What travels through a graph when samples are alike: second moments forward, and the gradient's
backward.

Both are records of a few small records. `become` makes an output's record of its input's: what an
operation must say (moments, law, ties) it says, what it may leave as it is (errors, places) it
hands on without a word, so that no rule drops a bound by forgetting it.
"""

from dataclasses import dataclass, replace
from math import inf, log, log1p, log2, nan
from typing import NamedTuple

import numpy as np

from depthscale.network import Phi
from depthscale.theory.border_profile import PositionProfile, mixed
from depthscale.theory.laws import Gaussian, Law, Sampled, WeightedSlopes


class Places(NamedTuple):
    """The positions (pixels, tokens) of a sample, and how alike they are.

    Args:
        positions: how many.
        correlation: product between two of them over the mean square; None where they are as two
            samples are.
        profile: their mean squares, where these differ; the correlations are then of the mean
            product over all pairs.
        shared_profile: what they share with all points, where that differs.
        variance_fluctuation: relative variance, over channels, of the variance over a batch and its
            positions, as far as it comes from a pattern that the samples share.
    """

    positions: int = 1
    correlation: float | None = None
    profile: PositionProfile | None = None
    shared_profile: PositionProfile | None = None
    variance_fluctuation: float = 0.0

    def with_profile(self, profile: PositionProfile | None) -> "Places":
        """Without the pattern that a window left, too."""
        if profile is self.profile is self.shared_profile is None:
            return self
        return Places(self.positions, self.correlation, profile)

    def reduced(self, positions: int) -> "Places":
        """So many others, of no profile."""
        return Places(positions, self.correlation if positions > 1 else None)


class Errors(NamedTuple):
    """Relative errors of the mean square, and of the spread where it is larger."""

    mean_square: float = 0.0
    spread: float = 0.0

    def plus(self, mean_square: float, spread: float = 0.0) -> "Errors":
        return Errors(self.mean_square + mean_square, self.spread + spread)


class Source(NamedTuple):
    """The activation that gave an output, and what it received.

    Args:
        received: stands for its square root of 2^unit times.
        position_correlation: of what it received; None where it is as between samples.
        normalized: as a KnownLaw's.
    """

    activation: Phi
    received: Law | Sampled
    unit: float
    position_correlation: float | None = None
    normalized: bool = False


class KnownLaw(NamedTuple):
    """What is known of values beyond their moments.

    Args:
        law: what an activation would receive, where that is Gaussian or a norm's output. It stands
            for its square root of 2^unit times, which a homogeneous activation passes on.
        source: the activation whose output this is, if it is one's.
        normalized: whether a norm below depends on the values as a whole, so that its backward pass
            asks for more than two moments.
    """

    law: Law | Sampled | None = None
    unit: float = 0.0
    source: Source | None = None
    normalized: bool = False


NO_LAW, EXACT, ONE_PLACE = KnownLaw(), Errors(), Places()


class ForwardMoments(NamedTuple):
    """Second moments of an operation's output x over a batch; what is nan is not known.

    Args:
        log2_ms: log2 of E x^2.
        sample_correlation: E x x' between two samples, over E x^2.
        log2_spread: log2 of the variance between samples, E x^2 - E x x'. It stands for itself
            because the difference loses digits.
        mean: E x over the root of E x^2.
    """

    log2_ms: float
    sample_correlation: float
    log2_spread: float
    mean: float = 0.0
    known: KnownLaw = NO_LAW
    errors: Errors = EXACT
    places: Places = ONE_PLACE

    def become(
        self,
        log2_ms: float,
        sample_correlation: float,
        log2_spread: float,
        mean: float = 0.0,
        known: KnownLaw = NO_LAW,
        errors: Errors | None = None,
        places: Places | None = None,
    ) -> "ForwardMoments":
        """The output of an operation on this: of its errors and places where it says no others."""
        return ForwardMoments(
            log2_ms,
            sample_correlation,
            log2_spread,
            mean,
            known,
            self.errors if errors is None else errors,
            self.places if places is None else places,
        )

    def become_zero(self, known: KnownLaw = NO_LAW) -> "ForwardMoments":
        """Values that are exactly 0."""
        return self.become(-inf, 0.0, -inf, known=known, places=Places(self.places.positions))

    @property
    def law(self) -> Law | Sampled | None:
        return self.known.law

    @property
    def error(self) -> float:
        """Relative error of the mean square."""
        return self.errors.mean_square

    @property
    def position_correlation(self) -> float:
        """Between two positions of one sample."""
        own = self.places.correlation
        return self.sample_correlation if own is None else own

    @property
    def received_correlation(self) -> float | None:
        """Between positions, of what an affine map moved: the law's own, before gain and shift."""
        own, law = self.places.correlation, self.law
        if own is None or not isinstance(law, Gaussian) or not law.shift:
            return own
        square = law.gain**2 * law.variance
        return (own * (square + law.shift**2) - law.shift**2) / square

    def without_mean(self) -> "ForwardMoments":
        """Less the mean over the entries of each sample."""
        if not self.mean:
            return self._replace(known=NO_LAW)
        left = 1 - self.mean**2
        own, law = self.places.correlation, self.law
        samples = (self.sample_correlation - self.mean**2) / left if left > 0 else 0.0
        if own is not None:
            own = (own - self.mean**2) / left if left > 0 else 0.0
        known = NO_LAW
        if isinstance(law, Gaussian) and not self.known.normalized:
            known = KnownLaw(replace(law, shift=0.0))
        return self.become(
            self.log2_ms + log2_of(left),
            samples,
            self.log2_spread,
            known=known,
            places=self.places._replace(correlation=own),
        )


UNKNOWN = ForwardMoments(nan, nan, nan, nan)


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
            Places(own.positions, between, mixed(own.profile, theirs.profile, share)),
            Ties(channels=channels),
        )


NOTHING = BackwardMoments(-inf, 0.0)
UNKNOWN_GRADIENT = BackwardMoments(nan, nan)


def log2_of(value: float) -> float:
    """log2, with -inf at 0 and below, where rounding may lead; nan stays."""
    return log2(value) if value > 0 else nan if value != value else -inf


def product_of(a: float, b: float) -> float:
    """log2 of a product from those of its factors; 0 times infinity is 0, since what is exactly 0
    stays so."""
    return -inf if -inf in (a, b) else a + b


def sum_of(a: float, b: float) -> float:
    """log2 of a sum from those of its terms."""
    low, high = (a, b) if a < b else (b, a)
    return high if low == -inf or high == inf else high + log1p(2.0 ** (low - high)) / log(2)
