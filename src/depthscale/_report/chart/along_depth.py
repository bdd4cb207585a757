"""Quantities along depth on one pair of axes: points with their error as measured, lines as
predicted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
from numpy.typing import NDArray

from depthscale._report.chart.theme import GUILTY, INK, SERIES_COLOURS, Chart, chart_of
from depthscale.run import Array, Quantity

# of a series, past which points hide each other; layers at even distances stand for all
_MOST_POINTS = 150
_MOST_ON_A_LINE = 400
# |log10| up to which the axis shows the value, and beyond which it shows its exponent
_HELD = 300.0
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_DASHES = [[1, 0], [6, 4], [2, 2], [8, 3, 2, 3], [4, 2]]
_HEIGHT = 320
_MOST_NAMES = 24  # at an axis, as many as a phone shows
LAYERS = "layer (0 is the input)"
_ROWS_PER_LEGEND = 3
_MEASURED = "measured"
_SHORT = 16  # letters of a name that leave room beside it
_STROKE = "M-1.2,0L1.2,0M0,-0.5M0,0.5"  # as high as a dot, so that their words stand on one line


@dataclass(frozen=True)
class Series:
    """One colour of a chart. / either of the two quantities may be missing; aside: [places]
    measured ones to be drawn faintly."""

    name: str
    measured: Quantity | None = None
    predicted: Quantity | None = None
    aside: NDArray[np.bool_] | None = None

    @property
    def depth(self) -> int:
        return max(len(each) for each in (self.measured, self.predicted) if each is not None) - 1


@dataclass(frozen=True)
class Scale:
    """From log2 of a mean square to what the axis shows. / power: 1/2 for an RMS, 1 for a
    variance."""

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
    line: str = "theory",
    names: Sequence[str] = (),
    spans: Sequence[tuple[int, int]] = (),
) -> Chart:
    """Each series against the layer, on a logarithmic axis, with a mark at the selected layer.

    title: of the vertical axis; power: 1/2 shows the root of the mean square, 1 the mean square
    itself.
    places: title of the horizontal axis; marks: places to point out, each with a word; names: of
    the places, to be told beside a point; line: what lines are, said in the legend where there are
    points beside them; spans: of each place the first and the last operation, where places are
    blocks, whose names stand at the axis. Bars reach 2 standard errors each way. What is 0,
    infinite or unknown has no place on the axis and is left out.
    """
    scale = Scale(power, _beyond(series, power))
    points = [
        row
        for each in series
        if each.measured is not None
        for row in _points(each, each.measured, scale, names)
    ]
    lines = [
        row
        for each in series
        if each.predicted is not None
        for row in _line(each.name, each.predicted, scale)
    ]
    values = [row[key] for row in points + lines for key in ("low", "high") if key in row] + [
        r["y"] for r in lines
    ]
    x = layers(max(each.depth for each in series), places, names if spans else ())
    y = _vertical(values, f"log10 of {title}" if scale.exponents else title, scale.exponents)
    look = _Look([each.name for each in series], bool(points), line if points and lines else "")
    drawn: list[alt.Chart] = [selected_span(x, spans) if spans else selected(x), *_marks(marks, x)]
    drawn += [_lines(lines, look).encode(x=x, y=y)] if lines else []
    told = [
        alt.Tooltip("series:N", title="of"),
        alt.Tooltip("name:N" if names else "at:Q", title="at" if names else "layer"),
    ]
    told.append(alt.Tooltip("y:Q", format=".4~g", title=title))
    drawn += [each.encode(x=x, tooltip=told) for each in _marked(points, look, y)] if points else []
    return with_selection(alt.layer(*drawn).properties(height=height))


@dataclass(frozen=True)
class _Look:
    """Colours, shapes and legends of the series. / dotted: whether any has points; line: what its
    lines are, to be said, or not."""

    names: list[str]
    dotted: bool
    line: str

    @property
    def colour(self) -> alt.Color:
        return alt.Color("series:N", scale=self._scale(SERIES_COLOURS), legend=self._legend)

    @property
    def shape(self) -> alt.Shape:
        return alt.Shape("series:N", scale=self._scale(_SHAPES), legend=self._legend)

    @property
    def dash(self) -> alt.StrokeDash:
        return alt.StrokeDash("series:N", scale=self._scale(_DASHES), legend=self._legend)

    @property
    def lines_said(self) -> alt.StrokeDash:
        """A stroke in the legend that says what lines are."""
        return alt.StrokeDash(
            "what:N", scale=alt.Scale(domain=[self.line], range=[[1, 0]]), legend=self._key(_STROKE)
        )

    @property
    def points_said(self) -> alt.Opacity:
        """A dot in the legend that says what points are."""
        return alt.Opacity(
            "what:O", scale=alt.Scale(domain=[_MEASURED], range=[1.0]), legend=self._key("circle")
        )

    def _scale(self, choices: Sequence) -> alt.Scale:
        return alt.Scale(domain=self.names, range=choices[: len(self.names)])

    @property
    def _legend(self) -> alt.Legend | None:
        if len(self.names) < 2:
            return None
        columns = 2 if self.line or len(self.names) < 3 else _ROWS_PER_LEGEND
        key = alt.Legend(
            title=None,
            orient="top",
            columns=columns,
            symbolSize=70,
            symbolOpacity=1,
            labelLimit=220,
        )
        if not self.dotted:
            key.symbolType, key.symbolStrokeWidth, key.symbolFillColor = "stroke", 2, "transparent"
        return key

    def _key(self, symbol: str) -> alt.Legend:
        """One entry, in ink: it is true of every colour. Beside the series' names where these leave
        room on a phone."""
        filled, drawn = (INK, "transparent") if symbol == "circle" else ("transparent", INK)
        beside = "top" if len(self.names) < 2 or max(map(len, self.names)) <= _SHORT else "bottom"
        return alt.Legend(
            title=None,
            orient=beside,
            symbolType=symbol,
            symbolFillColor=filled,
            symbolStrokeColor=drawn,
            symbolStrokeWidth=1.8,
            symbolSize=70,
            symbolOpacity=1,
        )


def _lines(rows: list[dict], look: _Look) -> alt.Chart:
    drawn = chart_of(rows).mark_line(strokeWidth=1.8, opacity=0.8)
    drawn = drawn.encode(color=look.colour, detail="series:N")
    if not look.dotted:
        return drawn.encode(strokeDash=look.dash)
    return (
        drawn.transform_calculate(what=f"'{look.line}'").encode(strokeDash=look.lines_said)
        if look.line
        else drawn
    )


def _marked(rows: list[dict], look: _Look, y: alt.Y) -> list[alt.Chart]:
    """Points with their errors; those beside the path that others follow small and faint."""
    beside, main = (
        [row for row in rows if row.get("aside")],
        [row for row in rows if not row.get("aside")],
    )
    bars = (
        chart_of(main)
        .mark_rule(strokeWidth=1.5)
        .encode(y=alt.Y("low:Q"), y2="high:Q", color=look.colour)
    )
    points = chart_of(main).mark_point(filled=True, size=40, opacity=1)
    points = points.encode(y=y, color=look.colour, shape=look.shape)
    faint = chart_of(beside).mark_point(filled=True, size=16, opacity=0.45)
    faint = [faint.encode(y=y, color=look.colour, shape=look.shape)] if beside else []
    if look.line:
        points = points.transform_calculate(what=f"'{_MEASURED}'").encode(opacity=look.points_said)
    return [*faint, bars, points]


def layers(depth: int, title: str = LAYERS, names: Sequence[str] = ()) -> alt.X:
    """The horizontal axis that every chart over depth shares. / names: of its places, which stand
    there instead of their numbers."""
    scale = alt.Scale(domain=[-0.02 * depth, 1.02 * depth], nice=False, zero=False)
    if not names:
        axis = alt.Axis(tickMinStep=1, grid=False, labelOverlap=True, format="d")
        return alt.X("at:Q", title=title, scale=scale, axis=axis)
    axis = alt.Axis(
        grid=False,
        values=[*range(0, depth + 1, -(-(depth + 1) // _MOST_NAMES))],
        labelExpr=f"{json.dumps(list(names))}[datum.value]",
        labelAngle=-45,
        labelAlign="right",
        labelLimit=130,
        labelOverlap=False,
    )
    return alt.X("at:Q", title=title, scale=scale, axis=axis)


def _marks(marks: Sequence[tuple[int, str]], x: alt.X) -> list[alt.Chart]:
    """A dashed line at each place, its word upright beside it."""
    if not marks:
        return []
    base = chart_of([{"at": at, "text": text} for at, text in marks]).encode(x=x)
    text = base.mark_text(
        angle=270, align="right", baseline="bottom", dy=-3, fontSize=12, color=GUILTY
    )
    rule = base.mark_rule(color=GUILTY, strokeDash=[4, 3], strokeWidth=1.5)
    return [rule, text.encode(y=alt.value(4), text="text:N")]


def selected(x: alt.X) -> alt.Chart:
    """A line at the selected place."""
    one = chart_of([{"at": 0}]).transform_calculate(at="selected").transform_filter("selected >= 0")
    return one.mark_rule(color=INK, strokeWidth=7, opacity=0.15).encode(x=x)


def selected_span(x: alt.X, spans: Sequence[tuple[int, int]]) -> alt.Chart:
    """A line at the place that holds the selected operation."""
    rows = [{"at": at, "first": first, "last": last} for at, (first, last) in enumerate(spans)]
    held = "datum.first <= selected && selected <= datum.last"
    one = chart_of(rows).transform_filter(held)
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
    return bool(
        (np.abs(np.concatenate([*levels, np.zeros(1)])) * power * np.log10(2) > _HELD).any()
    )


def _points(series: Series, quantity: Quantity, scale: Scale, names: Sequence[str]) -> list[dict]:
    """Two standard errors each way, down to a tenth of the value at most."""
    reach = np.nan_to_num(2 * scale.power * quantity.relative_stderr, nan=0.0, posinf=0.0)
    log2 = quantity.log2_mean_square
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = (
            np.log2(np.maximum(1 - reach, 0.1)) / scale.power,
            np.log2(1 + reach) / scale.power,
        )
        value, low, high = scale(log2), scale(log2 + low), scale(log2 + high)
    return [
        {
            "series": series.name,
            "at": at,
            "y": float(value[at]),
            "low": float(low[at]),
            "high": float(high[at]),
        }
        | ({"name": names[at]} if names else {})
        | ({"aside": True} if series.aside is not None and series.aside[at] else {})
        for at in _shown(series)
        if np.isfinite(log2[at])
    ]


def _shown(series: Series) -> list[int]:
    """Places that have a point: of many, those at even distances, and of those aside none but
    these."""
    if series.aside is None or series.aside.all():
        return thinned(series.depth, _MOST_POINTS)
    main = np.flatnonzero(~series.aside)
    kept = {int(main[i]) for i in thinned(len(main) - 1, _MOST_POINTS)}
    return sorted(kept | {at for at in thinned(series.depth, _MOST_POINTS) if series.aside[at]})


def _line(name: str, quantity: Quantity, scale: Scale) -> list[dict]:
    value = scale(
        np.where(np.isfinite(quantity.log2_mean_square), quantity.log2_mean_square, np.nan)
    )
    return [
        {"series": name, "at": layer, "y": float(value[layer])}
        for layer in thinned(len(value) - 1, _MOST_ON_A_LINE)
        if np.isfinite(value[layer])
    ]


def _vertical(values: list[float], title: str, exponents: bool) -> alt.Y:
    if exponents:
        span = (max(values) - min(values)) or 1.0
        scale = alt.Scale(
            domain=[min(values) - 0.04 * span, max(values) + 0.04 * span], nice=False, zero=False
        )
        return alt.Y("y:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6, format="~g"))
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    room = max((high / low) ** 0.05, 1.2)
    scale = alt.Scale(type="log", domain=[low / room, high * room], nice=False)
    plain = high < 1e4 and low > 1e-3
    return alt.Y(
        "y:Q", title=title, scale=scale, axis=alt.Axis(format="~g" if plain else ".0e", tickCount=6)
    )
