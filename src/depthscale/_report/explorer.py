"""Controls that move a predicted curve: every number in it is one of `predict`'s, put into the
page.

Between layers l and l - 1 the gradient's mean square changes by a factor that depends on l alone,
whatever the depth, but for the layer under the loss, which has one of its own. So a page that holds
these factors draws the curve of any depth by adding logarithms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import altair as alt
import numpy as np

from depthscale._report.html import Html, tag
from depthscale._report.sheet import Part, asset, figure
from depthscale._report.theme import NETWORK_COLOURS, Chart
from depthscale.network import SPEC_NORMS, NetSpec
from depthscale.run import Profile
from depthscale.theory import predict

ACTIVATIONS = ("relu", "leaky_relu(0.2)", "gelu", "silu", "tanh", "erf", "sin", "linear")
NORMALIZERS = {
    f"{SPEC_NORMS[settings['norm']].name}{beside}": settings
    for settings, beside in (
        ({"norm": "none"}, ""),
        ({"norm": "batch"}, ""),
        ({"norm": "batch", "statistics": "frozen"}, ", frozen statistics"),
        ({"norm": "layer"}, ""),
        ({"norm": "rms"}, ""),
        ({"norm": "layer", "position": "after"}, " after the activation"),
    )
}
BATCHES = (4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, inf)
DEEPEST = 60
_SHALLOW = 7
_SETTLED = 1e-12  # change of a step's log2 below which the rest are taken as equal


@dataclass(frozen=True)
class Curve:
    """steps: log2 of the factor from layer k to k - 1, k = 1, 2, ...; the last stands for all
    further ones.

    top: that of the layer under the loss, where it has one of its own (-inf: the gradient below is
    exactly 0); else None.
    """

    steps: tuple[float, ...]
    top: float | None

    @classmethod
    def of(cls, spec: NetSpec, loss: str) -> "Curve":
        """spec: its depth is set here, a small one if its steps are all alike from some layer
        on."""
        shallow = cls._over(spec, loss, _SHALLOW)
        return shallow if len(shallow.steps) < _SHALLOW - 2 else cls._over(spec, loss, DEEPEST + 1)

    @classmethod
    def _over(cls, spec: NetSpec, loss: str, depth: int) -> "Curve":
        log2 = predict(replace(spec, depth=depth), loss=loss).gradient.log2_mean_square
        top = float(log2[-2] - log2[-1])
        if np.isneginf(top):
            return cls((0.0,), top)
        steps = log2[:-1] - log2[1:]
        return cls(_trimmed(steps[:-1].tolist()), None if spec.norm == "none" else top)

    def levels(self, depth: int) -> list[float]:
        """log2 of the gradient's mean square at layers 0..depth, 0 at the last: what the page's
        script does with these numbers."""
        levels = [0.0]
        for k in range(depth, 0, -1):
            step = self.steps[min(k, len(self.steps)) - 1]
            levels.insert(
                0, levels[0] + (self.top if k == depth and self.top is not None else step)
            )
        return levels

    def record(self) -> dict[str, Any]:
        return {"steps": list(self.steps), "top": "zero" if self.top == -inf else self.top}


def curves(spec: NetSpec, loss: str) -> Iterator[tuple[str, Curve]]:
    """Every setting of the controls: "activation|normalizer|batch" -> its curve. / spec: the fields
    that have no control."""
    for activation in ACTIVATIONS:
        for name, fields in NORMALIZERS.items():
            for batch in batches(spec) if name.startswith("Batch") else (inf,):
                setting = replace(
                    spec,
                    activation=activation,
                    batch=batch,
                    **{"norm": "none", "position": "before"} | fields,
                )
                yield key(activation, name, batch), Curve.of(setting, loss)


def batches(spec: NetSpec) -> list[float]:
    """Those of the slider, and the network's own."""
    return sorted({*BATCHES, spec.batch})


def key(activation: str, normalizer: str, batch: float) -> str:
    return (
        f"{activation}|{normalizer}|{batch:g}"
        if normalizer.startswith("Batch")
        else f"{activation}|{normalizer}|inf"
    )


def explorer(spec: NetSpec, loss: str, measured: Mapping[str, Profile]) -> Part:
    """Controls and the curve they move. / measured: this run's networks by setting, drawn where the
    setting is theirs."""
    grid = {name: curve.record() for name, curve in curves(replace(spec, sigma_w2=2.0), loss)}
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


def _points(profile: Profile) -> dict[str, Any]:
    """This run's curve, over its last layer's."""
    log2 = profile.gradient.log2_mean_square
    return {"depth": profile.depth, "rms": [float(v) for v in 2.0 ** ((log2 - log2[-1]) / 2)]}


def _trimmed(steps: Sequence[float]) -> tuple[float, ...]:
    """Without the end that repeats."""
    known = list(steps)
    while len(known) > 1 and abs(known[-1] - known[-2]) < _SETTLED:
        known.pop()
    return tuple(known)


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
