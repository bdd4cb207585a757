"""What single neurons' activations receive, a panel a layer."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from depthscale._report.chart.theme import (
    INK,
    NEURON_COLOURS,
    Chart,
)
from depthscale._report.page import Part, figure, gathered, tag
from depthscale.run import Array

_NEURON_BINS = 33


def neurons(received: Mapping[tuple[str, int], Array], shown: Sequence[int]) -> Part:
    """What three neurons' activations receive over the batch, in a few layers of one network or
    two.

    received: (network, layer) -> [batch, 3].
    """
    reach = max(float(np.quantile(np.abs(each), 0.99)) for each in received.values()) or 1.0
    networks = list(dict.fromkeys(name for name, _ in received))[:2]
    panels = [
        figure(
            f"neurons-{i}-{layer}",
            _neurons(received[name, layer], reach),
            f"{name.capitalize()}, layer {layer}",
            "",
        )
        for layer in shown
        for i, name in enumerate(networks)
    ]
    caption = (
        "What three neurons' activations receive over the batch, in the first network, a "
        "colour a neuron; dashed: 0."
    )
    return gathered(gathered(*panels, class_="pair"), tag("p", caption, class_="note"))


def _neurons(values: Array, reach: float) -> Chart:
    edges = np.linspace(-reach, reach, _NEURON_BINS)
    rows = [
        {"x": float(x), "samples": int(n), "neuron": f"neuron {i + 1}"}
        for i, each in enumerate(values.T)
        for x, n in zip(edges, [*np.histogram(each, edges)[0], 0], strict=True)
    ]
    x = alt.X(
        "x:Q",
        title=None,
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(grid=False, tickCount=5),
    )
    colour = alt.Color("neuron:N", scale=alt.Scale(range=NEURON_COLOURS), legend=None)
    bars = alt.Chart(alt.Data(values=rows)).mark_area(
        opacity=0.4, interpolate="step-after", line={"strokeWidth": 1}
    )
    drawn = bars.encode(
        x=x,
        y=alt.Y("samples:Q", stack=None, title="samples", axis=alt.Axis(grid=False, tickCount=3)),
        color=colour,
    )
    kink = (
        alt.Chart(alt.Data(values=[{"x": 0.0}]))
        .mark_rule(color=INK, strokeDash=[3, 3])
        .encode(x="x:Q")
    )
    return alt.layer(drawn, kink).properties(height=90)
