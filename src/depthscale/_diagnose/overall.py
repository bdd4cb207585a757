"""Rule on the whole way from the loss to the input, for what no rate per step tells."""

from collections.abc import Iterator, Sequence
from math import isfinite, log2

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.route import route_to, told
from depthscale._diagnose.words import decades
from depthscale.measure import Analysis, norms_over_few
from depthscale.run import Reading, log2_total
from depthscale.theory import ends

_RATES = {
    f"{of}-{how}"
    for of in ("gradient", "activation")
    for how in ("explodes", "vanishes", "mixed-growth", "jumps")
}


def overall(analysis: Analysis, told: Sequence[Finding]) -> Iterator[Finding]:
    """A gradient that changes enormously although no rate says so: in one stage, in a branch, or
    where nothing repeats. Nothing where a rate is told, or another cause at that place.

    Looked for at linear maps and at the sources: inside a norm that is written out, sums over many
    entries are large.
    """
    if norms_over_few(analysis.trace):
        return
    if (
        analysis.trace.loss == "output" or analysis.deleted is not None
    ):  # a loss divides by the number of samples; nothing is left
        return
    levels = {op.id: op.log2_arrived for op in analysis.trace.ops if op.log2_gradient_norm2}
    start = log2_total([levels[op] for op in ends(analysis.trace) if op in levels])
    end = log2_total([levels[op] for op, _ in analysis.trace.sources if op in levels])
    maps = [
        op.id
        for op in analysis.trace.ops
        if op.id in levels and any(len(shape) > 1 for _, shape, _ in op.weights)
    ]
    top = max(
        (*maps, *(op for op, _ in analysis.trace.sources if op in levels)),
        key=lambda op: levels[op],
        default=None,
    )
    if top is None or not (isfinite(start) and isfinite(end) and isfinite(levels[top])):
        return
    for verb, change, op in (
        ("explodes", levels[top] - start, top),
        ("vanishes", start - end, _strongest(analysis, levels)),
    ):
        if change > log2(analysis.thresholds.total_change):
            finding = _finding(analysis, verb, change, analysis.trace.ops[op])
            if not _is_told(analysis, finding, told):
                yield finding
            return


def _is_told(analysis: Analysis, finding: Finding, told: Sequence[Finding]) -> bool:
    """Whether a rate, another finding at that place, or inputs far too large say the cause."""
    alarms = [each for each in told if each.severity != "info"]
    rates = any(each.rule in _RATES for each in alarms)
    inputs = any(each.rule == "inputs-scale" for each in alarms)
    norm = analysis.trace[finding.where].norm is not None
    return rates or any(each.where == finding.where for each in alarms) or (inputs and norm)


def _strongest(analysis: Analysis, levels: dict[int, float]) -> int:
    """The source that most of the gradient reaches."""
    return max((op for op, _ in analysis.trace.sources if op in levels), key=lambda op: levels[op])


def _finding(analysis: Analysis, verb: str, change: float, end: Reading) -> Finding:
    where, who, short, advice = told(analysis, route_to(analysis, end))
    shrinks = "grows" if verb == "explodes" else "shrinks"
    says = f"from the loss to {end.name} the gradient {verb}: its norm {shrinks} {decades(change)}"
    evidence = {
        "log2_change": change,
        "threshold_log2": log2(analysis.thresholds.total_change),
        "end": end.name,
    }
    return Finding(
        f"gradient-{verb}",
        "warn",
        where.name,
        f"{says}. {who}",
        evidence,
        "arXiv:1502.01852",
        advice,
        f"{says}{short}",
    )
