"""A trace's figures: depth, and the ledger as a waterfall by block and by kind of operation."""

import json
from collections.abc import Sequence
from math import log, log2, sqrt

import altair as alt
import numpy as np

from depthscale._diagnose import Diagnosis
from depthscale._report.chart.along_depth import Series, along_depth, with_selection
from depthscale._report.chart.folds import Fold
from depthscale._report.chart.theme import AXIS, INK, NETWORK_COLOURS, Chart, chart_of
from depthscale._report.short_names import cut_middle, named_with_kind
from depthscale.measure import Ledger
from depthscale.run import Array, Quantity, Reading, Run, log2_total, mean_over_repeats

PLACES = "operation, in order of running"
_ROW = 17  # pixels
_MOST_KINDS = 12
_MOST_MARKS = 4


def depth_chart(trace: Run, diagnosis: Diagnosis, theory: Run | None = None) -> Chart:
    """Gradient and activation RMS of every operation, the guilty ones marked, theory as a line
    through those that every path crosses (or, where there is none, what was measured there)."""
    measured = {
        "gradient": np.array([op.log2_gradient_ms for op in trace.ops]),
        "activation": np.array([op.log2_activation_ms for op in trace.ops]),
    }
    drawn = measured if theory is None else predicted(trace, theory)
    errors = {"gradient": over_repeats(trace), "activation": np.full(len(trace.ops), np.nan)}
    crossed = np.zeros(len(trace.ops), bool)
    crossed[list(trace.graph.dominators)] = True
    beside = ~crossed if crossed.any() else None
    series = [
        Series(
            name,
            Quantity(each, errors[name]),
            Quantity(np.where(crossed, drawn[name], np.nan), np.zeros(len(each))),
            beside,
        )
        for name, each in measured.items()
    ]
    names = [f"{op.name} ({op.op})" for op in trace.ops]
    line = "theory" if theory is not None else "along every path"
    return along_depth(
        series, "RMS", places=PLACES, marks=guilty(trace, diagnosis), line=line, names=names
    )


def predicted(trace: Run, theory: Run) -> dict[str, Array]:
    """log2 of the predicted mean squares by operation, the gradient's in the units of the cotangent
    that was put in."""
    given = [(mean_over_repeats(norm2), trace.ops[op].size) for op, norm2 in trace.sinks]
    unit = log2_total([norm2 for norm2, _ in given]) - log2(sum(size for _, size in given) or 1)
    return {
        "gradient": theory.readings.gradient.log2_mean_square + unit,
        "activation": theory.readings.activation.log2_mean_square,
    }


def guilty(trace: Run, diagnosis: Diagnosis) -> list[tuple[int, str]]:
    """Where findings worse than a remark lie: operation and name."""
    ids = {op.name: op.id for op in trace.ops}
    found = dict.fromkeys(
        ids[f.where] for f in diagnosis.findings if f.severity != "info" and f.where in ids
    )
    return [(at, _pointed_out(trace.ops[at])) for at in found][:_MOST_MARKS]


def _pointed_out(op: Reading) -> str:
    """Its name; of one that is a number, as in a Sequential, with its kind."""
    return cut_middle(named_with_kind(op.name, op.op))


def over_repeats(trace: Run) -> Array:
    """Relative standard error of the gradient's mean square over repeats; nan for one."""
    if trace.passes < 2:
        return np.full(len(trace.ops), np.nan)
    return np.array([_spread(op.log2_gradient_norm2) for op in trace.ops])


def _spread(log2_norm2: tuple[float, ...]) -> float:
    if len(log2_norm2) < 2:
        return float("nan")
    return float(np.std(np.array(log2_norm2) * log(2), ddof=1) / sqrt(len(log2_norm2)))


def waterfall(parts: Sequence[Fold], total: float) -> Chart:
    """From the output down to the input: each block's factor of the squared gradient, one after the
    other, and their sum."""
    rows, level = [], 0.0
    for part in reversed(parts):
        rows.append(
            _bar(part.label, level, level + part.log2_gain) | {"at": part.first, "last": part.last}
        )
        level += part.log2_gain
    if abs(total - level) > 0.01:
        rows.append(_bar("(paths meeting)", level, total))
    rows.append(_bar("in all", 0.0, total) | {"kind": "total"})
    return with_selection(_bars(rows, "log2 of the squared gradient", selectable=True))


def by_kind(account: Ledger) -> Chart:
    """What each kind of operation contributes in all."""
    rows = [_bar(kind, 0.0, value) for kind, value in account.by_kind if abs(value) > 0.005][
        :_MOST_KINDS
    ]
    return _bars(rows or [_bar("nothing", 0.0, 0.0)], "log2 of the squared gradient")


def _bar(name: str, start: float, end: float) -> dict:
    return {
        "name": name,
        "start": start,
        "end": end,
        "gain": end - start,
        "kind": "grows" if end > start else "shrinks",
    }


def _bars(rows: list[dict], title: str, *, selectable: bool = False) -> Chart:
    """selectable: whether rows have operations, and the one that holds the selected operation is
    shaded."""
    rows = [row | {"row": i} for i, row in enumerate(rows)]  # names need not differ
    labels = f"{json.dumps([row['name'] for row in rows])}[datum.value]"
    axis = alt.Axis(labelExpr=labels, labelLimit=170, labelPadding=6, ticks=False, domain=False)
    y = alt.Y("row:O", title=None, scale=alt.Scale(domain=list(range(len(rows)))), axis=axis)
    x = alt.X(
        "start:Q",
        title=title,
        axis=alt.Axis(grid=True, gridOpacity=0.5, tickCount=6, labelOverlap=True),
    )
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(
            domain=["grows", "shrinks", "total"],
            range=[NETWORK_COLOURS[1], NETWORK_COLOURS[0], AXIS],
        ),
    )
    told = [
        alt.Tooltip("name:N", title="of"),
        alt.Tooltip("gain:Q", format="+.3f", title="log2 gain"),
    ]
    base = chart_of(rows).encode(y=y)
    chosen = base.transform_filter("datum.at <= selected && selected <= datum.last").mark_bar(
        color=INK, opacity=0.15, height=_ROW
    )
    bars = base.mark_bar(height=_ROW - 5).encode(x=x, x2="end:Q", color=colour, tooltip=told)
    zero = chart_of([{"x": 0.0}]).mark_rule(color=INK, strokeWidth=1).encode(x="x:Q")
    layers = [chosen, bars, zero] if selectable else [bars, zero]
    return alt.layer(*layers).properties(height=max(3, len(rows)) * _ROW)
