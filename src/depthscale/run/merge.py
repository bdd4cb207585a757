"""merged: traces of one architecture, drawn anew each time, as one."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from depthscale.errors import InvalidProbe
from depthscale.run.trace import Edge, Likeness, NormSplit, Trace, TracedOp, with_meanings
from depthscale.sketch import Sketch

T = TypeVar("T")


def merged(traces: Sequence[Trace]) -> Trace:
    """One trace of several networks: sketches added up, each network's squared norms side by side,
    other numbers averaged.

    Where all have the same weights they are one network, and what was drawn anew are the cotangents
    (and dropout, say).
    raises: InvalidProbe where the networks do not run the same operations.
    """
    first = traces[0]
    if len(traces) == 1:
        return first
    names = [[(op.name, op.op, len(op.edges)) for op in trace.ops] for trace in traces]
    for k, each in enumerate(names):
        if each != names[0]:
            odd = next((a[0] for a, b in zip(each, names[0], strict=False) if a != b), "the end")
            raise InvalidProbe(
                f"network {k} runs other operations than network 0, from {odd} on; probe them one "
                "by one"
            )
    weights = [[op.weights for op in trace.ops] for trace in traces]
    alike = any(weights[0]) and all(each == weights[0] for each in weights)
    ops = tuple(_op([trace.ops[i] for trace in traces]) for i in range(len(first.ops)))
    if alike:
        ops = tuple(
            replace(op, log2_activation_samples=op.log2_activation_samples[:1]) for op in ops
        )
    return replace(
        first,
        ops=with_meanings(ops),
        params=tuple(
            replace(
                p,
                value=_sum([t.params[i].value for t in traces]),
                gradient=_sum([t.params[i].gradient for t in traces]),
            )
            for i, p in enumerate(first.params)
        ),
        sinks=tuple(
            (op, _joined([t.sinks[i][1] for t in traces])) for i, (op, _) in enumerate(first.sinks)
        ),
        sources=tuple(
            (op, _joined([t.sources[i][1] for t in traces]))
            for i, (op, _) in enumerate(first.sources)
        ),
        repeats=len(traces),
        initializations=1 if alike else len(traces),
        verified=None if first.verified is None else all(trace.verified for trace in traces),
    )


def _op(ops: Sequence[TracedOp]) -> TracedOp:
    return replace(
        ops[0],
        activation=_sum([op.activation for op in ops]),
        gradient=_sum([op.gradient for op in ops]),
        log2_gradient_norm2=_joined([op.log2_gradient_norm2 for op in ops]),
        log2_activation_samples=_joined([op.log2_activation_samples for op in ops]),
        edges=tuple(
            Edge(edge.source, _joined([op.edges[k].log2_norm2 for op in ops]), edge.size)
            for k, edge in enumerate(ops[0].edges)
        ),
        split=_average(NormSplit, [op.split for op in ops]),
        likeness=_average(Likeness, [op.likeness for op in ops]),
        terms=_joined([op.terms for op in ops]),
        slopes=_joined([op.slopes for op in ops]),
        dead=_mean([op.dead for op in ops]),
        weights=tuple(
            (name, shape, sum(op.weights[k][2] for op in ops) / len(ops))
            for k, (name, shape, _) in enumerate(ops[0].weights)
        ),
    )


def _sum(sketches: Sequence[Any]) -> Any:
    return None if any(sketch is None for sketch in sketches) else sum(sketches, Sketch())


def _joined(samples: Sequence[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(value for each in samples for value in each)


def _mean(values: Sequence[Any]) -> Any:
    return None if any(value is None for value in values) else sum(values) / len(values)


def _average(kind: Callable[..., Any], records: Sequence[Any]) -> Any:
    if any(record is None for record in records):
        return None
    return kind(
        *(_mean([getattr(record, f.name) for record in records]) for f in fields(records[0]))
    )
