"""diagnose: what is wrong with a trace, in words, with evidence."""

from collections.abc import Callable, Iterator

from depthscale._diagnose.batch import batch_findings
from depthscale._diagnose.branches import branch_findings
from depthscale._diagnose.collapse import collapse_findings
from depthscale._diagnose.cut import cut_findings
from depthscale._diagnose.finding import SEVERITIES, Diagnosis, Finding
from depthscale._diagnose.modes import mode_findings
from depthscale._diagnose.numbers import number_findings
from depthscale._diagnose.propagation import growth_findings
from depthscale._diagnose.theory import theory_findings
from depthscale._diagnose.units import unit_findings
from depthscale._diagnose.words import factor, fold, place
from depthscale.measure import Growth
from depthscale.measure.analysis import Analysis
from depthscale.measure.small_batches import is_empty
from depthscale.measure.thresholds import Thresholds
from depthscale.run import Trace, kept

_UNKNOWN = 1e3  # upper over lower end of a rate's interval, from where on nothing is known of it
RULES: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (
    batch_findings,
    number_findings,
    cut_findings,
    growth_findings,
    branch_findings,
    unit_findings,
    collapse_findings,
    mode_findings,
    theory_findings,
)


def diagnose(run: Trace | Analysis, thresholds: Thresholds | None = None) -> Diagnosis:
    """Findings of a trace, worst first, one for each cause.

    thresholds: from where on rules speak; each has its unit and reason (`Thresholds`).
    A gradient explodes or vanishes only where its mean square changes a hundredfold over the
    model's own bulk, its rate lies more than 3 standard errors from 1, and no power of depth
    describes it better; below that it is a remark.
    """
    if not isinstance(run, Trace | Analysis):
        raise TypeError(
            f"diagnose takes a Trace, got {type(run).__name__}; make one with probe(model, inputs)"
        )
    analysis = Analysis.of(run, thresholds)
    return kept(analysis, "_diagnosis", lambda: _judge(analysis))


def _judge(case: Analysis) -> Diagnosis:
    rules = (batch_findings,) if is_empty(case.trace) else RULES
    found = [finding for rule in rules for finding in rule(case)]
    found.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    return Diagnosis(tuple(found), _verdict(case, found), case.predicted_rate)


def _what_would_tell(trace: Trace) -> str:
    if trace.repeats > 1 and trace.initializations == 1:
        one = (
            f"all {trace.repeats} repeats are of one network (a model, or a function that seeds "
            "itself)"
        )
        return f"{one}; different ones would tell"
    return "more networks (repeats= of a function) would tell"


def _verdict(case: Analysis, found: list[Finding]) -> str:
    wrong = [finding for finding in found if finding.severity != "info"]
    if wrong:
        more = f" ({len(wrong) - 1} more finding{'s' * (len(wrong) > 2)})" if len(wrong) > 1 else ""
        first = wrong[0]
        return f"{first.headline or f'{place(first.where)}: {first.says}'}{more}"
    growth = case.gradient
    if not isinstance(growth, Growth):
        return f"nothing wrong was found; {growth}"
    if growth.words == "steady":
        low, high = growth.interval
        if growth.vague:
            begins = (
                "no verdict on the gradient: its rate is not"
                if high > _UNKNOWN * low
                else "nothing wrong was found, but the rate is not well"
            )
            return (
                f"{begins} known: x{growth.rate:.3g} per {growth.step} in mean square, between "
                f"{low:.3g} and {high:.3g}; "
                f"{_what_would_tell(case.trace)}"
            )
        return (
            f"nothing wrong: the gradient is steady, x{growth.rate:.4g} per {growth.step} in mean "
            "square "
            f"(between {low:.3g} and {high:.3g})"
        )
    how = (
        growth.words
        if not growth.exponential
        else f"changes slowly, {factor(growth.rms_rate)} in RMS per {growth.step}"
    )
    return f"nothing wrong: the gradient {how}, {fold(growth)} in RMS over {growth.steps} steps"
