"""The graph of a model that ran: what theory can say of it, operation by operation."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf, prod

import depthscale.network as g
from depthscale.run import Reading, Run

_MANY = 64  # entries over which a layer norm's statistics no longer vary


@dataclass(frozen=True)
class ModelGraph:
    """graph: of the operations between the inputs and the loss; last: trace id -> position of its
    output in the graph.

    first: trace id -> position of the operation that reads its inputs, where that is another one (a
    norm with gamma, beta).
    reads: trace id -> trace ids of what it reads there; of the last operation of a norm that a
    model writes out, the norm's input.
    inside: trace ids of the other operations of such norms, and of what all samples share, whose
    gradient is not predicted.
    """

    graph: g.Graph
    last: dict[int, int]
    first: dict[int, int]
    reads: dict[int, tuple[int, ...]]
    inside: frozenset[int]


def model_graph(trace: Run, as_one: Collection[int] = ()) -> ModelGraph:
    """The graph of a trace, with its measured weight variances, its inputs' variances and
    correlations, and its batch size.

    What theory has no operation for becomes an Unknown of its name, and so do the operations
    `as_one`. Weights are taken to be independent and centred.
    """
    ops: list[g.Op] = []
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    shared = {
        op.id for op in trace.ops if op.settings.get("same_for_all")
    }  # added to every sample: it gets the sum of theirs
    for op in trace.ops:
        reads = tuple(_whole_or_part(ops, last[i], trace.ops[i], op) for i in op.meaning.reads)
        extra = g.parameter_input(op)
        if extra is not None and len(reads) == 1:
            ops.append(g.Op(f"{op.name} (parameter)", extra, (), op.id))
            reads = (*reads, len(ops) - 1)
        chain = [g.Unknown(op.op)] if op.id in as_one else _chain(op)
        for k, what in enumerate(chain):
            inputs = _inputs(what, reads) if k == 0 else (len(ops) - 1,)
            spread = isinstance(what, g.Add) and any(
                trace.ops[i].size != op.size and i not in shared for i in op.meaning.reads
            )
            if inputs is None or spread:
                what, inputs = g.Unknown(op.op), reads
            ops.append(g.Op(op.name, what, inputs, op.id))
            if k == 0:
                first[op.id] = len(ops) - 1
        last[op.id] = len(ops) - 1
    inside = frozenset(shared).union(op.id for op in trace.ops if op.meaning.part_of is not None)
    reads_of = {op.id: op.meaning.reads for op in trace.ops}
    return ModelGraph(g.Graph(tuple(ops), float(trace.batch)), last, first, reads_of, inside)


def _chain(op: Reading) -> list[g.Operation]:
    """Its operations, with many entries of a sample for endlessly many; one Unknown where any is
    not known."""
    if not op.meaning.what or any(isinstance(what, g.Unknown) for what in op.meaning.what):
        return [g.Unknown(op.op)]
    return [
        replace(what, size=inf)
        if isinstance(what, g.Norm) and what.row.over == "entries" and what.size >= _MANY
        else what
        for what in op.meaning.what
    ]


def _whole_or_part(ops: list[g.Op], position: int, made: Reading, reader: Reading) -> int:
    """What one reader takes of an operation with several outputs of one shape: its own share of the
    entries."""
    if not g.is_split(made.op) or not made.size or prod(made.shape) == made.size:
        return position
    ops.append(
        g.Op(f"{made.name} (part)", g.Part(prod(made.shape) / made.size), (position,), reader.id)
    )
    return len(ops) - 1


def _inputs(what: g.Operation, reads: tuple[int, ...]) -> tuple[int, ...] | None:
    """What an operation reads, or None where the trace gives it another number of inputs."""
    wanted = {g.Input: 0, g.Embedding: 0, g.Add: 2, g.Multiply: 2, g.Attention: 3}.get(
        type(what), 1
    )
    if isinstance(what, g.Unknown):
        return reads
    if isinstance(what, g.Embedding | g.Input):
        return ()
    return reads[:3] if wanted == 3 and len(reads) > 3 else reads if len(reads) == wanted else None
