"""Quantities along depth on one pair of axes: points with their error as measured, lines as predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from depthscale.profile import Array, Quantity
from depthscale.report.theme import GUILTY, INK, SERIES_COLOURS, Chart

_MOST_POINTS = 150  # of a series, past which points hide each other; layers at even distances stand for all
_MOST_ON_A_LINE = 400
_HELD = 300.0  # |log10| up to which the axis shows the value, and beyond which it shows its exponent
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_DASHES = [[1, 0], [6, 4], [2, 2], [8, 3, 2, 3], [4, 2]]
_HEIGHT = 320
LAYERS = "layer (0 is the input)"
_ROWS_PER_LEGEND = 3


@dataclass(frozen=True)
class Series:
    """One colour of a chart. / either of the two quantities may be missing."""

    name: str
    measured: Quantity | None = None
    predicted: Quantity | None = None

    @property
    def depth(self) -> int:
        return max(len(each) for each in (self.measured, self.predicted) if each is not None) - 1


@dataclass(frozen=True)
class Scale:
    """From log2 of a mean square to what the axis shows. / power: 1/2 for an RMS, 1 for a variance."""

    power: float
    exponents: bool

    def __call__(self, log2_mean_square: Array) -> Array:
        log10 = log2_mean_square * self.power * np.log10(2)
        return log10 if self.exponents else 10.0**log10


def along_depth(
    series: Sequence[Series],
    title: str,
    *,
    power: float = 0.5,
    height: int = _HEIGHT,
    places: str = LAYERS,
    marks: Sequence[tuple[int, str]] = (),
) -> Chart:
    """Each series against the layer, on a logarithmic axis, with a mark at the selected layer.

    title: of the vertical axis; power: 1/2 shows the root of the mean square, 1 the mean square itself.
    places: title of the horizontal axis; marks: places to point out, each with a word.
    Bars reach 2 standard errors each way. What is 0, infinite or unknown has no place on the axis and is left out.
    """
    scale = Scale(power, _beyond(series, power))
    points = [row for each in series if each.measured is not None for row in _points(each.name, each.measured, scale)]
    lines = [row for each in series if each.predicted is not None for row in _line(each.name, each.predicted, scale)]
    values = [row[key] for row in points + lines for key in ("low", "high") if key in row] + [r["y"] for r in lines]
    y = _vertical(values, f"log10 of {title}" if scale.exponents else title, scale.exponents)
    x = layers(max(each.depth for each in series), places)
    names = [each.name for each in series]
    colours = alt.Scale(domain=names, range=SERIES_COLOURS[: len(names)])
    key = alt.Legend(title=None, orient="top", columns=_ROWS_PER_LEGEND if len(names) > 2 else 2, symbolSize=70, labelLimit=220)
    if not points:
        key.symbolType, key.symbolStrokeWidth, key.symbolFillColor = "stroke", 2, "transparent"
    legend = key if len(names) > 1 else None
    colour = alt.Color("series:N", scale=colours, legend=legend)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=_SHAPES[: len(names)]), legend=legend)
    told = [
        alt.Tooltip("series:N", title="of"),
        alt.Tooltip("at:Q", title="layer"),
        alt.Tooltip("y:Q", format=".4~g", title=title),
    ]
    drawn: list[alt.Chart] = [selected(x), *_marks(marks, x)]
    if lines:
        theory = alt.Chart(alt.Data(values=lines)).mark_line(strokeWidth=1.8, opacity=0.8)
        dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=_DASHES[: len(names)]), legend=legend)
        line = theory.encode(x=x, y=y, color=colour, detail="series:N")
        drawn.append(line if points else line.encode(strokeDash=dash))
    if points:
        base = alt.Chart(alt.Data(values=points)).encode(x=x, color=colour)
        drawn.append(base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"))
        drawn.append(base.mark_point(filled=True, size=40, opacity=1).encode(y=y, shape=shape, tooltip=told))
    return with_selection(alt.layer(*drawn).properties(height=height))


def layers(depth: int, title: str = LAYERS) -> alt.X:
    """The horizontal axis that every chart over depth shares."""
    scale = alt.Scale(domain=[-0.02 * depth, 1.02 * depth], nice=False, zero=False)
    return alt.X("at:Q", title=title, scale=scale, axis=alt.Axis(tickMinStep=1, grid=False, format="d", labelOverlap=True))


def _marks(marks: Sequence[tuple[int, str]], x: alt.X) -> list[alt.Chart]:
    """A dashed line at each place, its word upright beside it."""
    if not marks:
        return []
    base = alt.Chart(alt.Data(values=[{"at": at, "text": text} for at, text in marks])).encode(x=x)
    text = base.mark_text(angle=270, align="right", baseline="bottom", dy=-3, fontSize=10, color=GUILTY)
    rule = base.mark_rule(color=GUILTY, strokeDash=[4, 3], strokeWidth=1.5)
    return [rule, text.encode(y=alt.value(4), text="text:N")]


def selected(x: alt.X) -> alt.Chart:
    """A line at the selected place."""
    one = alt.Chart(alt.Data(values=[{"at": 0}])).transform_calculate(at="selected").transform_filter("selected >= 0")
    return one.mark_rule(color=INK, strokeWidth=7, opacity=0.15).encode(x=x)


def with_selection(chart: Chart) -> Chart:
    return chart.add_params(alt.param(name="selected", value=-1))


def thinned(depth: int, most: int) -> list[int]:
    """Layers 0..depth, or that many at even distances with both ends and layer 1."""
    if depth < most:
        return list(range(depth + 1))
    return sorted({1, *(round(layer) for layer in np.linspace(0, depth, most))})


def _beyond(series: Sequence[Series], power: float) -> bool:
    levels = [
        q.log2_mean_square[np.isfinite(q.log2_mean_square)]
        for each in series
        for q in (each.measured, each.predicted)
        if q is not None
    ]
    return bool((np.abs(np.concatenate([*levels, np.zeros(1)])) * power * np.log10(2) > _HELD).any())


def _points(name: str, quantity: Quantity, scale: Scale) -> list[dict]:
    """Two standard errors each way, down to a tenth of the value at most."""
    reach = np.nan_to_num(2 * scale.power * quantity.relative_stderr, nan=0.0, posinf=0.0)
    log2 = quantity.log2_mean_square
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = np.log2(np.maximum(1 - reach, 0.1)) / scale.power, np.log2(1 + reach) / scale.power
        value, low, high = scale(log2), scale(log2 + low), scale(log2 + high)
    return [
        {"series": name, "at": layer, "y": float(value[layer]), "low": float(low[layer]), "high": float(high[layer])}
        for layer in thinned(len(log2) - 1, _MOST_POINTS)
        if np.isfinite(log2[layer])
    ]


def _line(name: str, quantity: Quantity, scale: Scale) -> list[dict]:
    value = scale(np.where(np.isfinite(quantity.log2_mean_square), quantity.log2_mean_square, np.nan))
    return [
        {"series": name, "at": layer, "y": float(value[layer])}
        for layer in thinned(len(value) - 1, _MOST_ON_A_LINE)
        if np.isfinite(value[layer])
    ]


def _vertical(values: list[float], title: str, exponents: bool) -> alt.Y:
    if exponents:
        span = (max(values) - min(values)) or 1.0
        scale = alt.Scale(domain=[min(values) - 0.04 * span, max(values) + 0.04 * span], nice=False, zero=False)
        return alt.Y("y:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6, format="~g"))
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    room = max((high / low) ** 0.05, 1.2)
    scale = alt.Scale(type="log", domain=[low / room, high * room], nice=False)
    plain = high < 1e4 and low > 1e-3
    return alt.Y("y:Q", title=title, scale=scale, axis=alt.Axis(format="~g" if plain else ".0e", tickCount=6))
