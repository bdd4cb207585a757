"""Positions that are not alike: at a border of zeros values are smaller, and what is read less
often gets less gradient.

A profile holds mean squares by position, relative to their mean: a vector for each axis, of which
the profile is the product. A convolution acts on each axis alone and an activation by a power of
the variance, 1 where it is homogeneous, so that without residual sums and biases a profile of those
is exact; of a sum it holds each axis alone. Products between two positions count as the roots of
both, so that they are all alike; what a border leaves of a pattern that samples share is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.network import Window

PositionProfile = tuple[tuple[float, ...], ...]

_EVEN = 1e-12  # what is left to rounding


@dataclass(frozen=True)
class WindowMoments:
    """What a window does to a profile. / mean: of mean squares, over the taps; profile: of the
    output, None where it is even.

    pairs: by which the mean product of two points of different samples, over the mean square, is
    multiplied.
    shared_profile: of such products over one of the two points, relative to their mean; None where
    that is even.
    pattern: mean square of what the product of two points of different samples is beyond what they
    share with all, as `pairs`.
    """

    mean: float
    pairs: float
    profile: PositionProfile | None
    shared_profile: PositionProfile | None
    pattern: float


@lru_cache(maxsize=256)
def forward_moments(
    window: Window, profile: PositionProfile | None, shared: PositionProfile | None = None
) -> WindowMoments:
    """The mean over taps at every place; what lies outside is 0. / shared: of the input, None: as
    the roots of its profile."""
    even = _even(window.size)
    seen = [np.append(m, 0.0)[axis] for axis, m in zip(window.axes, profile or even, strict=True)]
    roots = [
        np.append(m, 0.0)[axis]
        for axis, m in zip(window.axes, shared or _roots(profile or even), strict=True)
    ]
    return _moments(seen, roots)


@lru_cache(maxsize=1 << 12)
def bound_of_pattern(
    window: Window, profile: PositionProfile | None, shared: PositionProfile | None, ratio: float
) -> float:
    """How much of the variance over a batch a window may lose to what it hands on of the pattern
    that borders left before.

    All samples have in common a pattern over positions, whose mean a batch norm takes away. A tap
    sees all but a share e of it, and the mean of what it sees is that of the rest, whose square is
    at most e^2 times the largest mean square of the pattern (Cauchy and Schwarz). An activation
    passes on at most 1 - ratio of a correlation, since its Hermite coefficients' squares are
    positive, so that all earlier patterns together are at most 1 / ratio of one. / ratio: of what
    the window reads.
    """
    taps = forward_moments(window, profile, shared)
    if taps.pairs == 1 or ratio <= 0:
        return 0.0
    product = ratio * taps.pairs
    m, k = (_grid(each or _even(window.size_out)) for each in (taps.profile, taps.shared_profile))
    pattern = float((ratio * m - 2 * product * k + product).max())
    inside = _grid(tuple(tuple((axis >= 0).mean(axis=0).tolist()) for axis in window.axes))
    left_out = float(np.square(1 - inside).mean()) / taps.mean
    return (1 / ratio - 1) * left_out * pattern / (1 - product) ** 2


def _grid(profile: PositionProfile) -> NDArray[np.float64]:
    return reduce(np.multiply.outer, map(np.array, profile))


@lru_cache(maxsize=256)
def backward_moments(window: Window, profile: PositionProfile | None) -> WindowMoments:
    """The mean over taps of what every entry gets back; what no place reads gets 0."""
    arriving = [
        np.array([np.bincount(tap[tap >= 0], np.array(w)[tap >= 0], n) for tap in axis.T]).T
        for axis, n, w in zip(
            window.axes, window.size, profile or _even(window.size_out), strict=True
        )
    ]
    mean_roots = [float(np.sqrt(w).mean()) for w in profile or _even(window.size_out)]
    return _moments(
        arriving, [np.sqrt(each) / mean for each, mean in zip(arriving, mean_roots, strict=True)]
    )


def centred(
    profile: PositionProfile | None, shared: PositionProfile | None, ratio: float
) -> PositionProfile | None:
    """Less the mean over all points, with which a point has `shared` to do. / ratio: of the mean
    product over all pairs."""
    if shared is None or ratio >= 1:
        return profile
    pairs = zip(profile or [np.ones(len(k)) for k in shared], shared, strict=True)
    return tuple(
        tuple(((np.array(m) - 2 * ratio * np.array(k) + ratio) / (1 - ratio)).tolist())
        for m, k in pairs
    )


def mixed(
    a: PositionProfile | None, b: PositionProfile | None, share: float
) -> PositionProfile | None:
    """Of a sum, of which a has this share."""
    if a is None and b is None:
        return None
    x, y = ([np.array(m) for m in each] if each else None for each in (a, b))
    pairs = zip(
        x or [np.ones_like(m) for m in y or []],
        y or [np.ones_like(m) for m in x or []],
        strict=True,
    )
    return tuple(tuple((share * m + (1 - share) * n).tolist()) for m, n in pairs)


def log_variance(profile: PositionProfile) -> float:
    """Variance of the log over the positions."""
    return sum(float(np.log(m).var()) for m in profile)


def raised(
    profile: PositionProfile, power: float, by: PositionProfile | None = None
) -> tuple[float, PositionProfile]:
    """profile^power times `by`: its mean, and itself over that."""
    rows = [
        np.array(m) ** power * w
        for m, w in zip(profile, by or _even(tuple(map(len, profile))), strict=True)
    ]
    means = [float(row.mean()) for row in rows]
    return prod(means), tuple(
        tuple((row / mean).tolist()) for row, mean in zip(rows, means, strict=True)
    )


def squared_root(profile: PositionProfile) -> float:
    """The square of the mean root: the mean over pairs of positions of what goes as the roots of
    both."""
    return prod(float(np.sqrt(m).mean()) ** 2 for m in profile)


@lru_cache(maxsize=256)
def overlap(window: Window, x: PositionProfile | None, g: PositionProfile | None) -> float:
    """Mean over the places of what the taps see times the gradient there, both relative: of a
    weight's gradient."""
    pairs = zip(window.axes, x or _even(window.size), g or _even(window.size_out), strict=True)
    return prod(float((np.append(m, 0.0)[axis].mean(axis=1) * w).mean()) for axis, m, w in pairs)


def _even(size: tuple[int, ...]) -> PositionProfile:
    return tuple((1.0,) * n for n in size)


def _roots(profile: PositionProfile) -> list[NDArray[np.float64]]:
    """Over their mean."""
    return [np.sqrt(m) / np.sqrt(m).mean() for m in profile]


def _moments(values: Sequence[NDArray[Any]], roots: Sequence[NDArray[Any]]) -> WindowMoments:
    """For each axis, [places, taps], of what each tap brings to each place. / roots: of mean 1 over
    all that there was."""
    outs = [each.mean(axis=1) for each in values]
    grams = [root @ root.T / root.shape[1] for root in roots]
    products = [gram.mean(axis=0) for gram in grams]
    mean, product = (prod(float(each.mean()) for each in some) for some in (outs, products))
    squares = [prod(float(np.square(each).mean()) for each in some) for some in (grams, products)]
    pairs, pattern = product / mean, (squares[0] - 2 * squares[1] + product**2) / mean**2
    return WindowMoments(
        mean,
        1.0 if abs(pairs - 1) < _EVEN else pairs,
        profile_of(outs),
        profile_of(products),
        max(pattern, 0.0),
    )


def profile_of(rows: Sequence[NDArray[Any]]) -> PositionProfile | None:
    """Mean squares along each axis, relative; None where they are even."""
    if all(np.ptp(each) <= _EVEN * each.mean() for each in rows):
        return None
    return tuple(tuple((each / each.mean()).tolist()) for each in rows)
