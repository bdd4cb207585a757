"""The verdict of a diagnosis, and its sentence."""

from collections.abc import Sequence
from enum import Enum

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.words import factor, fold, place
from depthscale.measure import Analysis, Factor, Growth, growth_in_words
from depthscale.run import Run


class Verdict(Enum):
    """What a diagnosis comes to."""

    WRONG = "a finding is worse than a remark"
    NO_RATE = "nothing is wrong, and there is no rate"
    UNKNOWN = "nothing is known of the rate"
    VAGUE = "nothing is wrong, and little is known of the rate"
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
    low, high = growth.interval
    if not growth.vague:
        return Verdict.STEADY
    return Verdict.UNKNOWN if high > analysis.thresholds.unknown_rate * low else Verdict.VAGUE


def sentence_of(analysis: Analysis, findings: Sequence[Finding]) -> str:
    """The verdict in one sentence."""
    growth, verdict = analysis.gradient, verdict_of(analysis, findings)
    if verdict is Verdict.WRONG:
        return _wrong([finding for finding in findings if finding.severity != "info"])
    if not isinstance(growth, Growth):
        return f"nothing wrong was found; {growth}"
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
    begins = (
        "no verdict on the gradient: its rate is not"
        if verdict is Verdict.UNKNOWN
        else "nothing wrong was found, but the rate is not well"
    )
    return (
        f"{begins} known: x{growth.rate:.3g} per {growth.step} in mean square, between "
        f"{low:.3g} and {high:.3g}; {_what_would_tell(analysis.trace)}"
    )


def _wrong(findings: Sequence[Finding]) -> str:
    others = len(findings) - 1
    more = f" ({others} more finding{'s' * (others > 1)})" if others else ""
    first = findings[0]
    return f"{first.headline or f'{place(first.where)}: {first.says}'}{more}"


def _what_would_tell(trace: Run) -> str:
    if trace.passes > 1 and trace.networks == 1:
        one = (
            f"all {trace.passes} repeats are of one network (a model, or a function that seeds "
            "itself)"
        )
        return f"{one}; different ones would tell"
    return "more networks (repeats= of a function) would tell"
