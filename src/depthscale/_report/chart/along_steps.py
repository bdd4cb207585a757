"""Several traces on the same axes, by step of depth."""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np

from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.theme import Chart
from depthscale._report.chart.trace_charts import over_repeats
from depthscale.measure import Analysis
from depthscale.run import Quantity, Run

QUANTITIES = {"gradient": "RMS of dE/dx", "activation": "RMS of x"}


def places(traces: Sequence[Run]) -> tuple[str, list[list[int]]]:
    """What is counted along depth, and each trace's operations there: where its steps of depth
    begin and end.

    Where one of them repeats nothing, the operations that every gradient path crosses.
    """
    found = [Analysis.of(trace).depth for trace in traces]
    ids = [sorted({op for pair in each.pairs for op in pair}) for each in found if each is not None]
    if len(ids) < len(found):
        return "operation that every path crosses, from the input", [
            sorted(trace.graph.dominators) or list(range(len(trace.ops))) for trace in traces
        ]
    words = {each.word for each in found if each is not None}
    return f"{words.pop() if len(words) == 1 else 'step of depth'}, counted from the input", ids


def along_steps(
    traces: Mapping[str, Run], along: tuple[str, list[list[int]]], quantity: str = "gradient"
) -> Chart:
    """One quantity of all traces by step of depth, a line through each one's points."""
    title, ids = along
    series = [
        Series(name, each, Quantity(each.log2_mean_square, np.zeros(len(each))))
        for (name, trace), at in zip(traces.items(), ids, strict=True)
        if len(each := levels(trace, at, quantity))
    ]
    return along_depth(series, QUANTITIES[quantity], places=title, line="")


def levels(trace: Run, at: list[int], quantity: str) -> Quantity:
    """Mean squares at these operations, the gradient's with its error over repeats."""
    levels = np.array([getattr(trace.ops[i], f"log2_{quantity}_ms") for i in at])
    return Quantity(
        levels, over_repeats(trace)[at] if quantity == "gradient" else np.full(len(at), nan)
    )
