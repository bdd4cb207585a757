"""Segments of a depth that have rates of their own, where one that grows and one that shrinks make
up for each other."""

from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from math import exp, log, sqrt

import numpy as np

from depthscale.numerics import as_sure_as, normal_deviate
from depthscale.run import Array

_SHORTEST = 3  # steps of a segment, whose error is then read with Student's t
# of twice the log likelihood ratio: chance reaches 24 once in 1,000 depths of 28 steps, and then
# hardly ever both grows and shrinks
_CLEARLY = 20.0
# of two logarithms: a change that much smaller than its opposite makes up for nothing
_BESIDE = 4.0
_MOST_STARTS = 1000  # of a part that is looked for: a deeper network is searched in coarser steps
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
    if len(log_steps) < 2 * _SHORTEST:
        return ()
    ends = [*_cuts(log_steps, 0), len(log_steps)]
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


def _cuts(log_steps: Array, offset: int) -> list[int]:
    """Where segments end, the last end left out."""
    found = _best_part(log_steps)
    if not found or found[2] < _CLEARLY:
        return []
    places = [0, *(k for k in found[:2] if 0 < k < len(log_steps)), len(log_steps)]
    inner = [_cuts(log_steps[first:end], offset + first) for first, end in pairwise(places)]
    return [
        *chain.from_iterable(
            [*each, offset + end] for each, end in zip(inner, places[1:], strict=True)
        )
    ][:-1]


def _best_part(log_steps: Array, from_the_end: bool = False) -> tuple[int, int, float] | None:
    """The part that differs most from all the rest: first, end, and twice the log likelihood ratio
    of two means to one."""
    n, sums = len(log_steps), np.concatenate([[0.0], np.cumsum(log_steps)])
    around = float(((log_steps - log_steps.mean()) ** 2).sum()) if n else 0.0
    best: tuple[int, int, float] | None = None
    starts = 1 if from_the_end or not around > 0 else max(n - _SHORTEST, 1)
    for first in range(0, starts, 1 + n // _MOST_STARTS):
        ends = np.arange(first + _SHORTEST, n + 1)
        rest = n - (ends - first)
        ends = ends[
            (rest >= _SHORTEST)
            & ((first == 0) | (first >= _SHORTEST))
            & ((ends == n) | (n - ends >= _SHORTEST))
        ]
        if not len(ends) or not around > 0:
            continue
        inside, size = sums[ends] - sums[first], ends - first
        # what two means explain
        between = inside**2 / size + (sums[-1] - inside) ** 2 / (n - size) - sums[-1] ** 2 / n
        k = int(between.argmax())
        evidence = n * log(around / max(around - float(between[k]), 1e-12 * around))
        if best is None or evidence > best[2]:
            best = first, int(ends[k]), evidence
    return best


def _segment(log_steps: Array, first: int, end: int) -> Segment:
    part = log_steps[first:end]
    return Segment(
        first, end - 1, exp(float(part.mean())), float(part.std(ddof=1)) / sqrt(len(part))
    )
