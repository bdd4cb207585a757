"""Dominators: the operations of a trace that every gradient path crosses."""

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

from depthscale.run.kept import kept

if TYPE_CHECKING:
    from depthscale.run.trace import Trace


def dominators(trace: "Trace") -> tuple[int, ...]:
    """Operations that every gradient path crosses, from the outputs to the inputs, in the graph of
    edges. They are computed once for a trace."""
    return kept(
        trace,
        "_dominators",
        lambda: dominators_between(
            trace, {op for op, _ in trace.sinks}, [op for op, _ in trace.sources]
        ),
    )


def dominators_between(
    trace: "Trace", tops: Collection[int], bottoms: Collection[int]
) -> tuple[int, ...]:
    """Operations that every path from some operations down to some others crosses, in that
    order."""
    above: dict[int, int] = {}  # immediate dominator; -1 is the virtual start over all tops
    depth: dict[int, int] = {-1: 0}
    consumers: dict[int, list[int]] = defaultdict(list)
    for op in trace.ops:
        for edge in op.edges:
            consumers[edge.source].append(op.id)
    live = _leading_to(bottoms, trace)

    def meet(a: int, b: int) -> int:
        while a != b:
            if depth[a] < depth[b]:
                a, b = b, a
            a = above[a]
        return a

    for op in reversed(trace.ops):
        if op.id not in live:
            continue
        over = [reader for reader in consumers[op.id] if reader in depth] + (
            [-1] if op.id in tops else []
        )
        if not over:
            continue
        dominator = over[0]
        for reader in over[1:]:
            dominator = meet(dominator, reader)
        above[op.id], depth[op.id] = dominator, depth[dominator] + 1
    ends = [op for op in bottoms if op in above]
    if not ends:
        return ()
    here = ends[0]
    for end in ends[1:]:
        here = meet(here, end)
    chain = []
    while here != -1:
        chain.append(here)
        here = above[here]
    return tuple(reversed(chain))


def _leading_to(bottoms: Collection[int], trace: "Trace") -> set[int]:
    live = set(bottoms)
    for op in trace.ops:
        if any(edge.source in live for edge in op.edges):
            live.add(op.id)
    return live
