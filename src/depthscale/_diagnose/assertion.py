"""assert_propagation: for test suites."""

from math import isfinite
from typing import Any

from depthscale._diagnose.cause import cause_of
from depthscale._diagnose.diagnose import diagnose
from depthscale._diagnose.finding import SEVERITIES, Severity
from depthscale._diagnose.words import place
from depthscale.errors import InvalidProbe, PropagationFailed, UnreliableGrowth
from depthscale.measure import Analysis, Growth, Segments, growth_in_words
from depthscale.run import Run

_WITHOUT = 'max_rate=None, fail_on="warn" asks for findings alone, which need no rate'
# of a rate: with one degree of freedom 235 standard errors are as sure as 3, so that next to no
# network would fail
_FEWEST_DEGREES = 2


def assert_propagation(
    model: Any,
    inputs: Any = None,
    max_rate: float | None = 1.05,
    min_rate: float | None = None,
    *,
    fail_on: Severity | None = None,
    **probing: Any,
) -> Run:
    """Fail where the gradient's mean square grows by more than max_rate, or less than min_rate, per
    step of depth.

    model: a module, probed with these inputs and further arguments of `probe`; or a Run. /
    max_rate, min_rate: None for no limit, so that by default a vanishing gradient passes: give
    min_rate, as 0.95, to catch it, too. It fails only where the measured rate lies beyond them by
    more than 3 standard errors (Student's t), or over one stretch of a depth that turns.
    fail_on: "warn" or "error" to fail on a finding of `diagnose` that bad or worse, too; with both
    rates None on those alone, so that a network needs no repeating depth.
    returns: the Run.
    raises: PropagationFailed (an AssertionError), which names the operation; UnreliableGrowth where
    there are too few steps for a limit on the rate; InvalidProbe where nothing along the depth
    repeats, so that there is no rate, and for limits that are none.
    """
    from depthscale._probe import probe  # loads torch, which a Run does without

    _require_limits(max_rate, min_rate, fail_on)
    trace = model if isinstance(model, Run) else probe(model, inputs, **probing)
    if max_rate is not None or min_rate is not None:
        _within(trace, max_rate, min_rate)
    found = diagnose(trace).matching((fail_on,)) if fail_on is not None else ()
    if found:
        raise PropagationFailed(_listed(fail_on, [str(finding) for finding in found]))
    return trace


def _require_limits(max_rate: Any, min_rate: Any, fail_on: Any) -> None:
    for name, rate in (("max_rate", max_rate), ("min_rate", min_rate)):
        number = (
            isinstance(rate, int | float)
            and not isinstance(rate, bool)
            and isfinite(rate)
            and rate > 0
        )
        if rate is not None and not number:
            raise InvalidProbe(
                f"assert_propagation: {name} must be a positive number, as 1.05, or None for no "
                f"limit, got {rate!r}"
            )
    if max_rate is not None and min_rate is not None and min_rate > max_rate:
        raise InvalidProbe(
            f"assert_propagation: no rate is at least min_rate={min_rate:g} and at most "
            f"max_rate={max_rate:g}"
        )
    if fail_on is not None and fail_on not in SEVERITIES:
        raise InvalidProbe(
            f"assert_propagation: fail_on must be one of {', '.join(SEVERITIES)}, or None, got "
            f"{fail_on!r}"
        )


def _within(trace: Run, max_rate: float | None, min_rate: float | None) -> None:
    analysis = Analysis.of(trace)
    found = analysis.gradient
    if isinstance(found, UnreliableGrowth):
        if analysis.depth is None:
            raise InvalidProbe(f"assert_propagation: {found}; {_WITHOUT}")
        raise UnreliableGrowth(f"{found}; {_WITHOUT}", estimate=found.estimate, needed=found.needed)
    parts = found.law.parts if isinstance(found.law, Segments) else (found,)
    low, high = max(part.interval[0] for part in parts), min(part.interval[1] for part in parts)
    if max_rate is not None and low > max_rate:
        raise PropagationFailed(
            _message(trace, f"more than 3 standard errors above max_rate={max_rate:g}", found)
        )
    if min_rate is not None and high < min_rate:
        raise PropagationFailed(
            _message(trace, f"more than 3 standard errors below min_rate={min_rate:g}", found)
        )
    _require_sure(analysis, found)


def _require_sure(analysis: Analysis, growth: Growth) -> None:
    """Refuse to pass a network that could hardly fail."""
    if growth.degrees < _FEWEST_DEGREES and analysis.depth is not None:
        low, high = growth.interval
        raise UnreliableGrowth(
            f"{analysis.depth.count} repetitions of {growth.step} leave {growth.steps} whole steps "
            f"of depth: {growth}, anywhere between {low:.3g} and {high:.3g}; more networks "
            f"(repeats= with a function) would tell; {_WITHOUT}",
            estimate=growth,
            needed="more networks",
        )


def _listed(fail_on: Severity | None, found: list[str]) -> str:
    return "\n  ".join(
        [f"{len(found)} finding{'s' * (len(found) > 1)} at or above fail_on={fail_on!r}:", *found]
    )


def _message(trace: Run, said: str, found: Growth) -> str:
    if isinstance(found.law, Segments):
        return f"the gradient {growth_in_words(found)}, {said} in one part"
    cause = cause_of(Analysis.of(trace), found)
    return (
        f"the gradient changes by {found}, "
        f"{said}{cause.says and f'. At {place(cause.where)}: {cause.says}'}"
    )
