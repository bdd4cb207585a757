"""Rules on growth with depth: exploding and vanishing gradients and activations."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, log2

import numpy as np

from depthscale._diagnose.blame import Blame, blamed
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.jumps import jump_findings
from depthscale._diagnose.messages import ADVICE as MESSAGES
from depthscale._diagnose.messages import passes_messages
from depthscale._diagnose.overall import overall
from depthscale._diagnose.recurrent import ADVICE as RECURRENT
from depthscale._diagnose.recurrent import is_recurrent
from depthscale._diagnose.turning import turning
from depthscale._diagnose.weights import blamed_weights, weights_of
from depthscale._diagnose.words import factor, fold, place
from depthscale.measure.analysis import Analysis
from depthscale.measure.growth import Growth
from depthscale.measure.small_batches import norms_over_few
from depthscale.numerics.student import normal_deviate

_VERBS = {  # (grows, alarms): of a rule's name
    (True, True): "explodes",
    (True, False): "grows",
    (False, True): "vanishes",
    (False, False): "shrinks",
}
# below which the rate of ReLU under Batch Norm exceeds that of a large batch by more than 4 %
_SMALL_BATCH = 32
_SOURCES = {"batch_norm": "arXiv:1902.08129", "layer_norm": "arXiv:1902.08129"}


@dataclass(frozen=True)
class Cause:
    """What makes a rate. / says: a sentence, or nothing; where: an operation's name; who: half a
    sentence for the verdict."""

    says: str = ""
    where: str = ""
    who: str = ""
    source: str = ""
    advice: str = (
        "add skip connections, or change the normalization; `simulate` and `predict` "
        "compare them before training"
    )


def growth_findings(case: Analysis) -> Iterator[Finding]:
    """Exploding or vanishing gradients and activations by their rates, by a step that is not like
    the others, or, where neither tells, by how much they change in all. What a jump makes of a rate
    is no finding of its own."""
    jumps = list(jump_findings(case))
    found = [
        *jumps,
        *(each for each in _by_rate(case) if not (jumps and _is_made_by(case, jumps[0], each))),
    ]
    yield from found
    if all(finding.severity == "info" for finding in found) and not norms_over_few(case.trace):
        yield from overall(case)


def _is_made_by(case: Analysis, jump: Finding, rate: Finding) -> bool:
    """Whether a rate is a remark beside a jump, or only the jump, spread over all steps: over
    several networks the mean of the steps is known far better than they agree. The other steps
    alone, each as their median, change less than a hundredfold then."""
    if rate.severity == "info":
        return True
    others = abs(jump.evidence["log2_usual"]) * jump.evidence["steps"]
    return rate.rule.startswith("gradient") and others < log2(case.thresholds.warn_change)


def _by_rate(case: Analysis) -> Iterator[Finding]:
    """The gradient, then the activation if it changes by itself."""
    gradient, signal = case.gradient, case.activation
    if isinstance(gradient, Growth) and gradient.turns:
        yield from turning(case, "gradient", gradient)
        return
    if isinstance(gradient, Growth) and _notable(case, gradient):
        yield _finding(case, "gradient", gradient)
    if isinstance(signal, Growth) and signal.turns:
        yield from turning(case, "activation", signal)
    elif (
        isinstance(signal, Growth)
        and _notable(case, signal)
        and not (isinstance(gradient, Growth) and together(gradient, signal))
    ):
        yield _finding(case, "activation", signal)


def together(gradient: Growth, signal: Growth) -> bool:
    """Whether signal and gradient change alike, which has one cause: of the two logarithms the
    smaller is over half the larger."""
    a, b = log2(gradient.rate), log2(signal.rate)
    return a * b > 0 and min(abs(a), abs(b)) > max(abs(a), abs(b)) / 2


def _notable(case: Analysis, growth: Growth) -> bool:
    return abs(growth.deviates) > case.thresholds.deviates and abs(growth.change) > log2(
        case.thresholds.info_change
    )


def _finding(case: Analysis, what: str, growth: Growth) -> Finding:
    change = 2.0 ** abs(growth.change) if abs(growth.change) < 1000 else inf
    severity = (
        "info"
        if growth.by_power or not surely_at_a_rate(case, growth)
        else case.thresholds.severity(change)
    )
    rule = f"{what}-{_VERBS[growth.rate > 1, severity != 'info']}"
    cause = (
        cause_of(case, growth)
        if what == "gradient" and growth.exponential
        else Cause(where=_last(case))
    )
    end = "input" if what == "gradient" else "output"
    verb = {True: "explode", False: "vanish"}[growth.rate > 1]
    return Finding(
        rule=rule,
        severity=severity,
        where=cause.where,
        says=f"{_says(what, growth, end)}{cause.says and f'. {cause.says}'}",
        evidence={
            "rate": growth.rate,
            "stderr": growth.stderr,
            "rms_rate": growth.rms_rate,
            "step": growth.step,
            "steps": growth.steps,
            "deviates": growth.deviates,
            "threshold_deviates": case.thresholds.deviates,
            "change": change,
            "threshold_change": case.thresholds.change_of(severity),
            "predicted_rate": case.predicted_rate if what == "gradient" else None,
            "evidence_power_law": growth.power.evidence if growth.power is not None else None,
            "evidence_plateau": growth.plateau.evidence if growth.plateau is not None else None,
            "power_law_exponent": growth.power.exponent
            if growth.power is not None and growth.by_power
            else None,
        },
        source=cause.source,
        advice=cause.advice if severity != "info" else "",
        headline=""
        if severity == "info"
        else f"{what}s {verb} towards the {end}: {factor(growth.rms_rate)} in RMS per "
        f"{growth.step}, {fold(growth)} over "
        f"{growth.steps} of them{cause.who}",
    )


def surely_at_a_rate(case: Analysis, growth: Growth) -> bool:
    """Whether the mean step is surely not 0, by whatever law the steps go."""
    return (
        abs(float(normal_deviate(np.array(growth.standard_errors_from_1), growth.degrees)))
        > case.thresholds.deviates
    )


def _says(what: str, growth: Growth, end: str) -> str:
    if growth.power is not None and growth.by_power:
        verb = "grows" if growth.power.exponent > 0 else "shrinks"
        return (
            f"the {what}'s mean square {verb} towards the {end} as "
            f"depth^{abs(growth.power.exponent):.2g}, not exponentially: "
            f"{fold(growth)} in RMS over {growth.steps} steps"
        )
    verb = "grow" if growth.rate > 1 else "shrink"
    if growth.plateau is not None and growth.by_plateau:
        near = "input" if growth.plateau.from_input else "output"
        return (
            f"{what}s {verb} towards the {end} over the {min(growth.plateau.reach, growth.steps)} "
            f"steps next to the {near} and are "
            f"steady beyond: {fold(growth)} in RMS over all {growth.steps} steps"
        )
    return (
        f"{what}s {verb} towards the {end}: {factor(growth.rms_rate)} in RMS per {growth.step} "
        f"(mean square x{growth.rate:.4g} ± "
        f"{growth.stderr:.2g}), {fold(growth)} in RMS over {growth.steps} of them"
    )


def cause_of(case: Analysis, growth: Growth) -> Cause:
    """The weights' size; else what amplifies the gradient most beyond the signal, or, where both
    change alike, what amplifies both (a layer and its activation make up for each other there)."""
    weights = blamed_weights(case, growth.rate)
    if weights is not None:
        return Cause(
            weights.says,
            weights.where,
            f", by the size of the weights (as of {place(weights.where)})",
            "arXiv:1502.01852, section 2.2",
            RECURRENT if is_recurrent(case) else weights.advice,
        )
    alike = isinstance(case.activation, Growth) and together(growth, case.activation)
    suited = {kind for each in weights_of(case) for kind in each.kinds} if alike else set()
    order = [each for each in blamed(case) if each.kind not in suited]
    order.sort(key=lambda each: -each.backward if alike else -each.excess)
    first = order[0 if growth.rate > 1 else -1] if order else None
    if first is None or abs(first.backward if alike else first.excess) < case.thresholds.imbalance:
        return Cause(where=first.where if first else "", advice=_advice(case, first))
    who = f", by {first.kind} (as {place(first.where)})"
    return Cause(
        _part(case, first), first.where, who, _SOURCES.get(first.kind, ""), _advice(case, first)
    )


def _part(case: Analysis, blame: Blame) -> str:
    said = (
        f"{blame.kind} does it: per step it multiplies the gradient's mean square by "
        f"{2**blame.backward:.3g} and the signal's by "
        f"{2**blame.forward:.3g}"
    )
    splits = [op.split for op in case.bulk if op.op == blame.kind and op.split is not None]
    if not splits:
        return said
    inverse = sum(s.inverse_sigma2 for s in splits) / len(splits)
    removed = sum(s.mean_term + s.variance_term for s in splits) / sum(s.direct for s in splits)
    return (
        f"{said} (1/sigma^2 = {inverse:.3g}, of which the paths through mean and variance take "
        f"back {removed:.1%})"
    )


def _advice(case: Analysis, first: Blame | None) -> str:
    if passes_messages(case):
        return MESSAGES
    if is_recurrent(case):
        return RECURRENT
    if (
        first is not None
        and first.kind == "batch_norm"
        and not any(op.op == "add" for op in case.bulk)
    ):
        larger = " use a larger batch," if case.trace.batch < _SMALL_BATCH else ""
        return f"add skip connections,{larger} or normalize by LayerNorm before the activation"
    return Cause.advice


def _last(case: Analysis) -> str:
    return case.bulk[-1].name if case.bulk else ""
