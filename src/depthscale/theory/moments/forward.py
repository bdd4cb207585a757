"""ForwardMoments: second moments of an operation's output, where samples are alike.

They are made of a few small records. `become` makes an output's record of its input's: what an
operation must say (moments, law) it says, what it may leave as it is (errors, places) it hands on
without a word, so that no rule drops a bound by forgetting it.
"""

from dataclasses import replace
from math import inf, nan
from typing import NamedTuple

from depthscale.network import Phi
from depthscale.theory.moments.laws import Gaussian, Law, Sampled
from depthscale.theory.moments.log2 import log2_of
from depthscale.theory.space.border_profile import PositionProfile
from depthscale.theory.space.position_gram import PositionGram


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
        gram: of which correlation and profile are the means, where pairs of positions differ.
    """

    positions: int = 1
    correlation: float | None = None
    profile: PositionProfile | None = None
    shared_profile: PositionProfile | None = None
    variance_fluctuation: float = 0.0
    gram: PositionGram | None = None

    @classmethod
    def of(cls, gram: PositionGram) -> "Places":
        own = None if gram.is_even else gram
        return cls(gram.positions, gram.correlation, gram.profile, gram=own)

    def with_profile(self, profile: PositionProfile | None) -> "Places":
        """Without the pattern that a window left, too."""
        if profile is self.profile is self.shared_profile is None:
            return self
        return Places(self.positions, self.correlation, profile)

    def with_correlation(self, correlation: float | None) -> "Places":
        return self if correlation is self.correlation else self._replace(correlation=correlation)

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


# |log2| of a variance from which a homogeneous activation is asked at variance 1 instead
_BEYOND = 400.0

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
    def gram(self) -> PositionGram:
        """Of all pairs of positions; an even one where those are alike."""
        own = self.places
        return own.gram or PositionGram.even(own.positions, self.position_correlation, own.profile)

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
            places=self.places.with_correlation(own),
        )


UNKNOWN = ForwardMoments(nan, nan, nan, nan)


def gaussian_law(log2_ms: float, correlation: float) -> KnownLaw:
    """Of Gaussian values, of a unit where float64 does not hold their variance."""
    if abs(log2_ms) < _BEYOND or log2_ms != log2_ms:
        return KnownLaw(Gaussian(2.0**log2_ms, correlation))
    return KnownLaw(Gaussian(1.0, correlation), log2_ms)
