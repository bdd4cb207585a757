"""The growth argument's pictures."""

import altair as alt
import numpy as np

from depthscale._explain import Argument
from depthscale._report.chart.founding_charts import neuron_histograms
from depthscale._report.chart.neuron_areas import COLOUR, neuron_areas
from depthscale._report.chart.pictures import pictures
from depthscale._report.chart.theme import NETWORK_COLOURS, Chart, chart_of, themed
from depthscale.run import Array


def argument_figures(argument: Argument) -> dict[str, bytes | str]:
    """PNG and SVG by file name: single neurons, what activations receive by depth, and the variance
    over the batch."""
    networks = list(dict.fromkeys(name for name, _ in argument.preactivations))
    return {
        **pictures(neuron_spread(argument), "neurons"),
        **pictures(
            neuron_histograms(argument.preactivations, networks, argument.shown), "preactivations"
        ),
        **pictures(batch_variance(argument), "batch_variance"),
    }


def neuron_spread(argument: Argument) -> Chart:
    """y of three neurons over the batch, and y less its mean: means differ, spreads hardly."""
    y, layer = argument.neurons, argument.shown[len(argument.shown) // 2]
    shown = (("y", y), ("y less its mean over the batch", y - y.mean(0)))
    reach = 1.02 * max(float(np.abs(values).max()) for _, values in shown)
    panels = [_densities(values, title, reach) for title, values in shown]
    spreads = ", ".join(f"{std:.2f}" for std in y.std(0))
    caption = f"one colour a neuron; standard deviations {spreads}"
    return themed(
        alt.hconcat(*panels, spacing=28), f"Three neurons of layer {layer} over the batch", caption
    )


def batch_variance(argument: Argument) -> Chart:
    """Variance of y over the batch by layer: without a norm it falls as samples grow alike, with
    Batch Norm it stays."""
    found = {"vanilla": argument.of("vanilla_variance")}
    if argument.spec.norm == "batch" and argument.spec.statistics != "running":
        found["batch norm"] = argument.of("sigma2")
    rows = [
        {
            "network": name,
            "layer": row.layer,
            "measured": row.measured,
            "theory": row.predicted,
            "low": row.measured - 2 * row.stderr,
            "high": row.measured + 2 * row.stderr,
        }
        for name, layers in found.items()
        for row in layers
    ]
    colour = alt.Color(
        "network:N",
        scale=alt.Scale(domain=list(found), range=NETWORK_COLOURS[: len(found)]),
        legend=alt.Legend(title=None, orient="top"),
    )
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, grid=False))
    base = chart_of(rows).encode(x=x, color=colour)
    y = alt.Y(
        "measured:Q",
        title="variance of y over the batch",
        scale=alt.Scale(domainMin=0),
        axis=alt.Axis(gridOpacity=0.5),
    )
    points = base.mark_point(filled=True, size=45, opacity=1).encode(y=y)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    line = base.mark_line(strokeWidth=1.5, opacity=0.75).encode(y="theory:Q")
    caption = (
        "points: measured ± 2 standard errors; lines: theory, vanilla sigma_w² E x² (1 - "
        "c), c between two samples"
    )
    return themed(
        alt.layer(line, bars, points).properties(width=520, height=260),
        "Variance of y over the batch",
        caption,
    )


def _densities(values: Array, title: str, reach: float) -> Chart:
    means = [
        {"x": float(mean), "neuron": f"neuron {i + 1}"} for i, mean in enumerate(values.mean(0))
    ]
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    x = alt.X("x:Q", scale=scale, title="value", axis=alt.Axis(grid=False))
    areas = neuron_areas(values, np.linspace(-reach, reach, 31), x, ticks=4)
    marks = chart_of(means).mark_rule(strokeDash=[4, 3], strokeWidth=1.5)
    return alt.layer(areas, marks.encode(x="x:Q", color=COLOUR)).properties(
        width=320, height=180, title=title
    )
