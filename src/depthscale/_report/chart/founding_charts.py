"""Charts of profiles, as altair charts; each is one question."""

from collections.abc import Sequence
from math import isfinite

import altair as alt
import numpy as np

from depthscale._report.chart.neuron_areas import neuron_areas, over_zero
from depthscale._report.chart.theme import (
    NETWORK_COLOURS,
    Chart,
    chart_of,
    themed,
)
from depthscale.run import Array, Run


def gradient_by_layer(measured: dict[str, Run], predicted: dict[str, Run]) -> Chart:
    """RMS gradient against layer, log scale: points with 2 standard errors each way, theory as
    lines."""
    colour = alt.Color(
        "network:N",
        scale=alt.Scale(domain=list(measured), range=NETWORK_COLOURS[: len(measured)]),
        legend=alt.Legend(title=None, orient="top"),
    )
    rows, lines = _rms_rows(measured), _rms_rows(predicted)
    depth = max(profile.depth for profile in measured.values())
    values = [float(row["rms"]) for row in rows + lines] or [1.0]
    labels = alt.Axis(
        format="~g" if max(values) < 1e4 and min(values) > 1e-3 else ".0e",
        tickCount=6,
        gridOpacity=0.5,
    )
    x_scale = alt.Scale(domain=[-0.02 * depth, 1.02 * depth], nice=False)
    x = alt.X(
        "layer:Q",
        title="layer (0 is the input)",
        scale=x_scale,
        axis=alt.Axis(tickMinStep=1, grid=False),
    )
    y_scale = alt.Scale(type="log", domain=[min(values) / 1.2, max(values) * 1.2], nice=False)
    y = alt.Y("rms:Q", title="RMS of dE/dx", scale=y_scale, axis=labels)
    base = chart_of(rows).encode(x=x, color=colour)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(y=y)
    bars = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q")
    layers: list[alt.Chart] = [bars, points]
    if lines:
        theory = chart_of(lines).mark_line(strokeWidth=1.5, opacity=0.75)
        layers.insert(0, theory.encode(x=x, y=y, color=colour))
    caption = "points: measured ± 2 standard errors" + (
        "; lines: theory, nothing fitted" if lines else ""
    )
    chart = alt.layer(*layers).properties(width=520, height=320)
    return themed(chart, "Gradients along depth", caption)


def neuron_histograms(
    neurons: dict[tuple[str, int], np.ndarray], networks: Sequence[str], layers: Sequence[int]
) -> Chart:
    """Preactivations of single neurons over the batch: a row a layer, a column a network."""
    rows = []
    reach = max(float(np.quantile(np.abs(each), 0.99)) for each in neurons.values()) or 1.0
    for layer in layers:
        panels = [
            _neurons(
                neurons[name, layer], name, layer, reach, layer == layers[0], layer == layers[-1]
            )
            for name in networks
        ]
        rows.append(alt.hconcat(*panels, spacing=24))
    return themed(
        alt.vconcat(*rows, spacing=14),
        "What three neurons' activations receive, over the batch",
        "one colour a neuron, of the first seed; dashed: 0, where ReLU bends. A centred neuron "
        "uses both of its sides",
    )


def _neurons(
    values: np.ndarray, name: str, layer: int, reach: float, top: bool, bottom: bool
) -> Chart:
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(grid=False, labels=bottom, title="value" if bottom else None),
    )
    areas = neuron_areas(values, np.linspace(-reach, reach, 33), x, f"layer {layer}: samples")
    named = {"title": name} if top else {}
    return over_zero(areas).properties(width=300, height=90, **named)


def _rms(profile: Run) -> Array:
    return np.sqrt(profile.gradient.mean_square)


def _rms_rows(profiles: dict[str, Run]) -> list[dict[str, float | str]]:
    """Points that a logarithmic axis can show, with 2 standard errors of the rms each way."""
    rows = []
    for name, profile in profiles.items():
        for layer, (rms, relative) in enumerate(
            zip(_rms(profile), profile.gradient.relative_stderr, strict=True)
        ):
            if isfinite(rms) and rms > 0:
                reach = float(rms * relative) if isfinite(relative) else 0.0
                rows.append(
                    {
                        "network": name,
                        "layer": layer,
                        "rms": float(rms),
                        "low": float(max(rms - reach, rms / 10)),
                        "high": float(rms + reach),
                    }
                )
    return rows
