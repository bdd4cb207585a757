"""A column of a sweep over one or two arguments, as a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import altair as alt

from depthscale._report.chart.pictures import pictures
from depthscale._report.chart.theme import FAINT, NETWORK_COLOURS, Chart, chart_of, themed
from depthscale._report.short_numbers import short
from depthscale.sweeps import Field, Sweep, SweepMap

_RATES = ("rate", "activation_rate")  # 1 is steady: colours to both sides of it
_SEVERITIES = {"none": "#9BD3A7", "info": "#C9DDF0", "warn": "#F2C879", "error": "#DD8A78"}
_WIDE = 20.0  # largest over smallest number, from where on colours are of the logarithm
_READABLE = 14  # columns whose fields have room for a number
# the colours of numbers, which are the same on a light page and a dark one
_STEADY = ("#1F6FA9", "#F2F2F2", "#C8590F")
_ON_LIGHT, _ON_DARK = "#111111", "#FDFDFD"  # letters
_LEAST = 1e-9  # of log2, so that a scale has two ends
_STEP, _LOWEST = 34, 90  # pixels of a row, and of a chart


def sweep_figures(found: SweepMap) -> dict[str, bytes | str]:
    """PNG and SVG of the chart, by file name."""
    return pictures(sweep_map_chart(found), "sweep")


def sweep_map_chart(found: SweepMap) -> Chart:
    """The map with its title."""
    title = f"{found.color} over {' and '.join(found.axes)}"
    return themed(map_chart(found).properties(width=480), title, sweep_caption(found))


def grid_words(found: Sweep) -> str:
    """depth 10, 20; std 0.1, 0.15, ... 0.3; seeds 0 to 2."""
    names = [f"{name} {_listed(values)}" for name, values in found.grid.items()]
    first, last = found.seeds[0], found.seeds[-1]
    return "; ".join([*names, f"seeds {first} to {last}" if first != last else f"seed {first}"])


def _listed(values: Sequence[Any]) -> str:
    few = values if len(values) <= 8 else (*values[:4], "...", values[-1])
    return ", ".join(map(_word, few)).replace("..., ", "... ")


def sweep_caption(found: SweepMap) -> str:
    """What a field is, in half a sentence."""
    kind = "most frequent" if found.is_text else "mean"
    over = " and ".join(f"{n} {name}s" for name, n in found.over.items())
    held = ", ".join(f"{name} = {value}" for name, value in found.fixed.items())
    errors = "; bars: 2 standard errors" if len(found.axes) == 1 and found.over else ""
    failed = sum(field.failed for field in found.fields)
    parts = [
        f"{kind} over {over}{errors}" if over else "one cell each",
        *([held] if held else []),
        *([f"{failed:,} cells failed"] if failed else []),
    ]
    return "; ".join(parts)


def map_chart(found: SweepMap, beside: Sequence[SweepMap] = ()) -> Chart:
    """A field a combination, coloured by its number; along one argument points instead. / beside:
    maps that share its colours."""
    if len(found.axes) == 1 and not found.is_text:
        return _points(found)
    shades = _Shades.of(found, beside)
    rows = [_row(found, field, shades) for field in found.fields]
    told = [*(f"{name}:N" for name in found.axes), "value:N", "cells:Q", "failed:Q"]
    base = chart_of(rows).encode(*_axes(found), tooltip=told)
    fields = base.mark_rect(stroke="white", strokeWidth=1).encode(color=_colour(found, shades))
    columns, *rows_of = map(len, found.axes.values())
    height = max(_LOWEST, *(_STEP * n for n in rows_of), 0)
    if columns > _READABLE:
        return alt.layer(fields).properties(height=height)
    letters = alt.Color("letters:N", scale=None, legend=None)
    words = base.mark_text(fontSize=11).encode(text="value:N", color=letters)
    return alt.layer(fields, words).resolve_scale(color="independent").properties(height=height)


@dataclass(frozen=True)
class _Shades:
    """What colours stand for: a number, or its log2. / steady: 1 is in the middle."""

    low: float
    high: float
    log: bool
    steady: bool

    @classmethod
    def of(cls, found: SweepMap, beside: Sequence[SweepMap]) -> "_Shades":
        fields = [field for each in (found, *beside) for field in each.fields]
        numbers = [field.mean for field in fields if isinstance(field.mean, float)] or [1.0]
        positive = min(numbers) > 0
        steady = positive and found.color in _RATES
        log = steady or (positive and max(numbers) > _WIDE * min(numbers))
        low, high = (log2(end) if log else end for end in (min(numbers), max(numbers)))
        reach = max(abs(low), abs(high), _LEAST)
        return cls(-reach if steady else low, reach if steady else high, log, steady)

    def at(self, number: float) -> float:
        return log2(number) if self.log else number

    def is_dark(self, shade: float) -> bool:
        """Whether light letters stand out from it."""
        share = (shade - self.low) / (self.high - self.low or 1)
        return abs(share - 0.5) > 0.33 if self.steady else share < 0.5


def _axes(found: SweepMap) -> list[Any]:
    """Values side by side, as far apart as they are many; y rises."""
    made = []
    for channel, (name, values) in zip((alt.X, alt.Y), found.axes.items(), strict=False):
        order = _in_order(values)
        order = order[::-1] if channel is alt.Y else order
        axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False, domain=False, ticks=False)
        made.append(channel(f"{name}:N", title=name, sort=order, axis=axis))
    return made


def _row(found: SweepMap, field: Field, shades: _Shades) -> dict[str, Any]:
    where = dict(zip(found.axes, map(_word, field.where), strict=True))
    row = {**where, "cells": field.count, "failed": field.failed}
    if not isinstance(field.mean, float):
        text = field.mean or ("failed" if field.failed else "")
        letters = FAINT if field.mean is None else _ON_LIGHT
        return {**row, "value": text, "shade": field.mean, "letters": letters}
    shade = shades.at(field.mean)
    letters = _ON_DARK if shades.is_dark(shade) else _ON_LIGHT
    return {**row, "value": short(field.mean, 3), "shade": shade, "letters": letters}


def _colour(found: SweepMap, shades: _Shades) -> alt.Color:
    if found.is_text:
        names = list(dict.fromkeys(str(field.mean) for field in found.fields if field.mean))
        if set(names) <= set(_SEVERITIES):
            scale = alt.Scale(domain=list(_SEVERITIES), range=list(_SEVERITIES.values()))
        else:
            scale = alt.Scale(domain=names, scheme="pastel1")
        return alt.Color("shade:N", scale=scale, legend=alt.Legend(title=found.color))
    told = "format(pow(2, datum.value), '.3~g')" if shades.log else "format(datum.value, '.3~g')"
    legend = alt.Legend(title=found.color, gradientLength=120, tickCount=5, labelExpr=told)
    scale = (
        alt.Scale(domain=[shades.low, 0, shades.high], range=list(_STEADY), interpolate="lab")
        if shades.steady
        else alt.Scale(domain=[shades.low, shades.high], scheme="viridis")
    )
    return alt.Color("shade:Q", scale=scale, legend=legend)


def _points(found: SweepMap) -> Chart:
    """Means against one argument, with their errors."""
    ((name, values),) = found.axes.items()
    rows = [
        {
            name: field.where[0],
            "mean": field.mean,
            "low": field.mean - 2 * field.stderr,
            "high": field.mean + 2 * field.stderr,
        }
        for field in found.fields
        if isinstance(field.mean, float)
    ]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    x = (
        alt.X(f"{name}:Q", title=name, scale=alt.Scale(zero=False), axis=alt.Axis(grid=False))
        if numeric
        else alt.X(f"{name}:N", sort=_in_order(values))
    )
    base = chart_of(rows).encode(x=x)
    colour = NETWORK_COLOURS[0]
    bars = base.mark_rule(color=colour).encode(y="low:Q", y2="high:Q")
    y = alt.Y("mean:Q", title=found.color, scale=alt.Scale(zero=False))
    marks = base.mark_line(color=colour, point=alt.OverlayMarkDef(color=colour, size=45))
    return alt.layer(bars, marks.encode(y=y)).properties(height=260)


def _in_order(values: Sequence[Any]) -> list[str]:
    """As words: numbers by size, anything else as the grid has it."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return [_word(value) for value in (sorted(values) if numeric else values)]


def _word(value: Any) -> str:
    return short(value, 5) if isinstance(value, float) else str(value)
