"""Batches that are too small for what is asked of them: empty ones, and two or three values under a
Batch Norm."""

from math import inf

from depthscale.run import Depth, Reading, Run

# B sigma^2 is chi-squared with B - 1 degrees of freedom, and E 1/sigma^2 infinite below 3:
# arXiv:1902.08129
FEWEST_VALUES = 4


def is_empty(trace: Run) -> bool:
    """Whether nothing went in, so that no activation and no gradient has a value."""
    return bool(trace.sources) and all(trace.ops[op].size == 0 for op, _ in trace.sources)


def norms_over_few(trace: Run) -> tuple[Reading, ...]:
    """Batch Norms that take their statistics from so few values a channel that the mean of
    1/sigma^2 is infinite."""
    return tuple(op for op in trace.ops if 0 < values_per_channel(op) < FEWEST_VALUES)


def values_per_channel(op: Reading) -> int:
    """From how many values a Batch Norm in train mode takes a mean; 0 for one that takes none, or
    endlessly many."""
    norm = op.norm
    if norm is None or not norm.row.mixes_samples or norm.statistics == "running":
        return 0
    return int(norm.size) if norm.size < inf else 0


def without_rate(trace: Run, bulk: Depth) -> str:
    """Why the gradient of such a batch has no rate of growth over these steps, or nothing."""
    if trace.graph.is_described:
        return trace.without_rate
    if is_empty(trace):
        return "the batch is empty, 0 samples went in; give inputs with at least one"
    few = [op for op in norms_over_few(trace) if op.id in bulk]
    if not few:
        return ""
    return (
        f"Batch Norm over {values_per_channel(few[0])} values a channel (as {few[0].name}) "
        "multiplies the squared gradient by "
        f"1/sigma^2, whose mean is infinite; it takes {FEWEST_VALUES} values or more"
    )
