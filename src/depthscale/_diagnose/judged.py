"""Rules on the end of the network: what a loss is given, and how large logits are."""

from collections.abc import Iterator
from math import inf, isfinite, log, log2, nan
from typing import Any

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import decades, factor, place
from depthscale.measure import Analysis, Growth
from depthscale.network import Hazard, Judged
from depthscale.numerics import two_to
from depthscale.run import Reading, Run, log2_total

_SUITED = 4.0  # fan_in x variance, over what suits a steep activation
_WHOLE = 0.01  # of a probability, that 16 bits leave
# samples of which chance makes all labels equal once in 32,768 batches of two classes
_ENOUGH_LABELS = 16


def judged_findings(case: Analysis) -> Iterator[Finding]:
    """Of every loss that was seen what it is given; without one, of logits over a vocabulary."""
    losses = [
        op
        for op in case.trace.ops
        if op.judges is not None and op.reads and not op.settings.get("constant")
    ]
    told = set[tuple[str, str]]()
    for finding in _of_losses(case, losses):
        if (finding.rule, finding.where) not in told:  # two losses of one output
            told.add((finding.rule, finding.where))
            yield finding
    if not losses:
        yield from _logits(case)


def _of_losses(case: Analysis, losses: list[Reading]) -> Iterator[Finding]:
    for op in losses:
        below = case.trace.ops[op.reads[0]]
        shares = _gives_probabilities(below)
        twice = op.judges is Judged.LOGITS and shares
        shares = op.judges is Judged.LOGARITHMS and shares
        whole = op.settings.get("probability", 1.0) if op.judges is Judged.LOGARITHMS else 1.0
        if twice or shares:
            yield _shares_judged(op, below, Trouble.TWICE if twice else Trouble.NOT_LOGS)
        elif not abs(whole - 1) < _WHOLE:
            yield _not_whole(op, below, whole)
        else:
            yield from _too_large_a_loss(case, op, below)
        yield from _labels(op)
        yield from _targets(case, op, below)
        yield from _shapes(op)


def _gives_probabilities(op: Reading) -> bool:
    """Whether it is a softmax, or an activation between 0 and 1."""
    return op.hazard is Hazard.SHARES or (op.phi is not None and op.phi.ends == (0.0, 1.0))


def _shares_judged(op: Reading, below: Reading, trouble: Trouble) -> Finding:
    takes = "logits" if trouble is Trouble.TWICE else "log-probabilities"
    value = two_to(op.log2_activation_ms / 2)
    classes = op.settings.get("classes")
    chance = (
        f": the loss is {value:.4g}, and ln({classes}) = {log(classes):.4g} is what chance has"
        if classes
        else ""
    )
    return Finding(
        "loss-input",
        "error",
        below.name,
        f"{op.op} takes {takes} and is given the probabilities of a {below.op}{chance}. "
        f"{_lost_gradient(below)}",
        {"loss": value, "classes": classes},
        "",
        advice_on(trouble),
        f"{below.op} in front of {op.op}, which takes {takes}",
    )


def _not_whole(op: Reading, below: Reading, whole: float) -> Finding:
    return Finding(
        "loss-input",
        "error",
        below.name,
        f"{op.op} takes log-probabilities of the classes on axis 1, and what {below.op} gives "
        f"there adds up to a probability of {whole:.3g}, not 1",
        {"probability": whole, "classes": op.settings.get("classes")},
        "",
        advice_on(Trouble.NOT_WHOLE),
        f"{op.op} is given no log-probabilities over its classes",
    )


def _lost_gradient(op: Reading) -> str:
    """By how much a gradient shrinks that passes an operation."""
    left = log2_total([edge.log2_left for edge in op.edges])
    if not (isfinite(left) and isfinite(op.log2_arrived)):
        return ""
    return f"The gradient that passes {op.op} is {decades(op.log2_arrived - left)} smaller in norm"


def _too_large_a_loss(case: Analysis, op: Reading, below: Reading) -> Iterator[Finding]:
    """A first loss far above what equal shares have: logits are too large."""
    chance = _chance(op)
    value = _mean_loss(op)
    if chance is None or not isfinite(value):
        return
    limit = chance + max(chance, case.thresholds.loss_over_chance)
    if value <= limit:
        return
    yield from _large_logits(
        case,
        below,
        f"the loss begins at {value:,.4g}, where chance has {chance:.4g}",
        {"loss": value, "chance": chance, "threshold": limit},
    )


def _mean_loss(op: Reading) -> float:
    total = two_to(op.log2_activation_ms / 2)
    if op.settings.get("reduction") != "sum":
        return total
    labels = op.settings.get("labels")
    return total / labels if labels else nan


def _chance(op: Reading) -> float | None:
    """What equal shares have: ln of the classes; ln 2 for each of independent ones."""
    classes = op.settings.get("classes")
    if op.judges is Judged.LOGITS and classes is None:
        plain = op.settings.get("reduction") == "mean" and not op.settings.get("weighted")
        return log(2) if plain else None
    if not classes or classes == 1 or op.settings.get("weighted"):
        return None
    return None if op.judges is Judged.NUMBERS else log(classes)


def _logits(case: Analysis) -> Iterator[Finding]:
    """Of a network over a vocabulary: as many outputs as a table of its has rows."""
    last = case.trace.ops[-1] if len(case.trace) else None
    if last is None or last.map is None or len(last.shape) < 2:
        return
    rows = {shape[0] for op in case.trace.ops if op.is_embedding for _, shape, _ in op.weights}
    rms = two_to(last.log2_activation_ms / 2)
    if last.shape[-1] not in rows or rms <= case.thresholds.logits_rms:
        return
    classes = last.shape[-1]
    yield from _large_logits(
        case,
        last,
        f"as logits over {classes:,} classes its outputs have an RMS of {rms:,.4g}: a cross "
        f"entropy of labels at random begins near {_expected_loss(rms, classes):,.3g}, where "
        f"chance has {log(classes):.3g}",
        {"rms": rms, "classes": classes, "threshold": case.thresholds.logits_rms},
    )


def _expected_loss(rms: float, classes: int) -> float:
    """E log sum exp of independent normal logits: ln n + rms^2 / 2 below rms^2 = 2 ln n, where the
    largest takes over, and rms sqrt(2 ln n) above. / source: the random energy model, Derrida
    1981."""
    whole = log(classes)
    return whole + rms**2 / 2 if rms**2 < 2 * whole else rms * (2 * whole) ** 0.5


def _large_logits(
    case: Analysis, op: Reading, says: str, evidence: dict[str, Any]
) -> Iterator[Finding]:
    """At the operation behind the last norm or activation that makes them so large; where the
    signal grows all along the depth that is told already."""
    changes = [g.change for g in (case.activation, case.gradient) if isinstance(g, Growth)]
    maker, gain = _maker(case.trace, op)
    grows = max(map(abs, changes), default=0.0) > log2(case.thresholds.warn_change)
    if gain < op.log2_activation_ms / 2 and grows:
        return
    if gain <= 0 and maker.reads:
        maker = case.trace.ops[maker.reads[0]]
    yield Finding(
        "logits-large",
        "warn",
        maker.name,
        f"{says}. {_who(maker, gain)}",
        evidence | {"log2_gain": gain},
        "arXiv:1502.01852; for chance: log of the number of classes",
        _advice(maker, gain),
        f"logits are too large, by {place(maker.name)}: {says}",
    )


def _maker(trace: Run, op: Reading) -> tuple[Reading, float]:
    """Of the operations from one down to the last norm, activation or input the one that enlarges
    most, and log2 of by how much in mean square."""
    best, most = op, -inf
    while op.reads and op.norm is None and op.phi is None:
        below = trace.ops[op.reads[0]]
        gain = op.log2_activation_ms - below.log2_activation_ms
        if gain > most:
            best, most = op, gain
        op = below
    return best, most


def _who(maker: Reading, gain: float) -> str:
    if gain <= 0:
        rms = two_to(maker.log2_activation_ms / 2)
        return f"What reaches the last weights from {place(maker.name)} has an RMS of {rms:,.3g}"
    size = "" if maker.map is None else _size(maker)
    return f"{place(maker.name)} makes them {factor(two_to(gain / 2))} as large in RMS{size}"


def _size(maker: Reading) -> str:
    assert maker.map is not None
    return f": its weights have fan_in x variance {maker.map.sigma_w2:.3g}, where 1 keeps the scale"


def _advice(maker: Reading, gain: float) -> str:
    if maker.map is not None and maker.map.sigma_w2 > _SUITED:
        std = maker.map.fan_in**-0.5
        return f"{advice_on(Trouble.LARGE_LOGITS)} (std={std:.3g})"
    if maker.map is None and gain > 0:
        return f"{advice_on(Trouble.LARGE_LOGITS, Hazard.PRODUCT)} (by {two_to(gain / 2):.3g})"
    return advice_on(Trouble.LARGE_SIGNAL)


def _labels(op: Reading) -> Iterator[Finding]:
    facts = op.settings
    classes, labels = facts.get("classes"), facts.get("labels")
    if not classes or not labels:
        return
    low, high, different = facts["lowest"], facts["highest"], facts["distinct"]
    few = facts.get("samples", labels) < _ENOUGH_LABELS or classes > labels
    if different == 1 and not few and classes > 1:
        yield Finding(
            "labels-odd",
            "warn",
            op.name,
            f"all {labels:,} labels are {low}, of {classes} classes: nothing is to be told apart",
            dict(facts),
            "",
            advice_on(Trouble.EQUAL_LABELS),
        )
    elif low == 1 and different == high == classes - 1 and labels >= _ENOUGH_LABELS * classes:
        yield Finding(
            "labels-odd",
            "info",
            op.name,
            f"labels go from 1 to {high} and none is 0, of {classes} classes: they may be numbered "
            "from 1",
            dict(facts),
            "",
            advice_on(Trouble.LABELS),
        )


def _targets(case: Analysis, op: Reading, below: Reading) -> Iterator[Finding]:
    rms, output = op.settings.get("target_rms"), two_to(below.log2_activation_ms / 2)
    least = op.settings.get("target_least", 0.0)
    if op.judges is Judged.NUMBERS and below.phi is not None and below.phi.rectifier and least < 0:
        yield Finding(
            "targets-scale",
            "warn",
            op.name,
            f"targets go down to {least:.3g}, and the output ends in a {below.op}, which gives "
            "nothing below 0",
            {"target_least": least},
            "",
            advice_on(Trouble.SIGN),
        )
    if op.judges is not Judged.NUMBERS or not rms or not isfinite(output) or not output:
        return
    if rms / output < case.thresholds.targets_over_output or rms < case.thresholds.input_rms:
        return
    yield Finding(
        "targets-scale",
        "warn",
        op.name,
        f"the targets have an RMS of {rms:,.4g}, the output {output:.3g}: nearly all of the loss "
        "and of its gradient is their scale, which the last layer must first grow to",
        {"target_rms": rms, "output_rms": output, "threshold": case.thresholds.targets_over_output},
        "",
        advice_on(Trouble.TARGETS),
        f"targets of RMS {rms:,.4g} for an output of RMS {output:.3g}",
    )


def _shapes(op: Reading) -> Iterator[Finding]:
    """Shapes that are broadcast against each other, so that every output meets every target."""
    shapes = op.settings.get("broadcast")
    if not shapes:
        return
    output, target = map(tuple, shapes)
    yield Finding(
        "loss-shapes",
        "error",
        op.name,
        f"{op.op} is given an output of shape {output} and a target of shape {target}, which are "
        "broadcast against each other: every output is compared with the target of every sample, "
        "and the best answer is their mean",
        {"output": output, "target": target},
        "",
        advice_on(Trouble.BROADCAST),
    )


JUDGED = Check(
    judged_findings,
    (
        Rule(
            ("loss-input",),
            "a loss that takes logits, or log-probabilities, is given the probabilities of a "
            "softmax or sigmoid",
        ),
        Rule(
            ("logits-large",),
            "the first loss is twice ln(classes), which chance has, and 3 nats above it; "
            "without a loss, logits over a vocabulary have an RMS over 5",
        ),
        Rule(
            ("loss-shapes",),
            "a loss broadcasts an output and a target of other shapes against each other",
        ),
        Rule(("labels-odd",), "all labels are equal, or seem to be numbered from 1"),
        Rule(
            ("targets-scale",),
            "targets of a regression are over 30 and 30 times as large as the output, or negative "
            "where the output cannot be",
        ),
    ),
)
