"""Rule on one step of depth that is not like the others: the gradient changes there at once, by one
operation."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, log2
from statistics import median

from depthscale._diagnose.branches import fan_in_variance
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.words import decades, place
from depthscale.measure import Growth, Ledger
from depthscale.measure.analysis import Analysis
from depthscale.run import TracedOp
from depthscale.theory.traces import ends

_FEWEST = 4  # steps, of which one may be called odd
# of the other steps, as wide as if they were normal: 1.4826 times the median distance from their
# median
_SPREADS = 8.0
_LEAST_SPREAD = 0.1  # log2 of a mean square


@dataclass(frozen=True)
class Jump:
    """where: the operation that does it; log2_step: what the mean square changes by over its step;
    usual: over the others, in the median; steps: how many others. / harmless: as a last layer that
    begins small, which is usual."""

    where: TracedOp
    log2_step: float
    usual: float
    steps: int
    harmless: bool = False

    @property
    def odd(self) -> float:
        return self.log2_step - self.usual


def jump_findings(case: Analysis) -> Iterator[Finding]:
    """The largest jump of a hundredfold in mean square or more, in the bulk or at its ends."""
    found = [*_inside(case), *_at_the_ends(case)]
    if not found:
        return
    jump = max(found, key=lambda each: (not each.harmless, abs(each.odd)))
    change = 2.0 ** abs(jump.odd) if abs(jump.odd) < 1000 else inf
    severity = "info" if jump.harmless else case.thresholds.severity(change)
    verb = "grows" if jump.odd > 0 else "shrinks"
    says = (
        f"in one step of depth the gradient {verb} {decades(jump.log2_step)} in RMS towards "
        "the input"
    )
    more = f" ({len(found) - 1} more such steps)" if len(found) > 1 else ""
    yield Finding(
        "gradient-jumps",
        severity,
        jump.where.name,
        f"{says}, in the other {jump.steps} by x{2 ** (jump.usual / 2):.3g} in the "
        f"median{more}{_weights(case, jump.where)}",
        {
            "log2_step": jump.log2_step,
            "log2_usual": jump.usual,
            "steps": jump.steps,
            "change": change,
            "threshold_change": case.thresholds.change_of(severity),
            "jumps": len(found),
            "fan_in_variance": fan_in_variance(jump.where),
        },
        "arXiv:1502.01852",
        "draw this operation's weights as the others are, or scale what it hands on"
        if severity != "info"
        else "",
        f"the gradient jumps at {place(jump.where.name)}: {verb} {decades(jump.log2_step)} in RMS "
        "in one step of depth",
    )


def _inside(case: Analysis) -> Iterator[Jump]:
    """Steps of the bulk that lie far from the median of all, as wide as those spread."""
    sizes = _sizes(case)
    if len(sizes) < _FEWEST:
        return
    for k, size in enumerate(sizes):
        if _is_odd(case, size, sizes):
            yield Jump(_oddest(case, k, size > median(sizes)), size, median(sizes), len(sizes) - 1)


def _is_odd(case: Analysis, size: float, others: list[float]) -> bool:
    """Whether one of these lies a hundredfold from their median, and as far as they spread. / all
    in log2."""
    usual = median(others)
    spread = max(1.4826 * median(abs(each - usual) for each in others), _LEAST_SPREAD)
    return abs(size - usual) > max(log2(case.thresholds.warn_change), _SPREADS * spread)


def _sizes(case: Analysis) -> list[float]:
    """log2 of what each step of the bulk does to the gradient's mean square; nothing where there is
    no rate."""
    ops, pairs = (
        case.trace.ops,
        case.depth.pairs if case.depth and isinstance(case.gradient, Growth) else (),
    )
    return [ops[below].log2_gradient_ms - ops[top].log2_gradient_ms for below, top in pairs]


def _oddest(case: Analysis, k: int, grows: bool) -> TracedOp:
    """Of a step's operations the one that does most beyond what its kind does in the median of all
    steps."""
    assert case.depth is not None
    below, top = case.depth.pairs[k]
    if not isinstance(case.ledger, Ledger):
        return case.trace.ops[top]
    parts = [(case.trace.ops[entry.id], entry.backward) for entry in case.ledger.entries]
    bulk = [(op, part) for op, part in parts if op.id in case.depth]
    usual = {
        kind: median(part for op, part in bulk if op.op == kind)
        for kind in {op.op for op, _ in bulk}
    }
    here = [(part - usual[op.op], op) for op, part in bulk if below < op.id <= top]
    return max(
        here, key=lambda each: each[0] if grows else -each[0], default=(0.0, case.trace.ops[top])
    )[1]


def _at_the_ends(case: Analysis) -> Iterator[Jump]:
    """Before the first whole step and after the last one nothing repeats: there a jump must come
    with weights of an odd size."""
    found, ops = case.depth, case.trace.ops
    if found is None:
        return
    stations = {op.id for op in case.dominators}
    weights = [log2(size) for op in case.bulk if (size := fan_in_variance(op))]
    steps = _sizes(case)
    sources = [op for op, _ in case.trace.sources if op in stations]
    if min(len(weights), len(steps)) < _FEWEST or not sources:
        return
    first, last = found.pairs[0][0], found.pairs[-1][1]
    for low, high in ((sources[0], first), (last, ends(case.trace)[0])):
        change = ops[low].log2_gradient_ms - ops[high].log2_gradient_ms
        for op in ops[low : high + 1]:
            size = fan_in_variance(op) if op.id in stations and low < op.id else None
            if not size or not isfinite(change):
                continue
            odd = (log2(size) - median(weights)) * (change - median(steps)) > 0
            if odd and _is_odd(case, log2(size), weights) and _is_odd(case, change, steps):
                yield Jump(
                    op,
                    change,
                    median(steps),
                    len(steps),
                    harmless=low == last and change < median(steps),
                )


def _weights(case: Analysis, op: TracedOp) -> str:
    size = fan_in_variance(op)
    others = [
        each
        for other in case.bulk
        if other is not op and (each := fan_in_variance(other)) is not None
    ]
    if size is None or not others:
        return ""
    return (
        f". The weights of {place(op.name)} have fan_in x variance {size:.3g}, those of the "
        f"others {median(others):.3g} "
        "in the median"
    )
