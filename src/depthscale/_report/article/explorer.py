"""Controls that move a predicted curve, by adding logarithms of factors that the page holds."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from depthscale._report.chart.theme import NETWORK_COLOURS, Chart
from depthscale._report.page import Html, Part, asset, figure, tag
from depthscale.experiments import ACTIVATIONS, DEEPEST, NORMALIZERS, Curve, batches
from depthscale.network import NetSpec
from depthscale.run import Run


def explorer(spec: NetSpec, curves: Mapping[str, Curve], measured: Mapping[str, Run]) -> Part:
    """Controls and the curve they move. / measured: this run's networks by setting, drawn where the
    setting is theirs."""
    grid = {name: curve.record() for name, curve in curves.items()}
    points = {name: _points(profile) for name, profile in measured.items() if name in grid}
    drawn = figure(
        "explorer",
        _chart(),
        "Predicted gradient along depth",
        "Line: predicted RMS of dE/dx, 1 at the last layer. Points: this run, where the setting "
        "is its own. Weights have variance "
        "2 / fan-in throughout.",
    )
    form = tag(
        "form",
        _choice("activation", ACTIVATIONS, spec.activation),
        _choice("normalizer", tuple(NORMALIZERS), "Batch Norm"),
        _slider(
            "batch",
            "samples in a batch",
            0,
            len(batches(spec)) - 1,
            batches(spec).index(spec.batch),
        ),
        _slider("depth", "layers", 2, DEEPEST, min(max(spec.depth, 2), DEEPEST)),
        class_="controls",
        id="controls",
    )
    said = tag("output", "", id="explored", class_="readout", aria_live="polite")
    data = {"grid": grid, "batches": [f"{each:g}" for each in batches(spec)], "points": points}
    return Part(tag("div", form, said, drawn.body), drawn.charts, data, asset("explorer.js"))


def _points(profile: Run) -> dict[str, Any]:
    """This run's curve, over its last layer's."""
    log2 = profile.gradient.log2_mean_square
    return {"depth": profile.depth, "rms": [float(v) for v in 2.0 ** ((log2 - log2[-1]) / 2)]}


def _chart() -> Chart:
    ends = {
        name: [alt.ExprRef(f"{name}Low"), alt.ExprRef(f"{name}High")] for name in ("x", "y")
    }  # the script sets them
    scale = alt.Scale(domain=ends["x"], nice=False, zero=False)
    x = alt.X(
        "at:Q",
        title="layer (0 is the input)",
        scale=scale,
        axis=alt.Axis(grid=False, tickMinStep=1, format="d", labelOverlap=True),
    )
    y = alt.Y(
        "y:Q",
        title="RMS of dE/dx, last layer = 1",
        scale=alt.Scale(type="log", nice=False, domain=ends["y"]),
        axis=alt.Axis(format="~g", tickCount=6),
    )
    line = (
        alt.Chart(alt.NamedData(name="curve"))
        .mark_line(strokeWidth=2, color=NETWORK_COLOURS[1])
        .encode(x=x, y=y)
    )
    points = alt.Chart(alt.NamedData(name="points")).mark_point(
        filled=True, size=45, opacity=1, color=NETWORK_COLOURS[0]
    )
    chart = alt.layer(line, points.encode(x=x, y=y)).properties(height=280)
    chart.datasets = {"curve": [], "points": []}
    chart = chart.add_params(
        *(
            alt.param(name=f"{axis}{end}", value=value)
            for axis in ends
            for end, value in (("Low", 1), ("High", 2))
        )
    )
    return chart


def _choice(name: str, choices: tuple[str, ...], chosen: str) -> Html:
    options = [tag("option", each, value=each, selected=each == chosen) for each in choices]
    return tag("label", name, tag("select", *options, name=name))


def _slider(name: str, label: str, low: int, high: int, value: int) -> Html:
    said = tag("span", "", id=f"{name}-value")
    slider = tag("input", type="range", name=name, min=low, max=high, step=1, value=value)
    return tag("label", tag("span", f"{label}: ", said), slider)
