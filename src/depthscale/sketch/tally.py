"""Tally: what one pass over values counts, and how two counts add up."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import ldexp

import numpy as np
from numpy.typing import NDArray

from depthscale.sketch.bins import (
    FIRST_NORMAL,
    LEAST,
    SIGN,
    TINY,
    divide_by_power_of_two,
    lower_edge,
    upper_edge,
)


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of values x = v 2^log2_scale, by the pattern of v.

    patterns: [bins] occupied regular patterns, ascending; counts: [bins] how many values each
    holds, > 0.
    zeros: values equal to 0; tiny: (negative, positive) nonzero values with |v| < 2^-133;
    infinities: (negative, positive); nans.
    total, square_total: sums of v and v^2 over the finite values, accumulated in float64.
    smallest, largest: extreme nonzero finite |v|, or (inf, 0) where there is none.
    """

    patterns: NDArray[np.uint16]
    counts: NDArray[np.int64]
    zeros: int = 0
    tiny: tuple[int, int] = (0, 0)
    infinities: tuple[int, int] = (0, 0)
    nans: int = 0
    total: float = 0.0
    square_total: float = 0.0
    smallest: float = np.inf
    largest: float = 0.0
    log2_scale: int = 0

    @cached_property
    def nonzero(self) -> int:
        """Number of finite values other than 0."""
        return int(self.counts.sum()) + sum(self.tiny)

    @cached_property
    def finite(self) -> int:
        return self.nonzero + self.zeros

    @cached_property
    def count(self) -> int:
        return self.finite + sum(self.infinities) + self.nans

    def __add__(self, other: "Tally") -> "Tally":
        """Tally of both sets of values; counts are exact, in any order. The larger of the two
        scales is kept."""
        a, b = _on_one_scale(self, other)
        patterns, counts = gather(
            np.concatenate([a.patterns, b.patterns]), np.concatenate([a.counts, b.counts])
        )
        return Tally(
            patterns,
            counts,
            a.zeros + b.zeros,
            _pairwise(a.tiny, b.tiny),
            _pairwise(a.infinities, b.infinities),
            a.nans + b.nans,
            a.total + b.total,
            a.square_total + b.square_total,
            min(a.smallest, b.smallest),
            max(a.largest, b.largest),
            a.log2_scale,
        )

    def times(self, copies: int) -> "Tally":
        """Tally of every value repeated `copies` times (an expanded tensor's)."""
        if copies == 1:
            return self
        if copies == 0:
            return EMPTY
        return replace(
            self,
            counts=self.counts * copies,
            zeros=self.zeros * copies,
            tiny=_pairwise((0, 0), self.tiny, copies),
            infinities=_pairwise((0, 0), self.infinities, copies),
            nans=self.nans * copies,
            total=self.total * copies,
            square_total=self.square_total * copies,
        )

    @property
    def subnormal(self) -> NDArray[np.bool_]:
        """Which patterns lie below 2^-126."""
        return (self.patterns & (SIGN - 1)) < FIRST_NORMAL

    def scaled(self, power: int) -> "Tally":
        """Tally of the values times 2^power, by their scale alone; without nonzero finite values
        there is none to carry."""
        return (
            replace(self, log2_scale=self.log2_scale + power if self.nonzero else 0)
            if power
            else self
        )

    def shifted(self, power: int) -> "Tally":
        """The same values under a scale larger by `power` >= 0; what falls below 2^-133 there
        becomes tiny."""
        if power == 0:
            return self
        moved = divide_by_power_of_two(self.patterns, power)
        regular = (moved & (SIGN - 1)) > 0
        patterns, counts = gather(moved[regular], self.counts[regular])
        lost = self.counts * ~regular
        negative = self.patterns >= SIGN
        return replace(
            self,
            patterns=patterns,
            counts=counts,
            tiny=(
                self.tiny[0] + int(lost[negative].sum()),
                self.tiny[1] + int(lost[~negative].sum()),
            ),
            total=ldexp(self.total, -power),
            square_total=ldexp(self.square_total, -2 * power),
            smallest=max(ldexp(self.smallest, -power), LEAST),
            largest=ldexp(self.largest, -power),
            log2_scale=self.log2_scale + power,
        )

    @cached_property
    def signed(self) -> "Intervals":
        """The finite values as intervals, ascending."""
        negative = self.patterns >= SIGN
        low, high = self._ends(self.patterns)
        below, above = self.counts[negative], self.counts[~negative]
        tiny_low, tiny_high = self._tiny_ends
        return _occupied(
            np.concatenate([-high[negative][::-1], [-tiny_high, 0.0, tiny_low], low[~negative]]),
            np.concatenate([-low[negative][::-1], [-tiny_low, 0.0, tiny_high], high[~negative]]),
            np.concatenate([below[::-1], [self.tiny[0], self.zeros, self.tiny[1]], above]),
        )

    @cached_property
    def magnitudes(self) -> "Intervals":
        """The nonzero finite magnitudes as intervals, ascending."""
        patterns, counts = gather((self.patterns & (SIGN - 1)).astype(np.uint16), self.counts)
        low, high = self._ends(patterns)
        tiny_low, tiny_high = self._tiny_ends
        return _occupied(
            np.concatenate([[tiny_low], low]),
            np.concatenate([[tiny_high], high]),
            np.concatenate([[sum(self.tiny)], counts]),
        )

    def magnitudes_up_to(self, limit: float, *, inclusive: bool) -> float:
        """Number of nonzero finite magnitudes < limit (<= limit if inclusive); as of `magnitudes`,
        which one limit does not pay for."""
        if limit < self.smallest:
            return 0.0
        if limit > self.largest:
            return float(self.nonzero)
        regular = _share_below(*self._ends(self.patterns), limit, inclusive) @ self.counts
        low, high = np.array(self._tiny_ends)
        return float(regular + _share_below(low, high, limit, inclusive) * sum(self.tiny))

    def _ends(
        self, patterns: NDArray[np.uint16]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of each pattern's bin of magnitudes, narrowed by the extreme ones seen."""
        return np.maximum(lower_edge(patterns), self.smallest), np.minimum(
            upper_edge(patterns), self.largest
        )

    @property
    def _tiny_ends(self) -> tuple[float, float]:
        return (
            (min(self.smallest, TINY), min(self.largest, TINY)) if any(self.tiny) else (0.0, TINY)
        )


@dataclass(frozen=True)
class Intervals:
    """Disjoint intervals in ascending order and how many values lie in each; low = high marks a
    single value."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64]

    @cached_property
    def cumulative(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.counts)])

    def below(self, edges: NDArray[np.float64], *, inclusive: bool = False) -> NDArray[np.float64]:
        """Number of values < edge (<= edge if inclusive), taking values as even within their
        interval.

        error: at most the count of the interval that the edge cuts or touches.
        """
        if not len(self.low):
            return np.zeros(len(edges))
        last = np.searchsorted(self.low, edges, side="right" if inclusive else "left") - 1
        low, high = self.low[last], self.high[last]
        width = high - low
        within = np.clip(edges, low, high) - low
        share = np.divide(within, width, out=np.ones_like(width), where=width > 0)
        return np.where(last < 0, 0.0, self.cumulative[last] + share * self.counts[last])

    def at_rank(self, rank: int) -> float:
        """The rank-th smallest value (from 1), taken as the middle of its interval."""
        i = int(np.searchsorted(self.cumulative, rank, side="left")) - 1
        return float(self.low[i] / 2 + self.high[i] / 2)


def _share_below(
    low: NDArray[np.float64], high: NDArray[np.float64], limit: float, inclusive: bool
) -> NDArray[np.float64]:
    """Of values that are even within intervals, or equal to their one end."""
    width = high - low
    share = np.clip((limit - low) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    begun = low <= limit if inclusive else low < limit
    return np.where(width > 0, share, begun)


def _occupied(
    low: NDArray[np.float64], high: NDArray[np.float64], counts: NDArray[np.int64]
) -> Intervals:
    kept = counts > 0
    return Intervals(low[kept], high[kept], counts[kept])


def _pairwise(a: tuple[int, int], b: tuple[int, int], times: int = 1) -> tuple[int, int]:
    return a[0] + times * b[0], a[1] + times * b[1]


def gather(
    patterns: NDArray[np.uint16], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Each distinct pattern once, ascending, with the sum of its counts."""
    wide = patterns.astype(np.int32)  # ascending runs of 32 bits are merged, not sorted anew
    order = wide.argsort(kind="stable")
    begins = np.flatnonzero(np.diff(wide[order], prepend=np.int32(-1)))
    return patterns[order[begins]], np.add.reduceat(counts[order], begins)


def _on_one_scale(a: Tally, b: Tally) -> tuple[Tally, Tally]:
    """Both under the larger scale; a tally without nonzero finite values has no scale of its
    own."""
    if not a.nonzero:
        return replace(a, log2_scale=b.log2_scale), b
    if not b.nonzero:
        return a, replace(b, log2_scale=a.log2_scale)
    scale = max(a.log2_scale, b.log2_scale)
    return a.shifted(scale - a.log2_scale), b.shifted(scale - b.log2_scale)


EMPTY = Tally(np.zeros(0, np.uint16), np.zeros(0, np.int64))
