"""Laws: how the steps of a quantity go along depth.

A law is chosen by its evidence: n log(residual of a constant factor / residual of the law), twice
the log likelihood ratio of n steps with Gaussian noise, less 2 for a fitted shape. No residual is
taken for smaller than what the error of each step leaves, so that a prediction, which has no noise,
is judged by what it shows beyond its own error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from depthscale.measure.segments import Segment, evidence_of_a_cut, segments
from depthscale.run import Array

_OFFSETS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # steps that the input stands for, in a power law
# of the evidence, past which a power law is taken for better than a constant factor, and a
# transient for better than a power law
_CLEARLY = 6.0
# exponent that a power law may have: a residual branch's gain, (pi/(pi-1))^3 = 3.2 for one of three
# Batch Norms; a steeper one is what a constant factor looks like by chance
_STEEPEST = 6.0
_FEWEST = 5  # steps that can tell laws apart
_KEPT = (0.3, 0.45, 0.6, 0.7, 0.8)  # of a transient's step, by the next one
_RATIOS = (1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)  # of a super-exponential's log steps
_LEAST_RISE = 2.0  # of a super-exponential's log step, from the first to the last
# as _CLEARLY, for a law with so many shapes: chance passes it once in 1,000 depths
_NO_CHANCE = 16.0
_LEAST_LEFT = 1e-12  # of a constant factor's residual, that a law with two shapes may leave


@dataclass(frozen=True)
class Factor:
    """A constant factor a step.

    Attributes:
        evidence: 0; the other laws' is counted from here.
    """

    kind: ClassVar = "factor"
    evidence: float = 0.0


@dataclass(frozen=True)
class Power:
    """Mean square ~ (depth + offset)^-exponent towards the input: steps of log size exponent log((k
    + 1 + offset) / (k + offset)).

    Attributes:
        exponent: above 0 where the mean square grows.
        stderr: of the exponent.
        evidence: of this law over a constant factor.
        offset: steps that the input stands for.

    Source: residual networks, arXiv:1712.08969.
    """

    kind: ClassVar = "power"
    exponent: float
    stderr: float
    evidence: float
    offset: float


@dataclass(frozen=True)
class Transient:
    """Steps that die away: of log size first, first kept, first kept^2, ... counted from one end,
    and none beyond.

    Attributes:
        first: log size of the first step.
        stderr: of it.
        evidence: of this law over a constant factor.
        kept: of a step, by the next one.
        from_input: whether they begin at the input or at the loss.
    """

    kind: ClassVar = "transient"
    first: float
    stderr: float
    evidence: float
    kept: float
    from_input: bool

    @property
    def reach(self) -> int:
        """Steps after which a tenth of the first one is left."""
        return ceil(log(0.1) / log(self.kept))


@dataclass(frozen=True)
class SuperExponential:
    """Steps whose log size itself grows with depth, by a ratio at each step from the input on.

    Attributes:
        last: log size of the step nearest the output.
        stderr: of it.
        evidence: of this law over a constant factor.
        ratio: of one step's log size to that of the step below it.
    """

    kind: ClassVar = "super-exponential"
    last: float
    stderr: float
    evidence: float
    ratio: float


@dataclass(frozen=True)
class Segments:
    """A depth that surely grows over one part and surely shrinks over another, so that no one rate
    describes it.

    Attributes:
        parts: from the input up.
        evidence: of the best cut over a constant factor.

    Source: Olshen et al. 2004 (circular binary segmentation).
    """

    kind: ClassVar = "segments"
    parts: tuple[Segment, ...]
    evidence: float


Law = Factor | Power | Transient | SuperExponential | Segments


def law_of(log_steps: Array, position: Sequence[float] | Array, error: float = 0.0) -> Law:
    """The law that describes the steps of one quantity best, a constant factor unless another one
    is clearly better.

    Args:
        log_steps: [n] growth of the logarithm over each step.
        position: [n] of each step, counted from the input.
        error: of each step's logarithm, below which a residual says nothing.
    """
    cut = evidence_of_a_cut(log_steps)
    parts = segments(log_steps)
    if parts:
        return Segments(parts, cut)
    power = fit_power(log_steps, position, error)
    rising = fit_super_exponential(log_steps, error)
    transient = fit_transient(log_steps, error)
    rival = power.evidence if power is not None else 0.0
    if rising is not None and rising.evidence > max(_NO_CHANCE, rival + _CLEARLY, cut):
        return rising
    if transient is not None and transient.evidence > max(_NO_CHANCE, rival + _CLEARLY):
        return transient
    if power is not None and power.evidence > max(_CLEARLY, cut):
        return power if abs(power.exponent) <= _STEEPEST else Factor()
    return Factor()


def fit_power(
    log_steps: Array, position: Sequence[float] | Array, error: float = 0.0
) -> Power | None:
    """The power of depth that fits best; None for too few steps, or where a constant factor leaves
    nothing over."""
    fit, place = _Fit(log_steps, error), np.asarray(position, np.float64)
    powers = [
        Power(*fit.of(np.log((place + 1 + offset) / (place + offset))), offset)
        for offset in (_OFFSETS if fit.telling else ())
        if offset or place.min() > 0
    ]
    return max(powers, key=lambda law: law.evidence, default=None)


def fit_transient(log_steps: Array, error: float = 0.0) -> Transient | None:
    """The transient that fits best, from either end; None as of `fit_power`."""
    fit, steps = _Fit(log_steps, error), np.arange(len(log_steps))
    laws = [
        Transient(*fit.of(kept ** steps[:: 1 if from_input else -1]), kept, from_input)
        for kept in (_KEPT if fit.telling else ())
        for from_input in (True, False)
    ]
    return max(laws, key=lambda law: law.evidence, default=None)


def fit_super_exponential(log_steps: Array, error: float = 0.0) -> SuperExponential | None:
    """The growing steps that fit best; None as of `fit_power`, and where steps differ in sign or
    grow too little to tell."""
    fit, n = _Fit(log_steps, error), len(log_steps)
    one_way = bool((log_steps > 0).all() or (log_steps < 0).all())
    laws = [
        SuperExponential(*fit.of(ratio ** (np.arange(n) - (n - 1.0))), ratio)
        for ratio in (_RATIOS if fit.telling and one_way else ())
        if (n - 1) * log(ratio) >= log(_LEAST_RISE)
    ]
    return max(laws, key=lambda law: law.evidence, default=None)


class _Fit:
    """Least squares of one size to steps of a given shape, against a constant factor."""

    def __init__(self, log_steps: Array, error: float):
        self.log_steps, self.n = log_steps, len(log_steps)
        self.noise = self.n * error**2
        enough = self.n >= _FEWEST
        self.constant = float(((log_steps - log_steps.mean()) ** 2).sum()) if enough else 0.0
        self.telling = self.constant > self.noise

    def of(self, shape: NDArray[np.floating]) -> tuple[float, float, float]:
        """The size, its standard error, and the evidence."""
        norm2 = float(shape @ shape)
        size = float(shape @ self.log_steps / norm2)
        left = float(((self.log_steps - size * shape) ** 2).sum())
        left = max(left, self.noise, _LEAST_LEFT * self.constant)
        evidence = self.n * log(self.constant / left) - 2
        return size, sqrt(left / max(self.n - 1, 1) / norm2), evidence
