"""The verdict of a diagnosis, and its sentence."""

from collections.abc import Sequence
from enum import Enum
from math import log, log2, sqrt

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.words import factor, fold, fold_of, place
from depthscale.measure import Analysis, Factor, Growth, growth_in_words
from depthscale.numerics import as_sure_as

_FEWEST_STEPS = 3  # of one network, whose spread says anything
_NO_RATE = "no verdict on the gradient's rate, and nothing else was found"
_MADE = " with a function that makes them"
_MORE = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # times as many networks


class Verdict(Enum):
    """What a diagnosis comes to."""

    WRONG = "a finding is worse than a remark"
    NO_RATE = "nothing is wrong, and there is no rate"
    UNKNOWN = "the rate may be one that harms"
    VAGUE = "nothing is wrong, and the rate is not well known"
    STEADY = "the gradient is steady"
    CHANGES = "the gradient changes, and no rule warns"


def verdict_of(analysis: Analysis, findings: Sequence[Finding]) -> Verdict:
    """From findings and growth, without a word of either."""
    growth = analysis.gradient
    if any(finding.severity != "info" for finding in findings):
        return Verdict.WRONG
    if not isinstance(growth, Growth):
        return Verdict.NO_RATE
    if not growth.steady:
        return Verdict.CHANGES
    if _allows_harm(analysis, growth):
        return Verdict.UNKNOWN
    return Verdict.VAGUE if growth.vague else Verdict.STEADY


def _allows_harm(analysis: Analysis, growth: Growth) -> bool:
    """Whether a rate of its interval changes the mean square over the bulk as much as warns."""
    reach = max(abs(log(rate)) for rate in growth.interval)
    return reach * growth.steps > log(analysis.thresholds.warn_change)


def sentence_of(analysis: Analysis, findings: Sequence[Finding]) -> str:
    """The verdict in one sentence."""
    growth, verdict = analysis.gradient, verdict_of(analysis, findings)
    if verdict is Verdict.WRONG:
        return _wrong([finding for finding in findings if finding.severity != "info"])
    if not isinstance(growth, Growth):
        known = "nothing wrong was found" if growth.estimate is None else _NO_RATE
        return f"{known}; {growth}"
    if verdict is Verdict.CHANGES and abs(growth.change) < log2(analysis.thresholds.info_change):
        return (
            f"nothing wrong: the gradient hardly changes, x{growth.rate:.4g} per {growth.step} in "
            f"mean square over {growth.steps} steps"
        )
    if verdict is Verdict.CHANGES:
        how = (
            f"changes slowly, {factor(growth.rms_rate)} in RMS per {growth.step}"
            if isinstance(growth.law, Factor)
            else growth_in_words(growth)
        )
        return f"nothing wrong: the gradient {how}, {fold(growth)} in RMS over {growth.steps} steps"
    low, high = growth.interval
    if verdict is Verdict.STEADY:
        return (
            f"nothing wrong: the gradient is steady, x{growth.rate:.4g} per {growth.step} in mean "
            f"square (between {low:.3g} and {high:.3g})"
        )
    rate = f"x{growth.rate:.3g} per {growth.step} in mean square, between {low:.3g} and {high:.3g}"
    if verdict is Verdict.VAGUE:
        return (
            f"nothing wrong was found; the rate is not well known, {rate}, and changes nothing "
            f"much over {growth.steps} steps"
        )
    if growth.steps < _FEWEST_STEPS and analysis.trace.networks == 1:
        return (
            f"{_NO_RATE}: {growth.steps} whole "
            f"steps of {growth.step} are too few (x{growth.rate:.3g} in mean square); "
            f"{_what_would_tell(analysis, growth)}"
        )
    ends = sorted(growth.steps * log2(end) for end in (low, high))
    return (
        "not known whether the gradient survives, though nothing else was found: its rate is "
        f"{rate}, which over {growth.steps} "
        f"steps is anything from {fold_of(ends[0])} to {fold_of(ends[1])} in RMS; "
        f"{_what_would_tell(analysis, growth)}"
    )


def _wrong(findings: Sequence[Finding]) -> str:
    others = len(findings) - 1
    more = f" ({others} more finding{'s' * (others > 1)})" if others else ""
    first = findings[0]
    return f"{first.headline or f'{place(first.where)}: {first.says}'}{more}"


def _what_would_tell(analysis: Analysis, growth: Growth) -> str:
    trace = analysis.trace
    if trace.passes > 1 and trace.networks == 1:
        return (
            f"all {trace.passes} repeats are of one network (a model, or a function that seeds "
            "itself); different ones would tell"
        )
    room = log(analysis.thresholds.warn_change) / growth.steps - abs(log(growth.rate))
    for more in _MORE:
        sure = as_sure_as(analysis.thresholds.z_score, more * growth.steps - 1)
        if trace.networks and sure * growth.log_stderr / sqrt(more) < room:
            count = more * trace.networks
            return f"about {count:,} networks (repeats={count}{_MADE}) would tell"
    return f"more networks (repeats={_MADE}) would tell"
