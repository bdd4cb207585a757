"""Distributions by depth, a ridge a layer, over every magnitude, with the limits of the number
formats drawn in."""

import json
from collections.abc import Collection, Mapping, Sequence
from math import floor, isfinite, log10

import altair as alt
import numpy as np

from depthscale._report.chart.along_depth import LAYERS, selected, thinned, with_selection
from depthscale._report.chart.along_depth import layers as layer_axis
from depthscale._report.chart.theme import AXIS, FAINT, INK, Chart, chart_of
from depthscale.run import Array
from depthscale.sketch import FORMATS, Sketch

_ROW = 22  # pixels from one ridge to the next
_RIDGE = 1.7  # height of a ridge, in rows
_HEADROOM = 6.0  # rows above the first ridge, for the names of the formats
_MOST_RIDGES = 25
_FEWEST = 100  # values that make a distribution; of fewer the RMS alone is drawn
_BINS = 120  # at least
_BINS_PER_DECADE = 10
_MARGIN = 0.3  # decades beyond the largest value
_APART = 0.025  # of the axis, between two names of formats; those nearer have a line alone
_LEFT_OUT = 1e-4  # share of the smallest magnitudes that the axis need not show
_MOST_POINTS = 120
SHORT_NAMES = {
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float8_e4m3fn": "float8 e4m3",
    "float8_e5m2": "float8 e5m2",
}
_FORMAT_COLOURS = {
    "float16": "#0072B2",
    "bfloat16": "#009E73",
    "float8_e4m3fn": "#D55E00",
    "float8_e5m2": "#CC79A7",
}
VISIBLE = 1e-6  # share of values lost below which nothing is drawn


def ridgeline(
    sketches: Sequence[Sketch | None],
    what: str,
    colour: str,
    names: Mapping[int, str] | None = None,
    formats: Collection[str] = tuple(FORMATS),
) -> Chart:
    """Distribution of |x| at every layer (of many, at some), each ridge as high as any other; a
    tick marks its RMS.

    sketches: one a place; those missing, or without a nonzero value, have no ridge. / what: whose
    values; names: of places, where they have any but their numbers; a ridge then stands for all
    places after the ridge above it, too. formats: whose ends are marked.
    """
    shown = _even(
        [layer for layer, sketch in enumerate(sketches) if _drawable(sketch)], _MOST_RIDGES
    )
    edges = _edges([each for layer in shown if (each := sketches[layer])], formats)
    y = _rows(
        [names[layer] for layer in shown] if names else shown,
        _HEADROOM if formats else _RIDGE,
        None if names else "layer",
    )
    x = alt.X(
        "x:Q",
        title=f"log10 |{what}|",
        scale=_reach(edges),
        axis=alt.Axis(grid=False, tickMinStep=1, labelOverlap=True),
    )
    outlines, ticks = [], []
    above = [-1, *shown] if names else [layer - 1 for layer in shown]
    for row, layer in enumerate(shown):
        sketch = sketches[layer]
        assert sketch is not None
        if sketch.tally.nonzero >= _FEWEST:
            outlines += _outline(sketch.magnitude_histogram(10.0**edges), edges, row, layer)
        rms = sketch.log2_mean_square() / 2 * log10(2)
        said = names[layer] if names else str(layer)
        ticks.append(
            {"at": layer, "above": above[row], "name": said, "x": rms, "b": row, "t": row - 0.7}
        )
    marks = _ticks(ticks, x, y, "at" if names else "layer")
    drawn = alt.layer(
        *_limits(edges, x, y, formats), _chosen(ticks, y), _areas(outlines, colour, x, y), marks
    )
    rows = len(shown) + (_HEADROOM if formats else _RIDGE)
    return with_selection(drawn.properties(height=int(_ROW * rows)))


def _areas(rows: list[dict], colour: str, x: alt.X, y: alt.Y) -> alt.Chart:
    """Ridges of outlines."""
    area = chart_of(rows).mark_area(
        color=colour, opacity=0.5, line={"color": colour, "strokeWidth": 1}
    )
    return area.encode(x=x, y=y, y2="b:Q", detail="at:O")


def _ticks(rows: list[dict], x: alt.X, y: alt.Y, place: str) -> alt.Chart:
    """Each ridge's RMS. / place: what a ridge is of."""
    told = [
        alt.Tooltip("name:N", title=place),
        alt.Tooltip("x:Q", title="log10 RMS", format=".3f"),
    ]
    rule = chart_of(rows).mark_rule(color=INK, strokeWidth=1.5)
    return rule.encode(x=x, y=y, y2="b:Q", tooltip=told)


def _chosen(rows: list[dict], y: alt.Y) -> alt.Chart:
    """A shade behind the ridge of the selected place."""
    shade = chart_of(rows).mark_rule(color=INK, strokeWidth=_ROW, opacity=0.1)
    shade = shade.transform_filter("datum.above < selected && selected <= datum.at")
    return shade.transform_calculate(t="datum.b - 0.4").encode(y=y)


def histogram_ridges(sketches: Sequence[Sketch], what: str, colour: str, reach: float) -> Chart:
    """The same on a linear axis, from -reach to reach: a ridge's width is the spread."""
    shown = thinned(len(sketches) - 1, _MOST_RIDGES)
    edges = np.linspace(-reach, reach, _BINS + 1)
    x = alt.X("x:Q", title=what, scale=_reach(edges), axis=alt.Axis(grid=False, tickCount=5))
    rows = [
        row
        for i, at in enumerate(shown)
        for row in _outline(sketches[at].histogram(edges), edges, i, at)
    ]
    ridges = _areas(rows, colour, x, _rows(shown, headroom=_RIDGE))
    return alt.layer(ridges).properties(height=int(_ROW * (len(shown) + _RIDGE)))


def lost(
    sketches: Sequence[Sketch | None], blocks: Sequence[Sequence[int]] | None = None
) -> list[dict]:
    """Share of values that each number format turns into 0 or into infinity, layer by layer;
    formats that lose none left out.

    blocks: places that share a point, that of the largest share among them; each has one of its own
    where there are none.
    """
    known = [layer for layer, sketch in enumerate(sketches) if _drawable(sketch)]
    each = (
        [[layer] for layer in _even(known, _MOST_POINTS)]
        if blocks is None
        else _within(blocks, known)
    )
    found = []
    for name in FORMATS:
        for kind in ("underflow", "overflow"):
            shares = dict(_worst(sketches, block, kind, name) for block in each)
            if any(share > VISIBLE for share in shares.values()):
                found += [
                    {"format": SHORT_NAMES[name], "kind": kind, "at": at, "share": share}
                    for at, share in shares.items()
                ]
    return found


def _within(blocks: Sequence[Sequence[int]], known: Sequence[int]) -> list[list[int]]:
    kept = set(known)
    return [here for block in blocks if (here := [place for place in block if place in kept])]


def _worst(
    sketches: Sequence[Sketch | None], places: Sequence[int], kind: str, number_format: str
) -> tuple[int, float]:
    """The place that loses most, and its share; of equal ones the last."""
    share, place = max((getattr(sketches[place], kind)(number_format), place) for place in places)
    return place, share


def lost_chart(rows: Sequence[dict], depth: int, places: str = LAYERS) -> Chart:
    """Those shares against the layer. / rows: from `lost`, at least one; places: title of the
    axis."""
    x = layer_axis(depth, places)
    names = {SHORT_NAMES[name]: colour for name, colour in _FORMAT_COLOURS.items()}
    present = [name for name in names if any(row["format"] == name for row in rows)]
    colours = alt.Scale(domain=present, range=[names[name] for name in present])
    kinds = alt.Scale(domain=["underflow", "overflow"], range=[[1, 0], [5, 3]])
    both = len({row["kind"] for row in rows}) > 1
    dashes = alt.Legend(
        title=None,
        orient="top",
        symbolType="stroke",
        symbolStrokeWidth=2,
        symbolFillColor="transparent",
    )
    line = chart_of(list(rows)).mark_line(strokeWidth=1.8, point={"size": 25})
    top = max(row["share"] for row in rows)
    drawn = line.encode(
        x=x,
        y=alt.Y(
            "share:Q",
            title="share of values lost",
            scale=alt.Scale(domain=[0, top * 1.08]),
            axis=alt.Axis(format="~%", tickCount=5),
        ),
        color=alt.Color(
            "format:N", scale=colours, legend=alt.Legend(title=None, orient="top", columns=2)
        ),
        strokeDash=alt.StrokeDash("kind:N", scale=kinds, legend=dashes if both else None),
        tooltip=[
            "format:N",
            "kind:N",
            alt.Tooltip("at:Q", title="layer"),
            alt.Tooltip("share:Q", format=".3~%"),
        ],
    )
    return with_selection(alt.layer(selected(x), drawn).properties(height=200))


def beyond(sketches: Sequence[Sketch | None], formats: Collection[str]) -> list[str]:
    """Limits of formats that the ridgeline's axis does not reach, in words."""
    edges = _edges([each for each in sketches if _drawable(each) and each], formats)
    return [
        f"{name} {where} ({10**at:.0e})"
        for at, name, where in _marks(formats)
        if not edges[0] <= at <= edges[-1]
    ]


def _drawable(sketch: Sketch | None) -> bool:
    return sketch is not None and bool(sketch.tally.nonzero) and isfinite(sketch.log2_mean_square())


def _edges(sketches: Sequence[Sketch], formats: Collection[str]) -> Array:
    """Of the bins, in log10: what the sketches hold but for the least, and at least the ends of the
    formats, bfloat16's apart."""
    low = min([_log10_quantile(each, _LEFT_OUT) for each in sketches], default=0.0)
    high = max([_log10_quantile(each, 1.0) for each in sketches], default=0.0)
    marks = [at for at, name, _ in _marks(formats) if "bfloat16" not in name]
    low, high = (
        max(min(low, floor(min(marks, default=low))), -300.0),
        min(max(high + _MARGIN, max(marks, default=high) + 0.5), 300.0),
    )
    return np.linspace(low, high, max(_BINS, round((high - low) * _BINS_PER_DECADE)) + 1)


def _log10_quantile(sketch: Sketch, q: float) -> float:
    """log10 of a quantile of |x|, also where float64 does not hold it (then of the RMS)."""
    value = sketch.magnitude_quantile(q)
    return (
        log10(value) if isfinite(value) and value > 0 else sketch.log2_mean_square() / 2 * log10(2)
    )


def _marks(formats: Collection[str]) -> list[tuple[float, str, str]]:
    """log10 of every format's ends with its name; two that lie closer than a tenth of a decade
    share a mark."""
    known = [(SHORT_NAMES[name], fmt) for name, fmt in FORMATS.items() if name in formats]
    ends = [(log10(fmt.largest_lost), name, "zero") for name, fmt in known]
    ends += [(log10(fmt.largest_kept), name, "max") for name, fmt in known]
    merged: list[tuple[float, str, str]] = []
    for at, name, where in sorted(ends):
        if merged and at - merged[-1][0] < 0.1:
            merged[-1] = (merged[-1][0], f"{merged[-1][1]}, {name}", where)
        else:
            merged.append((at, name, where))
    return merged


def _limits(edges: Array, x: alt.X, y: alt.Y, formats: Collection[str]) -> list[alt.Chart]:
    """A dashed line at each format's end, its name upright at the top."""
    rows, named = [], -np.inf
    for at, name, where in _marks(formats):
        if edges[0] <= at <= edges[-1]:
            free = at - named > _APART * (edges[-1] - edges[0])
            named = at if free else named
            rows.append({"x": at, "t": -_HEADROOM + 0.3, "text": f"{name} {where}" if free else ""})
    if not rows:
        return []
    base = chart_of(rows).encode(x=x)
    text = base.mark_text(
        angle=270, align="right", baseline="bottom", dy=-2, fontSize=10, color=FAINT
    )
    return [base.mark_rule(color=AXIS, strokeDash=[3, 3]), text.encode(y=y, text="text:N")]


def _even(places: list[int], most: int) -> list[int]:
    """So many of them at even distances, both ends and the second kept."""
    return [places[i] for i in thinned(len(places) - 1, most)] if places else []


def _rows(
    shown: Sequence[int | str], headroom: float = _HEADROOM, title: str | None = "layer"
) -> alt.Y:
    """One unit of the vertical axis a ridge, its layer on the axis."""
    names = json.dumps([str(each) for each in shown])
    every = 1 if title is None else max(1, len(shown) // 13)
    axis = alt.Axis(
        values=list(range(0, len(shown), every)),
        labelExpr=f"{names}[datum.value]",
        title=title,
        labelLimit=150,
        grid=False,
        ticks=False,
        domain=False,
    )
    scale = alt.Scale(domain=[len(shown) - 0.7, -headroom], nice=False, zero=False)
    return alt.Y("t:Q", scale=scale, axis=axis if len(shown) > 1 else None)


def _outline(counts: Array, edges: Array, row: int, layer: int) -> list[dict]:
    """A ridge's points; bins that are empty and lie beside empty ones need none."""
    heights = counts / max(float(counts.max()), 1e-300)
    seen = heights > 0.002
    wanted = seen | np.append(seen[1:], False) | np.insert(seen[:-1], 0, False)
    middles = (edges[:-1] + edges[1:]) / 2
    return [
        {
            "at": layer,
            "x": round(float(middles[i]), 4),
            "b": row,
            "t": round(row - _RIDGE * float(heights[i]), 3),
        }
        for i in np.flatnonzero(wanted)
    ]


def _reach(edges: Array) -> alt.Scale:
    return alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False, zero=False)
