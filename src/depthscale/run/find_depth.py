"""Finds the depth of a run: its layers, or what its operations repeat."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from depthscale.network import dominators_between
from depthscale.run.depth import FEWEST, Depth, DepthKind, Paths
from depthscale.run.repeats import repeated_block, repeated_sequence, repeated_use
from depthscale.run.run import Run

_MOST_CHAINS = 64  # that are looked at where nothing else repeats: each takes a walk over the graph


def depth_of(run: Run) -> Depth | None:
    """The depth of a run, None where nothing repeats three times.

    Of a described network a step is a layer. Of a run it is a repeated block of the module tree,
    else the shortest repeating sequence of operations that every gradient path crosses, else the
    use of one module or of one parameter, each of which follows the one before, as of a recurrent
    cell. Where paths to all inputs share no depth, and nothing is used again, it is looked for
    along the paths to the one input that has the most of it, then along the one head and inside
    the one branch beside a skip that has.
    """
    if run.graph.is_described:
        return _of_layers(run)
    return (
        _along(run, run.graph.dominators)
        or repeated_use(run)
        or _along_one_input(run)
        or _along_one_branch(run)
    )


def _of_layers(run: Run) -> Depth | None:
    """Between the layers of the bulk."""
    depth, places = run.depth, run.graph.places
    if depth < FEWEST:
        return None
    pairs = tuple(pairwise(places[1:-1]))
    return Depth(DepthKind.LAYERS, "layer", pairs, tuple(range(1, depth - 1)), depth)


def _along(run: Run, crossed: tuple[int, ...]) -> Depth | None:
    """Along a chain of operations, from the output to the input."""
    chain = [
        op for i in reversed(crossed) if not (op := run.ops[i]).is_input and op.module != "loss"
    ]
    return repeated_block(run, chain) or repeated_sequence(chain)


def _along_one_input(run: Run) -> Depth | None:
    if len(run.sources) < 2:
        return None
    tops = {op for op, _ in run.sinks}
    chains = [dominators_between(run.graph, tops, [op]) for op, _ in run.sources]
    depth = _deepest(_along(run, chain) for chain in chains)
    return depth and replace(depth, paths=Paths.ONE_INPUT)


def _along_one_branch(run: Run) -> Depth | None:
    """Of one head alone, or between two operations that all its paths cross: what every path
    crosses beside a skip from one to the other."""
    sources = [op for op, _ in run.sources]
    chains = [dominators_between(run.graph, {op}, sources) for op, _ in run.sinks]
    for chain in chains:  # grows by the branches of each chain
        if len(chains) < _MOST_CHAINS:
            chains += _branches(run, chain, sources)
    depth = _deepest(_along(run, chain) for chain in chains)
    return depth and replace(depth, paths=Paths.ONE_BRANCH)


def _branches(run: Run, chain: tuple[int, ...], sources: list[int]) -> Iterator[tuple[int, ...]]:
    """What lies beside the steps of a chain, from each operand down."""
    for k, top in enumerate(chain):
        below = [chain[k + 1]] if k + 1 < len(chain) else sources
        for edge in run.ops[top].edges:
            if edge.source not in below:
                yield dominators_between(run.graph, {edge.source}, below)


def _deepest(depths: Iterable[Depth | None]) -> Depth | None:
    return max(filter(None, depths), key=lambda depth: len(depth.pairs), default=None)
