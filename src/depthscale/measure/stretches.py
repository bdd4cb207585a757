"""Stretches of a depth that have rates of their own, where one that grows and one that shrinks make
up for each other."""

from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from math import exp, log, sqrt

import numpy as np

from depthscale.numerics.student import as_sure_as, normal_deviate
from depthscale.run import Array

_SHORTEST = 3  # steps of a stretch, whose error is then read with Student's t
# of twice the log likelihood ratio: chance reaches 24 once in 1,000 depths of 28 steps, and then
# hardly ever turns
_CLEARLY = 20.0
# of two logarithms: a change that much smaller than its opposite makes up for nothing
_BESIDE = 4.0
_LEAST = 1.0  # log2 of a mean square's factor: less is no growth, however sure
_SURELY = 3.0  # standard normal deviates of a stretch's rate from 1


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps. / first, last: their numbers, from 0 at the input; rate: factor of the
    mean square per step towards the input (of an activation, towards the output); log_stderr: of
    its logarithm."""

    first: int
    last: int
    rate: float
    log_stderr: float

    @property
    def steps(self) -> int:
        return self.last - self.first + 1

    @property
    def change(self) -> float:
        """log2 of the factor of the mean square over the stretch."""
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


def stretches(log_steps: Array) -> tuple[Stretch, ...]:
    """Where a depth turns: stretches, from the input up, of which one surely grows and another
    surely shrinks; else nothing.

    log_steps: [n] growth of the logarithm over each step. / The part that differs most from the
    rest is cut out, and each part searched again, while twice the log likelihood ratio says so
    (binary segmentation, with two ends, so that a depth may turn twice); neighbours of one
    direction are one stretch. / source: Olshen et al. 2004.
    """
    if len(log_steps) < 2 * _SHORTEST:
        return ()
    ends = [*_cuts(log_steps, 0), len(log_steps)]
    parts = [
        _stretch(log_steps, first, end) for first, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    up, down = (
        sum(max(sign * part.change * abs(part.direction), 0.0) for part in parts)
        for sign in (1, -1)
    )
    if min(up, down) <= max(_LEAST, max(up, down) / _BESIDE):
        return ()
    alike = (list(each) for _, each in groupby(parts, key=lambda part: part.direction))
    return tuple(_stretch(log_steps, each[0].first, each[-1].last + 1) for each in alike)


def evidence_of_a_cut(log_steps: Array) -> float:
    """Twice the log likelihood ratio of two parts with a rate each, cut where they fit best, to one
    rate; less 2 for the place."""
    found = _best_part(log_steps, from_the_end=True)
    return found[2] - 2 if found else 0.0


def _cuts(log_steps: Array, offset: int) -> list[int]:
    """Where stretches end, the last end left out."""
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
    for first in range(1 if from_the_end or not around > 0 else max(n - _SHORTEST, 1)):
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


def _stretch(log_steps: Array, first: int, end: int) -> Stretch:
    part = log_steps[first:end]
    return Stretch(
        first, end - 1, exp(float(part.mean())), float(part.std(ddof=1)) / sqrt(len(part))
    )
