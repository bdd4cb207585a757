"""ledger: which operation changes the gradient by how much, and whether the account closes."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite, log2, nan
from typing import Any

from depthscale.drawable import Drawable
from depthscale.errors import UnreliableGrowth
from depthscale.measure.paths import Flow, flow, is_swallowed
from depthscale.numerics import two_to
from depthscale.run import Reading, Run, log2_total, mean_over_repeats, rows_frame


@dataclass(frozen=True)
class Entry:
    """One operation's part in the change of the gradient, towards the input.

    log2_gain_norm2: log2 of what leaves it, over all edges, over what arrived, as squared norms;
    log2_gain_ms: as mean squares, less by resize = log2 of elements leaving over elements arrived.
    share: of the gradient that reaches the sources, how much came this way. contribution: its part
    of the ledger's total, joins included: all add up to it. backward, forward: its part of what the
    mean squares of the gradient, and of the activation along the gradient's paths, change by from
    end to end.
    log2_join: where several edges bring gradient to its output, log2 of their sum's squared norm
    over the sum of theirs (what interference adds or takes away); None elsewhere.
    """

    id: int
    log2_gain_norm2: float
    log2_gain_ms: float
    resize: float
    share: float
    contribution: float
    backward: float
    forward: float
    log2_join: float | None


@dataclass(frozen=True)
class Stage:
    """What lies between two operations that every gradient path crosses. / top: nearer the output;
    bottom: nearer the input, None for the sources together; inside: operations between them;
    log2_gain_norm2: of the squared norm from top to bottom."""

    top: int
    bottom: int | None
    inside: tuple[int, ...]
    log2_gain_norm2: float


@dataclass(frozen=True, eq=False)
class Ledger(Drawable):
    """The gradient's way from the cotangents to the sources, as an account.

    total_log2_norm2: log2 of the squared norm at all sources over that of all cotangents, measured
    there; closure_error: how far (log2) the operations' own gains, multiplied up along the paths,
    miss it; infinite where an edge was not seen.
    by_kind, by_class: contribution (log2) of each kind of operation and of each module class,
    largest effect first; what several paths into one output make of each other is counted with the
    operation that gives it.
    open: in words, what keeps the account from closing, an operation that hands on no gradient, or
    where the account ends if no input gets any; a hook of the model's own at a fork is told only
    where it makes more of what meets there than a sum can be.
    """

    entries: tuple[Entry, ...]
    stages: tuple[Stage, ...]
    total_log2_norm2: float
    closure_error: float
    by_kind: tuple[tuple[str, float], ...]
    by_class: tuple[tuple[str, float], ...]
    open: tuple[str, ...] = ()

    def __getitem__(self, op: int) -> Entry:
        return next(entry for entry in self.entries if entry.id == op)

    def __repr__(self) -> str:
        top = ", ".join(f"{kind} {value:+.3g}" for kind, value in self.by_kind[:4])
        return (
            f"Ledger(gradient x2^{self.total_log2_norm2:.4g} in squared norm, closes to "
            f"{self.closure_error:.1g}; {top})"
        )

    def __str__(self) -> str:
        """A table: each kind of operation's part, as log2 and as a factor of the squared norm."""
        rows = [repr(self).removeprefix("Ledger(").partition(";")[0]]
        width = max((len(kind) for kind, _ in self.by_kind), default=0)
        rows += [
            f"  {kind:{width}}  {value:+z9.2f}  x{two_to(value) or inf:.3g}"
            for kind, value in self.by_kind
        ]
        return "\n".join([*rows, *self.open])

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the total, how well it closes, and each operation's part."""
        return asdict(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row an operation, by its id. / raises: MissingPackage where
        pandas is not installed."""
        return rows_frame(
            self.entries, [each.name for each in fields(Entry) if each.name != "id"], "operation"
        )


def ledger(trace: Run) -> Ledger:
    """The account of a trace's gradient; over repeats, squared norms are averaged.

    raises: UnreliableGrowth where the gradient is 0, infinite or not a number at its ends.
    """
    if not isinstance(trace, Run):
        raise TypeError(f"ledger takes a Run, got {type(trace).__name__}")
    given = log2_total([mean_over_repeats(found) for _, found in trace.sinks])
    reached = log2_total([mean_over_repeats(found) for _, found in trace.sources])
    if not (isfinite(given) and isfinite(reached)):
        for _, why in trace.stops[:1]:
            raise UnreliableGrowth(f"no ledger: the prediction stops at {why}")
        what = "0" if -inf in (given, reached) else "not finite"
        raise UnreliableGrowth(
            f"no ledger: the gradient is {what} at the sources; diagnose(trace) names the operation"
        )
    moved = flow(trace)
    entries = tuple(_entry(trace, op, moved) for op in trace.ops if op.id in moved.level)
    multiplied = log2_total([moved.level.get(op, -inf) for op, _ in trace.sources])
    return Ledger(
        entries=entries,
        stages=_stages(trace, moved),
        total_log2_norm2=reached - given,
        closure_error=abs(multiplied - reached)
        if isfinite(multiplied) and not moved.unseen
        else inf,
        open=tuple(_open(trace, moved)),
        by_kind=_grouped(trace, entries, lambda op: op.op),
        by_class=_grouped(trace, entries, lambda op: op.module_class or op.op),
    )


def _open(trace: Run, moved: Flow) -> Iterator[str]:
    ops = trace.ops
    for op in moved.unseen:
        yield (
            f"gradient comes into {ops[op].name} by {ops[op].consumers} edges, not all of which "
            "were seen"
        )
    for op in moved.altered:
        yield (
            f"more gradient arrives at {ops[op].name} than its {ops[op].consumers} edges can add "
            "up to: something changes it "
            "on the way, as a hook of the model's own does"
        )
    for op, below in moved.swallowed:
        yield f"the backward pass of {ops[op].name} returns no gradient for {ops[below].name}"
    given = [op for op in ops if op.is_input]
    if given and not any(op.log2_gradient_norm2 for op in given):
        yield (
            f"the account ends at {', '.join(ops[op].name for op, _ in trace.sources)}: no "
            f"gradient reaches {given[0].name}"
        )


def _entry(trace: Run, op: Reading, moved: Flow) -> Entry:
    arrived = op.log2_arrived
    left = log2_total([edge.log2_left for edge in op.edges if not is_swallowed(trace, edge)])
    gain = left - arrived if op.edges else 0.0
    size = sum(edge.size for edge in op.edges)
    resize = log2(size / op.size) if size and op.size else 0.0
    part = moved.contribution.get(op.id, 0.0)
    return Entry(
        id=op.id,
        log2_gain_norm2=gain,
        log2_gain_ms=gain - resize,
        resize=resize,
        share=moved.share.get(op.id, 0.0),
        contribution=part,
        backward=part - moved.resized.get(op.id, 0.0),
        forward=moved.forward.get(op.id, 0.0),
        log2_join=moved.join.get(op.id),
    )


def _stages(trace: Run, moved: Flow) -> tuple[Stage, ...]:
    """Between consecutive dominators, from the output to the input."""
    crossed = trace.graph.dominators
    ends = [*crossed[1:], None] if crossed and len(trace.sources) > 1 else [*crossed[1:]]
    found, order = [], sorted(moved.level)
    for top, bottom in zip(crossed, ends, strict=False):
        below = [bottom] if bottom is not None else [op for op, _ in trace.sources]
        low, high = (
            log2_total([moved.level.get(op, -inf) for op in below]),
            moved.level.get(top, nan),
        )
        first = 0 if bottom is None else bisect_right(order, bottom)
        inside = tuple(order[first : bisect_left(order, top)])
        found.append(Stage(top, bottom, inside, low - high))
    return tuple(found)


def _grouped(trace: Run, entries: tuple[Entry, ...], key) -> tuple[tuple[str, float], ...]:
    totals: dict[str, float] = defaultdict(float)
    for entry in entries:
        op = trace.ops[entry.id]
        totals[key(op)] += entry.contribution
    return tuple(sorted(totals.items(), key=lambda item: -abs(item[1])))
