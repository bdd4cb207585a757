"""Stations: the operations of a trace that every gradient path crosses."""

from collections import defaultdict
from collections.abc import Collection

from depthscale.run.trace import Trace


def stations(trace: Trace, inputs: Collection[int] | None = None) -> list[int]:
    """Operations that every gradient path crosses, from the outputs to the inputs: dominators in
    the graph of edges.

    inputs: operations of the inputs to which paths are meant; None: all.
    """
    sources = [op for op, _ in trace.sources if inputs is None or op in inputs]
    above: dict[int, int] = {}  # immediate dominator; -1 is the virtual start over all cotangents
    depth: dict[int, int] = {-1: 0}
    starts = {op for op, _ in trace.sinks}
    consumers: dict[int, list[int]] = defaultdict(list)
    for op in trace.ops:
        for edge in op.edges:
            consumers[edge.source].append(op.id)
    live = _leading_to(sources, trace)

    def meet(a: int, b: int) -> int:
        while a != b:
            if depth[a] < depth[b]:
                a, b = b, a
            a = above[a]
        return a

    for op in reversed(trace.ops):
        if op.id not in live:
            continue
        over = [each for each in consumers[op.id] if each in depth] + (
            [-1] if op.id in starts else []
        )
        if not over:
            continue
        dominator = over[0]
        for each in over[1:]:
            dominator = meet(dominator, each)
        above[op.id], depth[op.id] = dominator, depth[dominator] + 1
    ends = [op for op in sources if op in above]
    if not ends:
        return []
    here = ends[0]
    for each in ends[1:]:
        here = meet(here, each)
    chain = []
    while here != -1:
        chain.append(here)
        here = above[here]
    return chain[::-1]


def _leading_to(sources: Collection[int], trace: Trace) -> set[int]:
    live = set(sources)
    for op in trace.ops:
        if any(edge.source in live for edge in op.edges):
            live.add(op.id)
    return live
