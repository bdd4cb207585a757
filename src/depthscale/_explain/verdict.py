"""Verdict: whether a step of an argument holds, computed from what is argued, what theory gives and
what was measured."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import isfinite, isnan, nan
from typing import Any, Literal

from scipy.special import ndtr, stdtrit

Unit = Literal["factor", "share", "correlation"]

TOLERANCE = {"factor": 0.02, "share": 0.02, "correlation": 0.05}  # of the value; of the whole; of 1
UP_TO = 0.10  # a step that misses by more than this fails; below it, it holds up to so much
TOO_NOISY = 0.25  # an allowance for noise beyond which a measurement that agrees says nothing
STANDARD_ERRORS = 3.0


class Outcome(StrEnum):
    """Whether a step holds, or why nothing is said of it."""

    HOLDS = "holds"
    HOLDS_UP_TO = "holds up to"
    FAILS = "fails"
    TOO_FEW_SEEDS = "too few seeds"
    NO_FORMULA = "no formula"
    NO_STEP = "no such step"


@dataclass(frozen=True)
class Row:
    """One step at one layer. / layer: None for what is said of all layers between the first and the
    last, and at a norm of a model.

    unit: a factor is compared relative to itself, a share or a correlation as it is.

    argued: what the argument puts for it (an infinite batch, independent cotangents). predicted:
    theory for this very network.
    measured, stderr: mean over seeds and its standard error; nan where there is none.
    outcome, why: whether it holds, and the reason, if it needs one. miss: how far a step misses
    that holds up to so much: of the factor, of the whole, of 1.
    """

    step: str
    statement: str
    formula: str
    unit: Unit
    layer: int | None = None
    argued: float = nan
    predicted: float = nan
    measured: float = nan
    stderr: float = nan
    outcome: Outcome = Outcome.NO_STEP
    why: str = ""
    miss: float = 0.0

    def whole(self, value: float) -> float:
        """What a difference to a value of the row is measured by."""
        return abs(value) if self.unit == "factor" else 1.0

    def record(self) -> dict[str, Any]:
        """Its fields, and the verdict in words."""
        return asdict(self) | {"verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """The outcome in words, as "holds up to 3.1 %"."""
        if self.outcome is not Outcome.HOLDS_UP_TO:
            return self.outcome.value
        by = f"{self.miss:.2g}" if self.unit == "correlation" else f"{100 * self.miss:.1f} %"
        return f"{self.outcome.value} {by}"


def judge(row: Row, seeds: int, cause: Callable[[], str], finite_width: float | None = None) -> Row:
    """The row with its verdict.

    seeds: that its standard error is over; one network has none, and the tolerance alone decides.
    cause: says why theory departs from the argument, or what it makes of a miss.
    finite_width: a bound, twice depth / width, on the relative size of what theory leaves out; none
    for a network that theory may not know, of which the argument alone decides.
    The allowance is the unit's tolerance and 3 standard errors, as many as Student's t makes of
    them over so few seeds.
    """
    outcome, why, miss = _judged(row, seeds, cause, finite_width)
    return replace(row, outcome=outcome, why=why, miss=miss)


def _judged(
    row: Row, seeds: int, cause: Callable[[], str], finite_width: float | None
) -> tuple[Outcome, str, float]:
    alone = finite_width is None
    theory, left_out = (row.argued, 0.0) if alone else (row.predicted, finite_width)
    if isnan(row.measured):
        return Outcome.NO_STEP, "", 0.0
    if isnan(theory) or isnan(row.argued):
        separate = "" if alone else "separate "
        return Outcome.NO_FORMULA, f"theory has no {separate}number for it here", 0.0
    if not isfinite(theory):
        return Outcome.FAILS, f"theory's mean is infinite: {cause()}", 0.0
    noise = _deviate(seeds) * row.stderr if seeds > 1 else 0.0
    tolerance, whole, ideal = TOLERANCE[row.unit], row.whole(theory), row.whole(row.argued)
    off_theory, off = abs(row.measured - theory), abs(row.measured - row.argued)
    if off_theory > (tolerance + left_out) * whole + noise:
        if alone:
            return _missed(off / ideal, cause())
        by = (
            f"{off_theory / row.stderr:.0f} standard errors"
            if row.stderr > 0
            else f"{off_theory:.2g}"
        )
        return Outcome.FAILS, f"theory gives {theory:.3g} here too, and is missed by {by}", 0.0
    departure = abs(theory - row.argued) / ideal
    if noise > TOO_NOISY * whole and departure <= UP_TO:
        return Outcome.TOO_FEW_SEEDS, f"{seeds} of them leave ± {noise / whole:.0%}", 0.0
    if departure > tolerance:  # by theory's own account, however little the seeds can tell
        return _missed(departure, cause())
    if off_theory <= tolerance * whole + noise and off <= tolerance * ideal + noise:
        return Outcome.HOLDS, "", 0.0
    why = f"theory is for infinite width; what it leaves out is of the order {left_out / 2:.1%}"
    return _missed(max(off / ideal, off_theory / whole), why)


def _missed(by: float, why: str) -> tuple[Outcome, str, float]:
    return (Outcome.FAILS, why, 0.0) if by > UP_TO else (Outcome.HOLDS_UP_TO, why, by)


def _deviate(seeds: int) -> float:
    """The multiple of a standard error over so few seeds that is as unlikely as 3 of a
    Gaussian's."""
    return float(stdtrit(seeds - 1, ndtr(STANDARD_ERRORS)))
