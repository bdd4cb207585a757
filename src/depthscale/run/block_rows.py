"""measured_blocks: the table of blocks of a run, row by row."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, log2, nan

from depthscale.network import Affine, Dropout
from depthscale.run.block_spans import BlockSpan, spans_of
from depthscale.run.block_table import BlockRow, Blocks, root_of
from depthscale.run.reading import Reading
from depthscale.run.records import log2_total
from depthscale.run.run import Run


def measured_blocks(
    run: Run, theory: Run | None = None, findings: Mapping[int, Sequence[str]] | None = None
) -> Blocks:
    """The table of a run. / findings: rules by the operation that they name."""
    rows: list[BlockRow] = []
    for span in spans_of(run):
        rows.append(_row(run, span, rows[-1].out if rows else None, theory, findings or {}))
    return Blocks(tuple(rows))


def _row(
    run: Run,
    span: BlockSpan,
    before: int | None,
    theory: Run | None,
    findings: Mapping[int, Sequence[str]],
) -> BlockRow:
    out, source = _out(run, span), _source(run, span, before)
    inside = range(span.ops[0].id, span.ops[-1].id + 1)
    ends = (out, source)
    known = theory is not None and all(theory.ops[op].from_theory for op in inside)
    return BlockRow(
        span.name,
        span.part,
        span.kind,
        span.ops[0].id,
        span.ops[-1].id,
        out.id,
        None if source is None else source.id,
        out.shape,
        out.log2_activation_ms,
        out.log2_gradient_ms,
        *_gains(*ends),
        tuple(_branches(run, span, source)),
        _parameters(run, span),
        *(_gains(*(op and theory.ops[op.id] for op in ends)) if theory else (nan, nan)),
        known,
        tuple(dict.fromkeys(rule for op in inside for rule in findings.get(op, ()))),
    )


def _gains(out: Reading | None, source: Reading | None) -> tuple[float, float]:
    """log2 of the mean square's factor forward, and backward."""
    if out is None or source is None:
        return nan, nan
    return (
        out.log2_activation_ms - source.log2_activation_ms,
        source.log2_gradient_ms - out.log2_gradient_ms,
    )


def _out(run: Run, span: BlockSpan) -> Reading:
    """The last operation that all paths cross, or the last one that is read outside or is an end;
    the last one where nothing is."""
    last = span.ops[-1].id
    ends = {op for op, _ in run.sinks}
    read = [op for op in span.ops if op.id in ends or any(i > last for i in run.readers[op.id])]
    read = [op for op in read if not isnan(op.log2_gradient_ms)] or read
    crossed = set(run.graph.dominators)
    on = [op for op in read if op.id in crossed]
    return (on or read or span.ops)[-1]


def _source(run: Run, span: BlockSpan, before: int | None) -> Reading | None:
    """What the row before gives, where it is read; else the latest of the largest outputs that
    are."""
    first = span.ops[0].id
    read = {i for op in span.ops for i in op.reads if i < first}
    if before in read:
        return run.ops[before]
    found = [run.ops[i] for i in sorted(read) if not isnan(run.ops[i].log2_gradient_ms)]
    return max(found, key=lambda op: (op.size, op.id), default=None)


def _branches(run: Run, span: BlockSpan, source: Reading | None) -> Iterator[float]:
    """At each sum of a branch and the trunk, which is what came in, and what norms and earlier sums
    made of it."""
    trunk = set() if source is None else {source.id}
    for op in span.ops:
        on, beside = ([i for i in op.reads if (i in trunk) is known] for known in (True, False))
        if op.joins and len(on) == len(beside) == 1:
            below, branch = run.ops[on[0]], run.ops[beside[0]]
            yield root_of(branch.log2_activation_ms - below.log2_activation_ms)
            trunk.add(op.id)
        elif on and not beside and _keeps_the_trunk(op):
            trunk.add(op.id)


def _keeps_the_trunk(op: Reading) -> bool:
    return op.norm is not None or all(isinstance(w, Dropout | Affine) for w in op.meaning.what)


def _parameters(run: Run, span: BlockSpan) -> float:
    """log2 of the mean square over all entries of the gradients of parameters used here."""
    names = {name for op in span.ops for name, _, _ in op.weights}
    sketches = [p.gradient for p in run.params if p.name in names and p.gradient is not None]
    count = sum(sketch.count for sketch in sketches)
    squares = [
        sketch.log2_mean_square() + log2(sketch.count) for sketch in sketches if sketch.count
    ]
    return log2_total(squares) - log2(count) if count else nan
