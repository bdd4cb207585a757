"""What makes a rate: the weights' size, or a kind of operation, and what to do about it."""

from dataclasses import dataclass, replace
from math import log2

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.attribution import Attribution, attributions
from depthscale._diagnose.messages import passes_messages
from depthscale._diagnose.recurrent import is_recurrent
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.weights import blamed_weights, weights_of
from depthscale._diagnose.words import place
from depthscale.measure import Analysis, Growth
from depthscale.network import Hazard
from depthscale.numerics import two_to

_NORMS = "arXiv:1902.08129"  # on norms that take a mean away, of a batch or of a whole sample


@dataclass(frozen=True)
class Cause:
    """What makes a rate.

    Attributes:
        says: a sentence, or nothing.
        where: an operation's name.
        who: half a sentence for the verdict.
        source: of what it says.
        advice: what to try.
    """

    says: str = ""
    where: str = ""
    who: str = ""
    source: str = ""
    advice: str = advice_on(Trouble.RATE)


def cause_of(analysis: Analysis, growth: Growth) -> Cause:
    """The weights' size; else what amplifies the gradient most beyond the signal, or, where both
    change alike, what amplifies both (a layer and its activation make up for each other there)."""
    weights = blamed_weights(analysis, growth.rate)
    if weights is not None:
        return Cause(
            weights.says,
            weights.where,
            f", by the size of the weights {_of_all(weights.where, len(weights_of(analysis)))}",
            "arXiv:1502.01852, section 2.2",
            _by_kind(analysis) or weights.advice,
        )
    alike = isinstance(analysis.activation, Growth) and together(growth, analysis.activation)
    suited = {kind for layer in weights_of(analysis) for kind in layer.kinds} if alike else set()
    order = [kind for kind in attributions(analysis) if kind.kind not in suited]
    order.sort(key=lambda kind: -kind.backward if alike else -kind.excess)
    first = order[0 if growth.rate > 1 else -1] if order else None
    least = analysis.thresholds.imbalance
    if first is not None and alike and abs(first.forward) < least:
        grows = analysis.activation
        signal = cause_of_signal(analysis, grows) if isinstance(grows, Growth) else None
        if signal is not None:
            back = (
                f"backward, {first.kind} multiplies the gradient's by {two_to(first.backward):.3g}"
            )
            return replace(signal, says=f"{signal.says}; {back}")
    if first is None or abs(first.backward if alike else first.excess) < least:
        where = first.where if first else ""
        return Cause(_over_time(analysis), where, advice=_advice(analysis, first))
    return Cause(
        _part(analysis, first),
        first.where,
        f", by {_all(analysis, first.kind, first.where)}",
        _source(first),
        _advice(analysis, first),
    )


def _over_time(analysis: Analysis) -> str:
    if not is_recurrent(analysis) or passes_messages(analysis):
        return ""
    return (
        "No kind of operation does it alone: what a step in time multiplies the state with does, "
        "recurrent weights or gates"
    )


def _all(analysis: Analysis, kind: str, where: str) -> str:
    """All operations of a kind, where several steps have them; else the one."""
    count = sum(op.op == kind for op in analysis.trace.ops)
    return f"all {count} {kind}" if count > 1 else f"{kind} (as {place(where)})"


def _of_all(where: str, count: int) -> str:
    return f"of its {count} layers (as {place(where)})" if count > 1 else f"of {place(where)}"


def cause_of_signal(analysis: Analysis, growth: Growth) -> Cause | None:
    """Of the signal's growth: the weights' size, else the kind of operation that changes it most;
    None where none is known to."""
    weights = blamed_weights(analysis, 1 / growth.rate)
    parts = attributions(analysis)
    if weights is not None or not parts:
        return None
    sign = 1 if growth.rate > 1 else -1
    first = max(parts, key=lambda kind: sign * kind.forward)
    if sign * first.forward < abs(log2(growth.rate)) / 2:
        return None
    op = max(
        (op for op in analysis.bulk if op.op == first.kind),
        key=lambda op: sign * op.log2_activation_ms,
    )
    return Cause(
        f"{first.kind} does it: per step it multiplies the signal's mean square by "
        f"{two_to(first.forward):.3g}",
        op.name,
        f", by {_all(analysis, first.kind, op.name)}",
        "",
        _by_kind(analysis)
        or (_on_a_sum(analysis) if op.joins else advice_on(Trouble.GROWING, op.hazard)),
    )


def _by_kind(analysis: Analysis) -> str:
    """What to try of the whole network, by what kind of network it is; nothing for most."""
    if passes_messages(analysis):
        return advice_on(Trouble.MESSAGES)
    return advice_on(Trouble.OVER_TIME) if is_recurrent(analysis) else ""


def _source(first: Attribution) -> str:
    norm = first.op.norm
    wide = norm is not None and norm.row.centred and norm.row.over in ("samples", "entries")
    return _NORMS if wide else ""


def together(gradient: Growth, signal: Growth) -> bool:
    """Whether signal and gradient change alike, which has one cause: of the two logarithms the
    smaller is over half the larger."""
    a, b = log2(gradient.rate), log2(signal.rate)
    return a * b > 0 and min(abs(a), abs(b)) > max(abs(a), abs(b)) / 2


def _part(analysis: Analysis, first: Attribution) -> str:
    says = (
        f"{first.kind} does it: per step it multiplies the gradient's mean square by "
        f"{two_to(first.backward):.3g} and the signal's by {two_to(first.forward):.3g}"
    )
    splits = [op.split for op in analysis.bulk if op.op == first.kind and op.split is not None]
    if not splits:
        return says
    inverse = sum(s.inverse_sigma2 for s in splits) / len(splits)
    removed = sum(s.mean_term + s.variance_term for s in splits) / sum(s.direct for s in splits)
    return (
        f"{says} (1/sigma^2 = {inverse:.3g}, of which the paths through mean and variance take "
        f"back {removed:.1%})"
    )


def _on_a_sum(analysis: Analysis) -> str:
    joins = [op for op in analysis.bulk if op.joins]
    blocks = max(len(joins), 1)
    return (
        f"{advice_on(Trouble.GROWING_SUM)} (of the {blocks} sums here 1 / sqrt({blocks}) = "
        f"{blocks**-0.5:.3g})"
    )


def _is_flat(first: Attribution) -> bool:
    """Whether it takes more from the gradient than from the signal, and is no map: its slope is
    small where its values lie."""
    maps = first.op.map is not None or first.op.norm is not None or first.op.hazard is Hazard.MAP
    return not maps and first.backward < 0 and first.excess < 0


def _advice(analysis: Analysis, first: Attribution | None) -> str:
    if by_kind := _by_kind(analysis):
        return by_kind
    if first is not None and first.op.joins:
        return _on_a_sum(analysis)
    norm = None if first is None else first.op.norm
    adds = any(op.joins for op in analysis.bulk)
    if norm is not None and norm.row.mixes_samples and not adds:
        small = analysis.trace.batch < analysis.thresholds.small_batch
        larger = " use a larger batch," if small else ""
        return f"add skip connections,{larger} or normalize by LayerNorm before the activation"
    if first is not None and _is_flat(first):
        return advice_on(Trouble.SLOPE, first.op.hazard)
    return Cause.advice
