"""Verdict: whether a step of an argument holds, computed from what is argued, what theory gives and
what was measured."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Literal

from scipy.special import ndtr, stdtrit

Unit = Literal["factor", "share", "correlation"]

TOLERANCE = {"factor": 0.02, "share": 0.02, "correlation": 0.05}  # of the value; of the whole; of 1
UP_TO = 0.10  # a step that misses by more than this fails; below it, it holds up to so much
TOO_NOISY = 0.25  # an allowance for noise beyond which a measurement that agrees says nothing
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Row:
    """One step at one layer. / layer: None for what is said of all layers between the first and the
    last.

    argued: what the argument puts for it (an infinite batch, independent cotangents). predicted:
    theory for this very network.
    measured, stderr: mean over seeds and its standard error; nan where there is none.
    verdict: "holds", "holds up to 3 %", "fails", "too few seeds", "no formula", "no such step".
    why: the reason, if it needs one.
    """

    step: str
    statement: str
    formula: str
    layer: int | None
    argued: float
    predicted: float
    measured: float
    stderr: float
    verdict: str
    why: str = ""


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


def judge(found: Found, finite_width: float, cause: Callable[[], str]) -> tuple[str, str]:
    """Verdict and reason. / finite_width: a bound, twice depth / width, on the relative size of
    what theory leaves out.

    cause: says why theory departs from the argument.
    The allowance is the unit's tolerance and 3 standard errors, as many as Student's t makes of
    them over so few seeds.
    """
    if isnan(found.measured):
        return "no such step", ""
    if isnan(found.predicted) or isnan(found.argued):
        return "no formula", "theory has no separate number for it here"
    if not isfinite(found.predicted):
        return "fails", f"theory's mean is infinite: {cause()}"
    tolerance, noise = TOLERANCE[found.unit], _deviate(found.seeds) * found.stderr
    theory, argument = (
        abs(each) if found.unit == "factor" else 1.0 for each in (found.predicted, found.argued)
    )
    off_theory, off_argument = (
        abs(found.measured - found.predicted),
        abs(found.measured - found.argued),
    )
    if off_theory > (tolerance + finite_width) * theory + noise:
        return (
            "fails",
            f"theory gives {found.predicted:.3g} here too, and is missed {_by(off_theory, found)}",
        )
    departure = abs(found.predicted - found.argued) / argument
    if noise > TOO_NOISY * theory and departure <= UP_TO:
        return "too few seeds", f"{found.seeds} of them leave ± {noise / theory:.0%}"
    if departure > tolerance:  # by theory's own account, however little the seeds can tell
        return _missed(departure, found.unit), cause()
    if off_theory <= tolerance * theory + noise and off_argument <= tolerance * argument + noise:
        return "holds", ""
    why = f"theory is for infinite width; what it leaves out is of the order {finite_width / 2:.1%}"
    return _missed(max(off_argument / argument, off_theory / theory), found.unit), why


def judge_argued(found: Found, cause: Callable[[], str]) -> tuple[str, str]:
    """Verdict by the argument alone, for a network that theory may not know. / cause: says what
    theory makes of a miss.

    One network has no standard error: then the tolerance alone decides.
    """
    if isnan(found.measured):
        return "no such step", ""
    if isnan(found.argued):
        return "no formula", "theory has no number for it here"
    if not isfinite(found.argued):
        return "fails", f"theory's mean is infinite: {cause()}"
    noise = _deviate(found.seeds) * found.stderr if found.seeds > 1 else 0.0
    argument = abs(found.argued) if found.unit == "factor" else 1.0
    off = abs(found.measured - found.argued)
    if off > TOLERANCE[found.unit] * argument + noise:
        return _missed(off / argument, found.unit), cause()
    if noise > TOO_NOISY * argument:
        return "too few seeds", f"{found.seeds} of them leave ± {noise / argument:.0%}"
    return "holds", ""


def _missed(by: float, unit: Unit) -> str:
    if by > UP_TO:
        return "fails"
    return f"holds up to {by:.2g}" if unit == "correlation" else f"holds up to {100 * by:.1f} %"


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
