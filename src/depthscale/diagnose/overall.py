"""Rule on the whole way from the loss to the input, for what no rate per step tells."""

from collections.abc import Iterator
from math import isfinite, log2

from depthscale.diagnose.case import Case
from depthscale.diagnose.finding import Finding
from depthscale.measure.paths import mean_over_repeats
from depthscale.theory.traces import ends
from depthscale.trace import log2_total


def overall(case: Case) -> Iterator[Finding]:
    """A gradient that changes enormously although no rate says so: in one stage, in a branch, or where nothing repeats.

    Looked for at linear maps and at the sources: inside a norm that is written out, sums over many entries are large.
    """
    if case.trace.loss == "output":  # whose first operations divide by the number of samples
        return
    levels = {op.id: mean_over_repeats(op.log2_gradient_norm2) for op in case.trace.ops if op.log2_gradient_norm2}
    start = log2_total([levels[op] for op in ends(case.trace) if op in levels])
    end = log2_total([levels[op] for op, _ in case.trace.sources if op in levels])
    maps = [op.id for op in case.trace.ops if op.id in levels and any(len(shape) > 1 for _, shape, _ in op.weights)]
    top = max((*maps, *(op for op, _ in case.trace.sources if op in levels)), key=lambda op: levels[op], default=None)
    if top is None or not (isfinite(start) and isfinite(end) and isfinite(levels[top])):
        return
    for verb, change, op in (("explodes", levels[top] - start, top), ("vanishes", start - end, case.trace.sources[0][0])):
        if change > log2(case.limits.total_change):
            where = case.trace.ops[op].name
            says = f"from the loss to {where} the gradient {verb}: its squared norm changes by a factor of 2^{change:.0f}"
            evidence = {"log2_change": change, "threshold_log2": log2(case.limits.total_change)}
            advice = "the ledger lists which operations contribute; look for the stage or the branch where they begin"
            yield Finding(f"gradient-{verb}", "warn", where, says, evidence, "arXiv:1502.01852", advice, says)
            return
