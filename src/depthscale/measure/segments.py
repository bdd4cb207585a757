"""Segments of a depth that have rates of their own, where one that grows and one that shrinks make
up for each other."""

from dataclasses import dataclass
from itertools import groupby, pairwise
from math import exp, isqrt, log, sqrt

import numpy as np
from numpy.typing import NDArray

from depthscale.numerics import as_sure_as, normal_deviate
from depthscale.run import Array

_SHORTEST = 3  # steps of a segment, whose error is then read with Student's t
# of twice the log likelihood ratio: chance reaches 24 once in 1,000 depths of 28 steps, and then
# hardly ever both grows and shrinks
_CLEARLY = 20.0
# of two logarithms: a change that much smaller than its opposite makes up for nothing
_BESIDE = 4.0
_LEAST_LEFT = 1e-12  # of the squares, that is not rounding
_LEAST = 1.0  # log2 of a mean square's factor: less is no growth, however sure
_SURELY = 3.0  # standard normal deviates of a segment's rate from 1


@dataclass(frozen=True)
class Segment:
    """Consecutive steps of depth.

    Attributes:
        first, last: their numbers, from 0 at the input.
        rate: factor of the mean square per step towards the input (of an activation, towards the
            output).
        log_stderr: of its logarithm.
    """

    first: int
    last: int
    rate: float
    log_stderr: float

    @property
    def steps(self) -> int:
        return self.last - self.first + 1

    @property
    def change(self) -> float:
        """log2 of the factor of the mean square over the segment."""
        return log(self.rate) / log(2) * self.steps

    @property
    def direction(self) -> int:
        """1 where it surely grows, -1 where it surely shrinks, else 0."""
        if not self.log_stderr:
            return (self.rate > 1) - (self.rate < 1)
        sure = float(normal_deviate(np.array(log(self.rate) / self.log_stderr), self.steps - 1))
        return (sure > _SURELY) - (sure < -_SURELY)

    @property
    def interval(self) -> tuple[float, float]:
        """The rates that this one cannot be told from, as of a Growth."""
        k = as_sure_as(_SURELY, self.steps - 1) * self.log_stderr
        return self.rate * exp(-k), self.rate * exp(k)


def segments(log_steps: Array) -> tuple[Segment, ...]:
    """The parts of a depth, from the input up, of which one surely grows and another surely
    shrinks; else nothing.

    The part that differs most from the rest is cut out, and each part is searched again, while
    twice the log likelihood ratio says so (binary segmentation, with two ends, so that a depth may
    turn twice). Neighbours of one direction are one segment.

    Args:
        log_steps: [n] growth of the logarithm over each step.

    Source: Olshen et al. 2004.
    """
    if min(np.maximum(sign * log_steps, 0.0).sum() for sign in (1, -1)) <= _LEAST * log(2):
        return ()  # no part changes by more than its steps of one direction do
    ends = _ends(log_steps)
    parts = [
        _segment(log_steps, first, end) for first, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    up, down = (
        sum(max(sign * part.change * abs(part.direction), 0.0) for part in parts)
        for sign in (1, -1)
    )
    if min(up, down) <= max(_LEAST, max(up, down) / _BESIDE):
        return ()
    alike = (list(same) for _, same in groupby(parts, key=lambda part: part.direction))
    return tuple(_segment(log_steps, same[0].first, same[-1].last + 1) for same in alike)


def evidence_of_a_cut(log_steps: Array) -> float:
    """Twice the log likelihood ratio of two parts with a rate each, cut where they fit best, to one
    rate; less 2 for the place."""
    found = _best_part(log_steps, from_the_end=True)
    return found[2] - 2 if found else 0.0


def _ends(log_steps: Array) -> list[int]:
    """Where segments end."""
    ends, waiting = [], [(0, len(log_steps))]
    while waiting:
        first, end = waiting.pop()
        found = _best_part(log_steps[first:end])
        if found is None or found[2] < _CLEARLY:
            ends.append(end)
        else:
            waiting += pairwise(sorted({first, first + found[0], first + found[1], end}))
    return sorted(ends)


def _best_part(log_steps: Array, from_the_end: bool = False) -> tuple[int, int, float] | None:
    """The part that differs most from all the rest: first, end, and twice the log likelihood ratio
    of two means to one. A part that reaches the last step is what lies before it, as the rest."""
    n = len(log_steps)
    if n < 2 * _SHORTEST:
        return None
    deviations = log_steps - log_steps.mean()
    around = float((deviations**2).sum())
    if not around > 0:
        return None
    sums, ends = np.append(0.0, np.cumsum(deviations)), np.arange(_SHORTEST, n - _SHORTEST + 1)
    origin = np.zeros(1, int)
    places = np.append(origin, ends)
    first, end, mean = _apart(sums, origin, ends) if from_the_end else _farthest(sums, places)
    return first, end, -n * log(max(1 - n * mean / around, _LEAST_LEFT))


def _farthest(sums: Array, places: NDArray[np.int64]) -> tuple[int, int, float]:
    """Of all pairs of places that with the part between them that explains most. Pairs are looked
    at by blocks, those first whose extremes leave most room, until no room is left."""
    n, width = len(sums) - 1, isqrt(len(places))
    blocks = [places[k : k + width] for k in range(0, len(places), width)]
    low, high = (np.array([end(sums[block]) for block in blocks]) for end in (np.min, np.max))
    begin, stop = np.array([(block[0], block[-1]) for block in blocks]).T
    farthest = np.maximum(high - low[:, None], high[:, None] - low)
    least, most = (
        np.maximum(size, _SHORTEST) for size in (begin - stop[:, None], stop - begin[:, None])
    )
    room = np.triu(farthest**2 / np.minimum(least * (n - least), most * (n - most)))
    best = 0, 0, 0.0
    for pair in np.argsort(-room, axis=None):
        i, j = divmod(int(pair), len(blocks))
        if room[i, j] <= best[2]:
            return best
        best = max(best, _apart(sums, blocks[i], blocks[j]), key=lambda found: found[2])
    return best


def _apart(
    sums: Array, firsts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[int, int, float]:
    """The part between two of these places that explains most of the squares, and how much over
    the number of steps. / sums: [n + 1] of deviations from the mean, up to each place."""
    size = ends - firsts[:, None]
    products = np.where(size < _SHORTEST, np.inf, size * (len(sums) - 1.0 - size))
    explained = (sums[ends] - sums[firsts][:, None]) ** 2 / products
    i, j = divmod(int(explained.argmax()), len(ends))
    return int(firsts[i]), int(ends[j]), float(explained[i, j])


def _segment(log_steps: Array, first: int, end: int) -> Segment:
    part = log_steps[first:end]
    return Segment(
        first, end - 1, exp(float(part.mean())), float(part.std(ddof=1)) / sqrt(len(part))
    )
