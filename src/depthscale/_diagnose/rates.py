"""Rules on growth with depth: gradients and activations that explode, vanish, jump or grow and
shrink by turns."""

from collections.abc import Iterable, Iterator
from math import inf, log2, prod

import numpy as np

from depthscale._diagnose.cause import Cause, cause_of, cause_of_signal, together
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.jumps import Jump, jump_finding, jumps
from depthscale._diagnose.mixed import mixed_finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.words import factor, fold
from depthscale.measure import (
    Analysis,
    Factor,
    Growth,
    Of,
    Power,
    Segments,
    Severity,
    SuperExponential,
    Transient,
)
from depthscale.numerics import normal_deviate, two_to
from depthscale.run import Paths, Reading

_VERBS = {  # (grows, alarms): of a rule's name
    (True, True): "explodes",
    (True, False): "grows",
    (False, True): "vanishes",
    (False, False): "shrinks",
}
_FEW_STEPS = 3
_TRUNK = 0.5  # of all weights: a branch that holds more is the network


def rate_findings(analysis: Analysis) -> Iterator[Finding]:
    """A step that is not like the others, then the gradient's and the activation's growth by its
    law.

    Beside a jump only another warning is worth a finding.
    """
    odd = jumps(analysis)
    findings = [jump_finding(analysis, odd)] if odd else []
    for growth, of in _to_judge(analysis, odd):
        finding = _by_law(analysis, of, growth)
        if finding is not None and not (odd and finding.severity == "info"):
            findings.append(finding)
    yield from findings


def _to_judge(analysis: Analysis, odd: list[Jump]) -> Iterator[tuple[Growth, Of]]:
    """The gradient's growth, unless a jump alone makes it: over several networks the mean step is
    known far better than they agree, and the other steps, each as their median, change less than a
    hundredfold then. And the activation's, unless the gradient shows the same."""
    gradient, signal = analysis.gradient, analysis.activation
    others = abs(odd[0].usual) * odd[0].steps if odd else inf
    if isinstance(gradient, Growth):
        if others >= log2(analysis.thresholds.warn_change):
            yield gradient, "gradient"
        if isinstance(gradient.law, Segments):
            return
    if not isinstance(signal, Growth):
        return
    same = isinstance(gradient, Growth) and together(gradient, signal)
    if isinstance(signal.law, Segments) or not same:
        yield signal, "activation"


def _by_law(analysis: Analysis, of: Of, growth: Growth) -> Finding | None:
    """What a growth is worth by its law."""
    change = two_to(abs(growth.change))
    match growth.law:
        case Segments() as law:
            return mixed_finding(analysis, of, growth, law)
        case _ if not _notable(analysis, growth):
            return None
        case Power():
            return _finding(analysis, of, growth, change, "info")
        case SuperExponential():
            return _finding(analysis, of, growth, change, _severity(analysis, growth, change))
        case Factor() | Transient():
            sure = abs(_surely_at_a_rate(growth)) > analysis.thresholds.z_score
            severity = _severity(analysis, growth, change) if sure else "info"
            if not sure and _is_large_estimate(analysis, growth):
                severity = "warn"
            return _finding(analysis, of, growth, change, severity)


def _severity(analysis: Analysis, growth: Growth, change: float) -> Severity:
    """Of a change. What vanishes along one branch is a remark: other paths lead past it, and where
    it does nothing at all the rules on branches say so."""
    aside = analysis.depth is not None and analysis.depth.paths is Paths.ONE_BRANCH
    aside = aside and _share_of_weights(analysis) < _TRUNK
    return "info" if aside and growth.rate < 1 else analysis.thresholds.severity(change)


def _share_of_weights(analysis: Analysis) -> float:
    """Of all elements of maps' weights those in the bulk: of a trunk inside a long skip nearly
    all."""

    def elements(ops: Iterable[Reading]) -> int:
        return sum(prod(shape) for op in ops if op.map is not None for _, shape, _ in op.weights)

    return elements(analysis.bulk) / max(elements(analysis.trace.ops), 1)


def _notable(analysis: Analysis, growth: Growth) -> bool:
    thresholds = analysis.thresholds
    surely = abs(growth.z_score) > thresholds.z_score or _is_large_estimate(analysis, growth)
    return surely and abs(growth.change) > log2(thresholds.info_change)


def _is_large_estimate(analysis: Analysis, growth: Growth) -> bool:
    """Whether two or three steps, which leave next to no degrees of freedom, change far more than
    they differ: what they did is measured, only the rate of further ones is not known."""
    thresholds = analysis.thresholds
    few = growth.steps <= _FEW_STEPS and analysis.trace.networks == 1
    far = abs(growth.standard_errors_from_1) > thresholds.z_score
    return few and far and abs(growth.change) > log2(thresholds.warn_change)


def _surely_at_a_rate(growth: Growth) -> float:
    """How far the mean step lies from 0, by whatever law the steps go."""
    return float(normal_deviate(np.array(growth.standard_errors_from_1), growth.degrees))


def _finding(
    analysis: Analysis, of: Of, growth: Growth, change: float, severity: Severity
) -> Finding:
    law, alarms = growth.law, severity != "info"
    last = analysis.bulk[-1].name if analysis.bulk else ""
    cause = Cause(where=last)
    if of == "activation":
        cause = (cause_of_signal(analysis, growth) if alarms else None) or cause
    elif isinstance(law, Factor):
        cause = cause_of(analysis, growth)
    elif isinstance(law, SuperExponential) and isinstance(analysis.activation, Growth):
        cause = cause_of_signal(analysis, analysis.activation) or cause
    return Finding(
        rule=f"{of}-{_VERBS[growth.rate > 1, alarms]}",
        severity=severity,
        where=cause.where,
        says=f"{_says(of, growth)}{cause.says and f'. {cause.says}'}",
        evidence={
            "rate": growth.rate,
            "stderr": growth.stderr,
            "rms_rate": growth.rms_rate,
            "step": growth.step,
            "steps": growth.steps,
            "z_score": growth.z_score,
            "threshold_z_score": analysis.thresholds.z_score,
            "change": change,
            "threshold_change": analysis.thresholds.change_of(severity),
            "predicted_rate": analysis.predicted_rate if of == "gradient" else None,
            "law": law.kind,
            "law_evidence": law.evidence,
            "power_law_exponent": law.exponent if isinstance(law, Power) else None,
        },
        source=cause.source,
        advice=cause.advice if alarms else "",
        headline=_headline(of, growth, cause) if alarms else "",
    )


def _headline(of: Of, growth: Growth, cause: Cause) -> str:
    verb = "explode" if growth.rate > 1 else "vanish"
    return (
        f"{of}s {verb} towards the {_END[of]}: {factor(growth.rms_rate)} in RMS per "
        f"{growth.step}, {fold(growth)} over {growth.steps} of them{cause.who}"
    )


_END = {"gradient": "input", "activation": "output"}


def _says(of: Of, growth: Growth) -> str:
    """The sentence of a finding."""
    grows, grow = ("grows", "grow") if growth.rate > 1 else ("shrinks", "shrink")
    in_all = f"{fold(growth)} in RMS over"
    match growth.law:
        case Power() as law:
            grows = "grows" if law.exponent > 0 else "shrinks"
            return (
                f"the {of}'s mean square {grows} towards the {_END[of]} as "
                f"depth^{abs(law.exponent):.2g}, not exponentially: "
                f"{in_all} {growth.steps} steps"
            )
        case Transient() as law:
            near = "input" if law.from_input else "output"
            return (
                f"{of}s {grow} towards the {_END[of]} over the {min(law.reach, growth.steps)} "
                f"steps next to the {near} and are "
                f"steady beyond: {in_all} all {growth.steps} steps"
            )
        case SuperExponential() as law:
            return (
                f"{of}s {grow} towards the {_END[of]} faster than exponentially: the logarithm of "
                f"a step's factor grows x{law.ratio:.3g} from one step to the next, "
                f"{in_all} {growth.steps} steps"
            )
        case _:
            return (
                f"{of}s {grow} towards the {_END[of]}: {factor(growth.rms_rate)} in RMS per "
                f"{growth.step} (mean square x{growth.rate:.4g} ± {growth.stderr:.2g}), "
                f"{in_all} {growth.steps} of them"
            )


RATES = Check(
    rate_findings,
    (
        Rule(
            (
                "gradient-explodes",
                "gradient-vanishes",
                "activation-explodes",
                "activation-vanishes",
            ),
            "the rate is surely not 1, no power law is better, and the mean square changes a "
            "hundredfold over the bulk; an activation that changes as the gradient does has its "
            "cause, and is not told again",
            "arXiv:1502.01852",
        ),
        Rule(
            ("gradient-grows", "gradient-shrinks", "activation-grows", "activation-shrinks"),
            "the same, but less, or by a power law: a remark",
            "arXiv:1712.08969",
        ),
        Rule(
            ("gradient-mixed-growth", "activation-mixed-growth"),
            "one segment of the depth surely grows and another surely shrinks, so that a mean rate "
            "would hide both; as bad as the largest change over one",
            "arXiv:1502.01852",
        ),
        Rule(
            ("gradient-jumps",),
            "one step of depth changes the gradient a hundredfold in mean square beyond the median "
            "of the others and 8 times their spread, or the first or last layer does with weights "
            "of such a size; from 4 whole steps on. A rate beside it is told where the other steps "
            "change a hundredfold, too",
            "arXiv:1502.01852",
        ),
    ),
)
