"""Whether the explosion matters: accuracy by depth and the first steps' gradients, as charts."""

from math import isfinite

import altair as alt

from depthscale._explain import Matter, Variant
from depthscale._report.chart.pictures import pictures
from depthscale._report.chart.theme import (
    INK,
    NETWORK_COLOURS,
    SERIES_COLOURS,
    Chart,
    chart_of,
    themed,
)


def matter_figures(found: Matter) -> dict[str, bytes | str]:
    """PNG and SVG of the chart, by file name."""
    return pictures(matter_chart(found), "matter")


def matter_chart(found: Matter) -> Chart:
    """Accuracy against depth beside theory's depth, and the first steps' ratio of gradients."""
    caption = (
        f"{found.data}; ± 2 standard errors over {found.seeds} seeds; dashed: 16 / ln rate "
        f"= {found.trainable_depth:.3g} layers"
    )
    rate = f"batch norm by depth, learning rate {max(found.rates):g}"
    left = accuracies(found).properties(width=320, title="accuracy by depth")
    right = first_steps(found).properties(width=320, title=rate)
    panels = alt.hconcat(left, right, spacing=36).resolve_scale(color="independent")
    return themed(panels, "Does the explosion matter?", caption)


def accuracies(found: Matter) -> Chart:
    """Held-out accuracy against depth, a colour a network; theory's depth dashed."""
    rows = [
        {
            "network": row.network,
            "depth": row.depth,
            "accuracy": row.accuracy,
            "low": max(0.0, row.accuracy - 2 * row.stderr),
            "high": min(1.0, row.accuracy + 2 * row.stderr),
        }
        for row in found.rows
    ]
    colour = alt.Color(
        "network:N",
        scale=alt.Scale(domain=[str(each) for each in Variant], range=NETWORK_COLOURS[:2]),
        legend=alt.Legend(title=None, orient="top"),
    )
    x = alt.X("depth:Q", title="depth", scale=alt.Scale(domainMin=0), axis=alt.Axis(grid=False))
    y = alt.Y(
        "accuracy:Q",
        title="held-out accuracy",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(gridOpacity=0.5),
    )
    base = chart_of(rows).encode(x=x, color=colour)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    line = base.mark_line(point=alt.OverlayMarkDef(size=45), strokeWidth=1.5).encode(y=y)
    scale = chart_of([{"depth": found.trainable_depth}]).mark_rule(strokeDash=[4, 3], color=INK)
    return alt.layer(scale.encode(x="depth:Q"), bars, line).properties(height=260)


def first_steps(found: Matter) -> alt.Chart:
    """The first layer's gradient over the last one's at the first steps, a colour a depth."""
    rows = [
        {"depth": str(row.depth), "step": step, "ratio": ratio}
        for row in found.of(Variant.BATCH_NORM)
        for step, ratio in enumerate(row.ratios)
        if isfinite(ratio) and ratio > 0
    ]
    order = list(dict.fromkeys(str(row.depth) for row in found.rows))
    few = len(order) <= len(SERIES_COLOURS)
    scale = (
        alt.Scale(domain=order, range=SERIES_COLOURS[: len(order)])
        if few
        else alt.Scale(domain=order, scheme="viridis")
    )
    legend = alt.Legend(title="layers", orient="top")
    colour = alt.Color("depth:N", sort=order, scale=scale, legend=legend)
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1, grid=False))
    y = alt.Y(
        "ratio:Q",
        title="|dE/dy| of first over last layer",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(format="~g", gridOpacity=0.5, values=[10.0**n for n in range(-12, 13)]),
    )
    marks = chart_of(rows).mark_line(point=alt.OverlayMarkDef(size=40), strokeWidth=1.5)
    return marks.encode(x=x, y=y, color=colour).properties(height=260)
