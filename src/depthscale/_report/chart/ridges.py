"""Ridgelines: the distribution of the gradient at every layer, one ridge above the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from depthscale._report.chart.theme import INK, NETWORK_COLOURS, Chart, chart_of, themed
from depthscale.run import Array, Run
from depthscale.sketch import Sketch

_ROW_HEIGHT = 26  # pixels from one ridge to the next
_RIDGE = 1.7  # height of a ridge, in rows
_MOST = 25  # ridges; of a deeper network, layers at even distances, and layer 1
# ratio of the largest rms to the smallest past which a linear axis shows only spikes
_LINEAR_UP_TO = 30.0


@dataclass(frozen=True)
class _Axis:
    """The values along x. / edges: [bins + 1], of dE/dx or of log10 |dE/dx|."""

    edges: Array
    title: str
    logarithmic: bool

    def counts(self, sketch: Sketch) -> Array:
        return (
            sketch.magnitude_histogram(10.0**self.edges)
            if self.logarithmic
            else sketch.histogram(self.edges)
        )


def gradient_ridgelines(measured: dict[str, Run], shown: Sequence[str]) -> Chart:
    """Histograms of the gradient's entries, a ridge a layer, each as high as any other, on one
    scale for all.

    The scale is linear, or that of magnitudes where the layers differ by more than a linear one can
    show.
    """
    axis = _axis(np.concatenate([_rms(measured[name]) for name in shown]))
    panels = [
        _panel(measured[name], name, axis, colour)
        for name, colour in zip(shown, NETWORK_COLOURS, strict=False)
    ]
    depth = max(measured[name].depth for name in shown)
    which = "at every layer" if depth < _MOST else f"at some of {depth + 1} layers"
    says = (
        "its place is the size of the gradient" if axis.logarithmic else "its width is the spread"
    )
    caption = (
        f"each ridge is scaled to the same height, so {says}; layer on the left, RMS on the right"
    )
    return themed(
        alt.hconcat(*panels, spacing=36), f"Distribution of the gradient {which}", caption
    )


def _rms(profile: Run) -> Array:
    return np.sqrt(profile.gradient.mean_square)


def _axis(rms: Array) -> _Axis:
    known = rms[np.isfinite(rms) & (rms > 0)]
    largest, smallest = (float(known.max()), float(known.min())) if len(known) else (1.0, 1.0)
    if largest <= _LINEAR_UP_TO * smallest:
        return _Axis(np.linspace(-3.2 * largest, 3.2 * largest, 121), "dE/dx", logarithmic=False)
    low, high = max(np.log10(smallest) - 2, -300.0), min(np.log10(largest) + 1, 300.0)
    return _Axis(np.linspace(low, high, 121), "log10 |dE/dx|", logarithmic=True)


def _panel(profile: Run, name: str, axis: _Axis, colour: str) -> Chart:
    layers = _shown(profile)
    ridges, labels = [], []
    for row, layer in enumerate(layers):
        sketch = profile.gradient_sketches[layer]
        counts = axis.counts(sketch)
        heights = counts / max(counts.max(), 1)
        ridges += [
            {"layer": layer, "x": float(x), "base": float(row), "top": row - _RIDGE * float(h)}
            for x, h in zip((axis.edges[:-1] + axis.edges[1:]) / 2, heights, strict=True)
        ]
        labels.append(
            {
                "base": float(row),
                "left": axis.edges[0],
                "right": axis.edges[-1],
                "layer": layer,
                "rms": sketch.rms(),
            }
        )
    scale = alt.Scale(
        domain=[-_RIDGE - 0.1, len(layers) - 0.7], reverse=True, nice=False, zero=False
    )
    return alt.layer(_areas(ridges, axis, scale, colour), *_texts(labels, scale)).properties(
        width=330, height=_ROW_HEIGHT * (len(layers) + 1), title=name
    )


def _shown(profile: Run) -> list[int]:
    """Layers that have a ridge: those whose rms float64 holds."""
    even = {
        1,
        *(round(layer) for layer in np.linspace(0, profile.depth, min(profile.depth + 1, _MOST))),
    }
    return sorted(
        layer for layer in even if layer <= profile.depth and np.isfinite(_rms(profile)[layer])
    )


def _areas(ridges: list[dict], axis: _Axis, scale: alt.Scale, colour: str) -> alt.Chart:
    reach = alt.Scale(domain=[float(axis.edges[0]), float(axis.edges[-1])], nice=False, zero=False)
    x = alt.X("x:Q", title=axis.title, scale=reach, axis=alt.Axis(grid=False, tickCount=7))
    area = chart_of(ridges).mark_area(
        color=colour, opacity=0.55, line={"color": colour, "strokeWidth": 1.2}
    )
    return area.encode(x=x, y=alt.Y("top:Q", scale=scale, axis=None), y2="base:Q", detail="layer:O")


def _texts(labels: list[dict], scale: alt.Scale) -> list[alt.Chart]:
    """The layer left of each ridge, and its rms on the right."""
    y = alt.Y("base:Q", scale=scale, axis=None)
    base = chart_of(labels)
    left = base.mark_text(align="right", baseline="bottom", dx=-5, dy=1, fontSize=10, color=INK)
    right = base.mark_text(align="left", baseline="bottom", dx=5, dy=1, fontSize=10, color=INK)
    return [
        left.encode(x="left:Q", y=y, text="layer:Q"),
        right.encode(x="right:Q", y=y, text=alt.Text("rms:Q", format=".3~g")),
    ]
