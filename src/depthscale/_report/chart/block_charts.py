"""A run's blocks as charts: how large signal and gradient are there, and what each block makes of
them."""

from collections.abc import Callable

import numpy as np

from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.theme import Chart
from depthscale._report.chart.trace_charts import predicted
from depthscale._report.short_names import axis_labels
from depthscale.run import Array, BlockRow, Blocks, Quantity, Run

AXIS = "block, from the input to the output"
_MOST_MARKS = 4


def levels_chart(blocks: Blocks, trace: Run | None = None, theory: Run | None = None) -> Chart:
    """RMS of the gradient and of the activation where each block ends, theory as lines; without it
    lines join what was measured."""
    at = [row.out for row in blocks]
    known = predicted(trace, theory) if trace is not None and theory is not None else {}
    series = []
    for name in ("gradient", "activation"):
        measured = _column(blocks, lambda row, name=name: getattr(row, f"log2_{name}_ms"))
        line = known[name][at] if name in known else measured
        series.append(Series(name, _known(measured), _known(line)))
    return _along(blocks, series, "RMS", "theory" if known else "")


def gains_chart(blocks: Blocks) -> Chart:
    """What each block multiplies the signal by on the way up, and the gradient on the way down;
    theory as lines."""
    series = []
    for name in ("backward", "forward"):
        line = _column(blocks, lambda row, name=name: getattr(row, f"log2_theory_{name}"))
        measured = _column(blocks, lambda row, name=name: getattr(row, f"log2_{name}"))
        has_theory = bool(np.isfinite(line).any())
        series.append(Series(name, _known(measured), _known(line) if has_theory else None))
    return _along(blocks, series, "gain in RMS", "theory")


def guilty_blocks(blocks: Blocks) -> list[tuple[int, str]]:
    """Blocks that findings worse than a remark name."""
    found = [(i, row.findings[0]) for i, row in enumerate(blocks) if row.findings]
    return found[:_MOST_MARKS]


def _along(blocks: Blocks, series: list[Series], title: str, line: str) -> Chart:
    return along_depth(
        series,
        title,
        places=AXIS,
        names=axis_labels([row.name for row in blocks], [r.name for r in blocks if r.kind]),
        marks=guilty_blocks(blocks),
        line=line,
        spans=[(row.first, row.last) for row in blocks],
    )


def _column(blocks: Blocks, of: Callable[[BlockRow], float]) -> Array:
    return np.array([of(row) for row in blocks])


def _known(log2: Array) -> Quantity:
    return Quantity(log2, np.full(len(log2), np.nan))
