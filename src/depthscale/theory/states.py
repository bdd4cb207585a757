"""What travels through a graph when samples are alike: second moments forward, and the gradient's
backward."""

from dataclasses import dataclass, replace
from math import inf, log, log1p, log2, nan
from typing import NamedTuple

import numpy as np

from depthscale.network import Phi
from depthscale.theory.laws import Gaussian, Law, Sampled, WeightedSlopes
from depthscale.theory.profiles import Profile, mixed


@dataclass(frozen=True, slots=True)
class Source:
    """The activation that gave an output, and what it received. / received: stands for its square
    root of 2^unit times.

    near: correlation of what it received between two positions of one sample, None as between
    samples; normalized: as a Signal's.
    """

    activation: Phi
    received: Law | Sampled
    unit: float
    near: float | None = None
    normalized: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """Second moments of an operation's output x over a batch.

    log2_ms: log2 of E x^2. ratio: E x x' between two samples over E x^2. log2_spread: log2 of the
    variance between samples, E x^2 - E x x', kept for itself because the difference loses digits.
    mean: E x over the root of E x^2. error: relative.
    law: what an activation would receive, where that is Gaussian or a norm's output; it stands for
    its square root of 2^unit times, which a homogeneous activation passes on. source: the
    activation whose output this is, if it is one's.
    normalized: whether a norm below depends on it as a whole, so that its backward pass asks for
    more than two moments.
    positions: of a sample (pixels, tokens). near: ratio between two of them, None where they are as
    two samples are.
    profile: where positions differ in their mean squares; ratio and near are then of the mean
    product over all pairs.
    common: where they differ in what they share with all points. wavering: relative variance, over
    channels, of the variance over a batch and its positions, as far as it comes from a pattern that
    the samples have in common.
    spread_error: relative, of the spread, where it is larger. What is nan is not known.
    """

    log2_ms: float
    ratio: float
    log2_spread: float
    mean: float = 0.0
    law: Law | Sampled | None = None
    unit: float = 0.0
    source: Source | None = None
    normalized: bool = False
    error: float = 0.0
    positions: int = 1
    near: float | None = None
    spread_error: float = 0.0
    profile: Profile | None = None
    common: Profile | None = None
    wavering: float = 0.0

    @property
    def within(self) -> float:
        """Ratio between two positions of one sample."""
        return self.ratio if self.near is None else self.near

    @property
    def received_near(self) -> float:
        """As `within`, of what an affine map moved: the law's own, before gain and shift."""
        if self.near is None or not isinstance(self.law, Gaussian) or not self.law.shift:
            return self.within
        square = self.law.gain**2 * self.law.variance
        return (self.near * (square + self.law.shift**2) - self.law.shift**2) / square

    @property
    def is_sampled(self) -> bool:
        """Whether it, or what gave it, is known by virtual channels alone."""
        return isinstance(self.law, Sampled) or (
            self.source is not None and isinstance(self.source.received, Sampled)
        )

    def without_mean(self) -> "Signal":
        """Less the mean over the entries of each sample."""
        if not self.mean:
            return replace(self, law=None, unit=0.0, source=None, normalized=False)
        left = 1 - self.mean**2
        ratio = (self.ratio - self.mean**2) / left if left > 0 else 0.0
        near = None if self.near is None else (self.near - self.mean**2) / left if left > 0 else 0.0
        log2_ms, law = self.log2_ms + log2_of(left), self.law
        law = replace(law, shift=0.0) if isinstance(law, Gaussian) and not self.normalized else None
        return Signal(
            log2_ms,
            ratio,
            self.log2_spread,
            law=law,
            error=self.error,
            positions=self.positions,
            near=near,
            spread_error=self.spread_error,
        )


UNKNOWN = Signal(nan, nan, nan, nan)


class Weighted(NamedTuple):
    """A gradient just below an activation that received a norm's output: slopes times a gradient
    above that is independent.

    ratio, near: of the gradient above, between samples and between positions; log2_unit: log2 of
    its mean square.
    slopes: with products between two samples; near_slopes: between two positions of one, None where
    those are the same.
    """

    slopes: WeightedSlopes
    ratio: float
    log2_unit: float
    near: float | None = None
    near_slopes: WeightedSlopes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """A gradient's second moments given what each virtual channel saw, [replicates, channels] each,
    times 2^log2_unit.

    square: at a point; product: with another sample; near: with another position of its sample.
    """

    square: np.ndarray
    product: np.ndarray
    near: np.ndarray
    log2_unit: float

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.square, self.product, self.near

    def plus(self, other: "Gradient") -> "Channels":
        """With a gradient that is uncorrelated with this one: its channels, if it has some, are the
        same ones."""
        c = other.channels
        theirs = c.moments if c else (1.0, other.ratio, other.within)
        unit = max(self.log2_unit, log2_unit := c.log2_unit if c else other.log2_ms)
        ours, factor = 2.0 ** (self.log2_unit - unit), 2.0 ** (log2_unit - unit)
        square, product, near = (
            ours * a + factor * b for a, b in zip(self.moments, theirs, strict=True)
        )
        return Channels(square, product, near, unit)


class Gradient(NamedTuple):
    """Second moments of dE/dx. / log2_ms, ratio, near, profile: as a Signal's; error: relative.

    weighted: where the gradient depends on the norm's output that it belongs to.
    below: the gradient at the input of the activation underneath, where a norm above that
    activation makes the two depend on each other. channels: where it depends on what a virtual
    channel saw.
    """

    log2_ms: float
    ratio: float
    error: float = 0.0
    weighted: Weighted | None = None
    below: "Gradient | None" = None
    near: float | None = None
    channels: Channels | None = None
    profile: Profile | None = None

    @property
    def within(self) -> float:
        """Ratio between two positions of one sample."""
        return self.ratio if self.near is None else self.near

    def times(self, log2_factor: float) -> "Gradient":
        """The gradient multiplied by a constant whose square is 2^log2_factor."""
        if not log2_factor:
            return self
        unit = self.weighted and self.weighted._replace(
            log2_unit=product_of(self.weighted.log2_unit, log2_factor)
        )
        channels = self.channels and replace(
            self.channels, log2_unit=product_of(self.channels.log2_unit, log2_factor)
        )
        return self._replace(
            log2_ms=product_of(self.log2_ms, log2_factor), weighted=unit, channels=channels
        )

    def plus(self, other: "Gradient") -> "Gradient":
        """The sum of two uncorrelated gradients."""
        if -inf in (self.log2_ms, other.log2_ms):
            return other if self.log2_ms == -inf else self
        total = sum_of(self.log2_ms, other.log2_ms)
        if total == inf:
            return Gradient(inf, self.ratio, near=self.near)
        share = 2.0 ** (self.log2_ms - total)
        near = (
            None
            if self.near is None and other.near is None
            else share * self.within + (1 - share) * other.within
        )
        ratio, channels = share * self.ratio + (1 - share) * other.ratio, None
        if self.channels or other.channels:
            channels = (
                self.channels.plus(other)
                if self.channels
                else other.channels and other.channels.plus(self)
            )
        profile = (
            mixed(self.profile, other.profile, share) if self.profile or other.profile else None
        )
        return Gradient(
            total,
            ratio,
            max(self.error, other.error),
            near=near,
            channels=channels,
            profile=profile,
        )


NOTHING = Gradient(-inf, 0.0)


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
