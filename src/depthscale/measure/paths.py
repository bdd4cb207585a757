"""The paths of a trace's gradient: how its squared norm is handed from operation to operation."""

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf, isfinite, log2

from depthscale.run import Edge, Run, kept, log2_total, mean_over_repeats

_ROUNDING = 0.02  # log2 of a squared norm: a sum in bfloat16 keeps 8 bits
Into = dict[
    int, list[tuple[int | None, float, float, int]]
]  # from which operation, log2 handed, log2 measured, elements


@dataclass
class Flow:
    """Squared norms handed on by the operations' own gains alone, in log2, from the cotangents
    down.

    level[op]: what arrives at its output; join[op]: where several edges meet, what their sum is
    over the sum of theirs;
    unseen: operations into which gradient comes by more edges, or fewer, than were measured.
    altered: those at which more arrives than the edges can add up to. swallowed: (operation, the
    one it reads) where no gradient leaves, as autograd.Function's None.
    share[op]: of all that reaches the sources; contribution[op]: its part of the log of the total
    (all add up to it).
    resized[op], forward[op]: along the same paths, weighted alike, the growth of the number of
    elements towards the input and of the activation's mean square towards the output; each adds up
    to what lies between the network's ends.
    """

    level: dict[int, float] = field(default_factory=dict)
    join: dict[int, float] = field(default_factory=dict)
    share: dict[int, float] = field(default_factory=dict)
    contribution: dict[int, float] = field(default_factory=dict)
    unseen: list[int] = field(default_factory=list)
    altered: list[int] = field(default_factory=list)
    swallowed: list[tuple[int, int]] = field(default_factory=list)
    resized: dict[int, float] = field(default_factory=dict)
    forward: dict[int, float] = field(default_factory=dict)


def flow(trace: Run) -> Flow:
    """Hand the cotangents' squared norm down. An operation gives each edge its level times the
    edge's own measured gain.

    Where several edges meet, the sum over the sum of squares is taken from what arrived there, if
    every edge was seen and the sum is one that they can have (k edges add up to k times the sum of
    squares at most: Cauchy and Schwarz); else nothing is assumed, and the account stays open. An
    edge by which no gradient leaves hands on 0, and so does what lies behind it.
    """
    return kept(trace, "_flow", lambda: _flow(trace))


def _flow(trace: Run) -> Flow:
    found = Flow()
    into: Into = defaultdict(list)
    for op, cotangent in trace.sinks:
        given = mean_over_repeats(cotangent)
        into[op].append((None, given, given, 0))
    for op in reversed(trace.ops):
        handed = into.get(op.id)
        if not handed:
            continue
        if not op.log2_gradient_norm2:
            if all(each == -inf for _, each, _, _ in handed):
                for edge in op.edges:
                    into[edge.source].append((op.id, -inf, -inf, edge.size))
            continue
        arrived = op.log2_arrived
        level = log2_total([each for _, each, _, _ in handed])
        if len(handed) != op.consumers:
            found.unseen.append(op.id)
        elif op.consumers > 1:
            join = arrived - log2_total([measured for _, _, measured, _ in handed])
            if join > log2(op.consumers) + _ROUNDING:
                found.altered.append(op.id)
            else:
                found.join[op.id] = join
                level += join
        found.level[op.id] = level
        for edge in op.edges:
            left = edge.log2_left
            if is_swallowed(trace, edge):
                found.swallowed.append((op.id, edge.source))
                left = -inf
            into[edge.source].append(
                (op.id, level + left - arrived if left > -inf else -inf, left, edge.size)
            )
    _share_out(trace, found, into)
    return found


def _share_out(trace: Run, found: Flow, into: Into) -> None:
    """Part the log of the total among the operations, each edge weighted by the share of the
    gradient that came over it.

    With s_e the shares of what meets, log2 sum 2^a_e = sum s_e (a_e - log2 s_e): the sum's
    logarithm is one of its terms.
    """
    reached = {op: found.level[op] for op, _ in trace.sources if op in found.level}
    total = log2_total(list(reached.values()))
    if not isfinite(total):
        return
    weight: dict[int, float] = defaultdict(float)
    found.contribution, found.resized, found.forward = (
        defaultdict(float),
        defaultdict(float),
        defaultdict(float),
    )
    for op, level in reached.items():
        weight[op] = 2.0 ** (level - total)
    for op in trace.ops:
        w = weight.get(op.id, 0.0)
        if not w or op.id not in into:
            continue
        handed = into[op.id]
        both = log2_total([each for _, each, _, _ in handed])
        found.contribution[op.id] += w * found.join.get(op.id, 0.0)
        for above, each, measured, size in handed:
            s = 2.0 ** (each - both)
            if not s:
                continue
            found.contribution[op.id] += -w * s * log2(s) if s < 1 else 0.0
            if above is not None:
                reader = trace.ops[above]
                weight[above] += w * s
                found.contribution[above] += w * s * (measured - reader.log2_arrived)
                found.resized[above] += (
                    w * s * log2(size / reader.size) if size and reader.size else 0.0
                )
                ahead = reader.log2_activation_ms - op.log2_activation_ms
                found.forward[above] += w * s * ahead if isfinite(ahead) else 0.0
    entropy = -sum(w * log2(w) for op, w in ((op, weight[op]) for op in reached) if 0 < w < 1)
    if entropy:
        first = max(reached, key=lambda op: reached[op])
        found.contribution[first] += entropy
    found.share = dict(weight)
    found.contribution, found.resized, found.forward = (
        dict(found.contribution),
        dict(found.resized),
        dict(found.forward),
    )


def is_swallowed(trace: Run, edge: Edge) -> bool:
    """Whether an operation's backward pass gave this edge no gradient at all; a complex one could
    not be counted."""
    below = trace.ops[edge.source]
    return not edge.size and below.size > 0 and not below.dtype.startswith("complex")
