"""What single neurons' activations receive, a panel a layer."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from depthscale._report.chart.neuron_areas import neuron_areas, over_zero
from depthscale._report.chart.theme import (
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
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    x = alt.X("x:Q", title=None, scale=scale, axis=alt.Axis(grid=False, tickCount=5))
    edges = np.linspace(-reach, reach, _NEURON_BINS)
    return over_zero(neuron_areas(values, edges, x)).properties(height=90)
