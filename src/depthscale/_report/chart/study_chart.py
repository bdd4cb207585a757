"""What trained networks of several depths reached, with theory's lines over it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite, sqrt
from typing import Any

import altair as alt

from depthscale._report.chart.pictures import pictures
from depthscale._report.chart.theme import INK, SERIES_COLOURS, Chart, chart_of, themed
from depthscale.sweeps import Study, TheoryLines

LINES = "dashed: 16 / ln rate; line: SGD's first step turns the first layer by 45° to the right"
_LIGHT, _DARK = "#111111", "#FDFDFD"  # letters, which do not change with the page
_MIDDLE = 0.55  # accuracy, from where on a field is light


def study_figures(found: Study) -> dict[str, bytes | str]:
    """PNG and SVG of every network and optimizer, by file name."""
    return pictures(study_chart(found), "study")


def study_chart(found: Study) -> Chart:
    """A panel for each network and optimizer, side by side."""
    grid = found.sweep.grid
    rows = [
        alt.hconcat(
            *(
                accuracy_map(found, str(network), str(optimizer)).properties(
                    width=230, height=190, title=f"{network}, {optimizer}"
                )
                for optimizer in grid["optimizer"]
            )
        )
        for network in grid["network"]
    ]
    caption = f"held-out accuracy after {found.training.steps} steps; {LINES}"
    return themed(alt.vconcat(*rows), "Does the growth of gradients matter?", caption)


def accuracy_map(found: Study, network: str, optimizer: str) -> Any:
    """Accuracy over depth and learning rate; theory's lines where they say anything."""
    fields = found.fields(network, optimizer)
    depths, rates = (_sorted({f.where[i] for f in fields}) for i in (0, 1))
    across, up = _edges(depths), _edges(rates, geometric=True)
    rows = [
        {
            "depth": field.where[0],
            "rate": field.where[1],
            "left": across[field.where[0]][0],
            "right": across[field.where[0]][1],
            "low": up[field.where[1]][0],
            "high": up[field.where[1]][1],
            "accuracy": field.mean,
            "text": f"{field.mean:.2f}" if isinstance(field.mean, float) else "",
            "letters": _LIGHT if (field.mean or 0) > _MIDDLE else _DARK,
        }
        for field in fields
        if isinstance(field.mean, float)
    ]
    ends = [across[depths[0]][0], across[depths[-1]][1]]
    heights = [up[rates[0]][0], up[rates[-1]][1]]
    x = alt.X(
        "left:Q",
        title="depth",
        scale=alt.Scale(domain=ends, nice=False),
        axis=alt.Axis(values=depths, grid=False),
    )
    y = alt.Y(
        "low:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=heights, nice=False),
        axis=alt.Axis(values=rates, format="~g", grid=False),
    )
    colour = alt.Color(
        "accuracy:Q",
        scale=alt.Scale(scheme="viridis", domain=[0, 1]),
        legend=alt.Legend(tickCount=3),
    )
    told = ["depth:Q", "rate:Q", alt.Tooltip("accuracy:Q", format=".3f")]
    base = chart_of(rows)
    squares = base.mark_rect(stroke="white", strokeWidth=1).encode(
        x=x, x2="right:Q", y=y, y2="high:Q", color=colour, tooltip=told
    )
    words = base.mark_text(fontSize=11).encode(
        x=alt.X("depth:Q"),
        y=alt.Y("rate:Q"),
        text="text:N",
        color=alt.Color("letters:N", scale=None),
    )
    lines = _lines(found.lines[network], optimizer.startswith("sgd"), ends, heights)
    return alt.layer(squares, words, *lines).resolve_scale(color="independent")


def best_chart(found: Study, network: str) -> Any:
    """Accuracy at the best learning rate against depth, a colour an optimizer."""
    optimizers = [str(each) for each in found.sweep.grid["optimizer"]]
    rows = [
        {
            "optimizer": optimizer,
            "depth": tested.where[0],
            "rate": tested.where[1],
            "accuracy": tested.mean,
            "low": max(0.0, tested.mean - 2 * tested.stderr),
            "high": min(1.0, tested.mean + 2 * tested.stderr),
        }
        for optimizer in optimizers
        for tested, _ in found.best(network, optimizer)
        if isinstance(tested.mean, float)
    ]
    scale = alt.Scale(domain=optimizers, range=SERIES_COLOURS[: len(optimizers)])
    colour = alt.Color("optimizer:N", scale=scale, legend=alt.Legend(title=None, orient="top"))
    base = chart_of(rows).encode(
        x=alt.X("depth:Q", title="depth", scale=alt.Scale(domainMin=0), axis=alt.Axis(grid=False)),
        color=colour,
    )
    y = alt.Y("accuracy:Q", title="held-out accuracy", scale=alt.Scale(domain=[0, 1]))
    line = base.mark_line(point=alt.OverlayMarkDef(size=45), strokeWidth=1.5).encode(y=y)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    limit = found.lines[network].trainable_depth
    deepest = max(float(each) for each in found.sweep.grid["depth"])  # pyright: ignore
    drawn = [_upright(limit, INK)] if limit <= deepest else []
    return alt.layer(*drawn, bars, line).properties(height=220)


def _lines(
    lines: TheoryLines, turns: bool, ends: Sequence[float], heights: Sequence[float]
) -> list[alt.Chart]:
    drawn = []
    if ends[0] < lines.trainable_depth < ends[1]:
        drawn = [_upright(lines.trainable_depth, _DARK), _upright(lines.trainable_depth, _LIGHT)]
    rows = [
        {"depth": depth, "rate": rate, "order": i}
        for i, (rate, depth) in enumerate(sorted(lines.turned.items()))
        if isfinite(depth) and rate > 0
    ]
    if turns and len(rows) > 1:
        for colour, width in ((_DARK, 5.0), (_LIGHT, 2.0)):  # seen on light fields and dark ones
            line = chart_of(rows).mark_line(color=colour, strokeWidth=width, clip=True)
            drawn.append(line.encode(x="depth:Q", y="rate:Q", order="order:Q"))
    return drawn


def _upright(depth: float, colour: str) -> alt.Chart:
    dash, width = ([6, 4], 2.0) if colour != _DARK else ([1, 0], 4.0)
    marks = chart_of([{"depth": depth}]).mark_rule(strokeDash=dash, strokeWidth=width, color=colour)
    return marks.encode(x="depth:Q")


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values)


def _edges(values: Sequence, geometric: bool = False) -> dict:
    """The two ends of each value's field: half-way to its neighbours."""
    if len(values) < 2:
        return {each: (each / 2, each * 2) for each in values}
    middles = [sqrt(a * b) if geometric else (a + b) / 2 for a, b in pairwise(values)]
    if geometric:
        outer = values[0] ** 2 / middles[0], values[-1] ** 2 / middles[-1]
    else:
        outer = 2 * values[0] - middles[0], 2 * values[-1] - middles[-1]
    ends = [outer[0], *middles, outer[1]]
    return dict(zip(values, pairwise(ends), strict=True))
