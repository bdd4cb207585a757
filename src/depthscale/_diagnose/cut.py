"""Rule on a gradient that is cut: operations whose output takes part, and to which no gradient is
handed back."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from depthscale._diagnose.finding import Finding, Severity
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.words import place, span
from depthscale.measure import Analysis
from depthscale.run import Reading, Run

_WAYS = {  # how a gradient is cut: what to do about it
    "detach": "take out the detach()",
    "torch.no_grad()": "take out the torch.no_grad()",
    "an index or a comparison (argmax, round to integers, ...)": (
        "use a softmax, a Gumbel softmax or a straight-through estimate, which have a gradient"
    ),
    "values that leave torch (numpy, item(), tolist())": "stay with tensors from the inputs to "
    "the loss",
}
_DETACH, _NO_GRAD, _INDEX, _OUTSIDE = _WAYS
_ON_PURPOSE = (
    "; where it is meant, requires_grad_(False) on these parameters says so, and is no finding"
)


@dataclass(frozen=True)
class Cut:
    """above: the first operation that gets a gradient and reads one that gets none; ops: all that
    get none and are read so.

    lost: of these, those with parameters to be trained that get no gradient anywhere else, in the
    order of running; share: of all parameters to be trained in operations that take part; whole:
    whether no path is left to any input; from_trained: whether what is cut reads from operations
    that are trained (as a target network beside the one in training does not).
    """

    above: Reading
    ops: tuple[Reading, ...]
    lost: tuple[Reading, ...]
    share: float
    whole: bool
    from_trained: bool
    way: str


def cut_findings(case: Analysis) -> Iterator[Finding]:
    """One finding, where parameters that are to be trained get no gradient: stop-gradients beside a
    path that lives are usual."""
    cut = cut_of(case.trace)
    lost = [] if cut is None else list(cut.lost)
    if cut is None or not lost:
        return
    severity = _severity(case, cut)
    beside = "no input gets any" if cut.whole else "a path beside it lives"
    stops = f"it stops at {cut.way} in front of {place(cut.above.name)}"
    who = f"{span(lost)} ({len(lost)} operations with weights)" if len(lost) > 1 else span(lost)
    yield Finding(
        "gradient-cut",
        severity,
        cut.above.name,
        f"no gradient reaches {who}, {cut.share:.0%} of the parameters that are to be trained: "
        f"{stops}; {beside}",
        {
            "share": cut.share,
            "threshold": case.thresholds.cut_warn
            if severity == "warn" and cut.whole
            else case.thresholds.cut_error,
            "operations": len(lost),
            "first": lost[0].name,
            "last": lost[-1].name,
            "whole": cut.whole,
        },
        "",
        _WAYS[cut.way] + _ON_PURPOSE,
        f"no gradient reaches {span(lost)}: {stops}",
    )


def _severity(case: Analysis, cut: Cut) -> Severity:
    """An error where the cut goes across the network, or through trained features; a branch of its
    own may be a target network, an index beside a path that lives a quantizer, and a small part the
    head of an output that is not differentiated."""
    across = cut.whole or (cut.from_trained and cut.way != _INDEX)
    large = cut.share >= case.thresholds.cut_error
    if large and across:
        return "error"
    return "warn" if large or (cut.whole and cut.share >= case.thresholds.cut_warn) else "info"


def cut_of(trace: Run) -> Cut | None:
    """What is cut; None where every operation that takes part in the output gets a gradient, or
    takes part as a constant."""
    borders = [(op, below) for op in trace.ops if _is_live(op) for below in _fed(trace, op)]
    if not borders:
        return _outside(trace)
    ops = _down_from(trace, [below for _, below in borders])
    picked = {
        i
        for op in (*ops, *(above for above, _ in borders))
        for i in op.settings.get("picked_by", ())
    }
    lost = _lost(trace, ops)
    if any(not op.nodes and not op.is_input for op in lost):
        way = _NO_GRAD
    elif any(op.id in picked and op.nodes for op in ops):
        way = _INDEX
    else:
        way = _DETACH
    inside = {op.id for op in ops}
    entered = any(
        _is_live(trace.ops[i]) and not trace.ops[i].is_input
        for op in ops
        for i in _reads(op)
        if i not in inside
    )
    return Cut(borders[0][0], ops, lost, _share(trace, lost), not _reached(trace), entered, way)


def _outside(trace: Run) -> Cut | None:
    """No input is read on any path that was seen, though operations ran on it: values went around
    torch."""
    given = [op for op in trace.ops if op.is_input]
    begun = [
        op
        for op in trace.ops
        if _is_live(op) and not op.reads and op.weights and not (op.is_input or op.is_embedding)
    ]
    if not given or not begun or any(map(_is_live, given)):
        return None
    ops = tuple(op for op in trace.ops[: begun[0].id] if not _is_live(op))
    lost = _lost(trace, ops)
    return Cut(begun[0], ops, lost, _share(trace, lost), True, False, _OUTSIDE)


def _is_live(op: Reading) -> bool:
    return bool(op.log2_gradient_norm2)


def _reads(op: Reading) -> tuple[int, ...]:
    return (*op.reads, *op.settings.get("picked_by", ()))


def _fed(trace: Run, op: Reading) -> list[Reading]:
    """Operations without a gradient that it reads, though it has one, by no edge that autograd
    knows of."""
    known = {edge.source for edge in op.edges}
    return [trace.ops[i] for i in _reads(op) if i not in known and not _is_live(trace.ops[i])]


def _down_from(trace: Run, tops: list[Reading]) -> tuple[Reading, ...]:
    """These and all below them that get no gradient, in the order of running."""
    found, waiting = {op.id for op in tops}, list(tops)
    while waiting:
        for i in _reads(waiting.pop()):
            if i not in found and not _is_live(trace.ops[i]):
                found.add(i)
                waiting.append(trace.ops[i])
    return tuple(trace.ops[i] for i in sorted(found))


def _parameters(ops: tuple[Reading, ...]) -> dict[str | int, int]:
    """Elements of the parameters to be trained that go into these, by name, or by operation where
    they are made from others."""
    return {
        name or op.id: prod(shape)
        for op in ops
        if not op.settings.get("frozen")
        for name, shape, _ in op.weights
        if prod(shape)
    }


def _lost(trace: Run, ops: tuple[Reading, ...]) -> tuple[Reading, ...]:
    live = _parameters(tuple(op for op in trace.ops if _is_live(op)))
    return tuple(op for op in ops if any(name not in live for name in _parameters((op,))))


def _share(trace: Run, lost: tuple[Reading, ...]) -> float:
    live, gone = _parameters(tuple(op for op in trace.ops if _is_live(op))), _parameters(lost)
    without = sum(size for name, size in gone.items() if name not in live)
    return without / (sum(live.values()) + without) if without else 0.0


def _reached(trace: Run) -> bool:
    """Whether any input, or an embedding of one, gets a gradient."""
    return any(
        _is_live(op)
        for op in trace.ops
        if op.is_input
        or (
            op.is_embedding
            and not op.settings.get("same_for_all")
            and not op.settings.get("picked_by")
        )
    )


CUT = Check(
    cut_findings,
    (
        Rule(
            ("gradient-cut",),
            "parameters that are to be trained run and get no gradient, behind a `detach`, "
            "`no_grad`, `argmax` or numpy: an error across the network, by how many they "
            "are; frozen ones, and those that get some elsewhere, are none",
        ),
    ),
)
