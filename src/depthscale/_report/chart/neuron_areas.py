"""What single neurons receive over the batch, as areas of one colour a neuron."""

import altair as alt
import numpy as np

from depthscale._report.chart.theme import INK, NEURON_COLOURS, Chart, chart_of
from depthscale.run import Array

COLOUR = alt.Color("neuron:N", scale=alt.Scale(range=NEURON_COLOURS), legend=None)


def neuron_areas(
    values: Array, edges: Array, x: alt.X, title: str = "samples", ticks: int = 3
) -> alt.Chart:
    """Histograms of values [batch, neurons]."""
    rows = [
        {"x": float(x), "samples": int(n), "neuron": f"neuron {i + 1}"}
        for i, each in enumerate(values.T)
        for x, n in zip(edges, [*np.histogram(each, edges)[0], 0], strict=True)
    ]
    y = alt.Y("samples:Q", stack=None, title=title, axis=alt.Axis(grid=False, tickCount=ticks))
    areas = chart_of(rows).mark_area(opacity=0.4, interpolate="step-after", line={"strokeWidth": 1})
    return areas.encode(x=x, y=y, color=COLOUR)


def over_zero(areas: alt.Chart) -> Chart:
    """With a dashed line at 0, where ReLU bends."""
    kink = chart_of([{"x": 0.0}]).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="x:Q")
    return alt.layer(areas, kink)
