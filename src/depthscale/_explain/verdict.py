"""Verdict: whether a step of an argument holds, computed from what is argued, what theory gives and
what was measured."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite, isnan, nan
from typing import Any, Literal, Protocol

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
class Found:
    """One number of one layer. / unit: a factor is compared relative to itself, a share or a
    correlation as it is."""

    unit: Unit
    argued: float
    predicted: float
    measured: float
    stderr: float
    seeds: int


@dataclass(frozen=True)
class Judgement:
    """Of one number. / why: the reason, if it needs one; miss: how far a step misses that holds up
    to so much: of the factor, of the whole, of 1."""

    outcome: Outcome
    why: str = ""
    miss: float = 0.0


class Stated(Protocol):
    """What a row repeats of its step."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> Unit: ...
    @property
    def formula(self) -> str: ...


@dataclass(frozen=True)
class Row:
    """One step at one layer. / layer: None for what is said of all layers between the first and the
    last.

    argued: what the argument puts for it (an infinite batch, independent cotangents). predicted:
    theory for this very network.
    measured, stderr: mean over seeds and its standard error; nan where there is none.
    outcome, why, miss: see Judgement.
    """

    step: str
    statement: str
    formula: str
    unit: Unit
    layer: int | None
    argued: float
    predicted: float
    measured: float
    stderr: float
    outcome: Outcome
    why: str = ""
    miss: float = 0.0

    @classmethod
    def of(
        cls, step: Stated, statement: str, layer: int | None, found: Found, judged: Judgement
    ) -> "Row":
        return cls(
            step.name,
            statement,
            step.formula,
            found.unit,
            layer,
            found.argued,
            found.predicted,
            found.measured,
            found.stderr,
            judged.outcome,
            judged.why,
            judged.miss,
        )

    @classmethod
    def lacking(cls, step: Stated, statement: str, why: str) -> "Row":
        """The row of a step that there is not."""
        nothing = Found(step.unit, nan, nan, nan, nan, 0)
        return cls.of(step, statement, None, nothing, Judgement(Outcome.NO_STEP, why))

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


def judge(found: Found, finite_width: float, cause: Callable[[], str]) -> Judgement:
    """Whether it holds. / finite_width: a bound, twice depth / width, on the relative size of
    what theory leaves out.

    cause: says why theory departs from the argument.
    The allowance is the unit's tolerance and 3 standard errors, as many as Student's t makes of
    them over so few seeds.
    """
    if isnan(found.measured):
        return Judgement(Outcome.NO_STEP)
    if isnan(found.predicted) or isnan(found.argued):
        return Judgement(Outcome.NO_FORMULA, "theory has no separate number for it here")
    if not isfinite(found.predicted):
        return Judgement(Outcome.FAILS, f"theory's mean is infinite: {cause()}")
    tolerance, noise = TOLERANCE[found.unit], _deviate(found.seeds) * found.stderr
    theory, argument = (
        abs(each) if found.unit == "factor" else 1.0 for each in (found.predicted, found.argued)
    )
    off_theory, off_argument = (
        abs(found.measured - found.predicted),
        abs(found.measured - found.argued),
    )
    if off_theory > (tolerance + finite_width) * theory + noise:
        return Judgement(
            Outcome.FAILS,
            f"theory gives {found.predicted:.3g} here too, and is missed {_by(off_theory, found)}",
        )
    departure = abs(found.predicted - found.argued) / argument
    if noise > TOO_NOISY * theory and departure <= UP_TO:
        return _too_few(found, noise / theory)
    if departure > tolerance:  # by theory's own account, however little the seeds can tell
        return _missed(departure, cause())
    if off_theory <= tolerance * theory + noise and off_argument <= tolerance * argument + noise:
        return Judgement(Outcome.HOLDS)
    why = f"theory is for infinite width; what it leaves out is of the order {finite_width / 2:.1%}"
    return _missed(max(off_argument / argument, off_theory / theory), why)


def judge_argued(found: Found, cause: Callable[[], str]) -> Judgement:
    """Whether it holds by the argument alone, for a network that theory may not know. / cause: says
    what theory makes of a miss.

    One network has no standard error: then the tolerance alone decides.
    """
    if isnan(found.measured):
        return Judgement(Outcome.NO_STEP)
    if isnan(found.argued):
        return Judgement(Outcome.NO_FORMULA, "theory has no number for it here")
    if not isfinite(found.argued):
        return Judgement(Outcome.FAILS, f"theory's mean is infinite: {cause()}")
    noise = _deviate(found.seeds) * found.stderr if found.seeds > 1 else 0.0
    argument = abs(found.argued) if found.unit == "factor" else 1.0
    off = abs(found.measured - found.argued)
    if off > TOLERANCE[found.unit] * argument + noise:
        return _missed(off / argument, cause())
    if noise > TOO_NOISY * argument:
        return _too_few(found, noise / argument)
    return Judgement(Outcome.HOLDS)


def _missed(by: float, why: str) -> Judgement:
    return Judgement(Outcome.FAILS, why) if by > UP_TO else Judgement(Outcome.HOLDS_UP_TO, why, by)


def _too_few(found: Found, noise: float) -> Judgement:
    return Judgement(Outcome.TOO_FEW_SEEDS, f"{found.seeds} of them leave ± {noise:.0%}")


def _by(distance: float, found: Found) -> str:
    return (
        f"by {distance / found.stderr:.0f} standard errors"
        if found.stderr > 0
        else f"by {distance:.2g}"
    )


def _deviate(seeds: int) -> float:
    """The multiple of a standard error over so few seeds that is as unlikely as 3 of a
    Gaussian's."""
    return float(stdtrit(seeds - 1, ndtr(STANDARD_ERRORS)))
