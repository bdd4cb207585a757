"""The angle by which a step turns each block, as a chart."""

from math import isfinite, log10

import altair as alt

from depthscale._report.chart.theme import (
    ACTIVATION_COLOUR,
    FAINT,
    GRADIENT_COLOUR,
    Chart,
    chart_of,
    themed,
)
from depthscale.measure import SCRAMBLED, FirstSteps, at_rate

_MOST_NAMES = 24
_TICKS = [10.0**k for k in range(-9, 2)] + [SCRAMBLED]
_NOW, _THEN = "this step", "the same step, once the norm has grown by this one"


def steps_chart(found: FirstSteps) -> Chart:
    """The angle of each block, with its title."""
    caption = "largest angle among a block's weight matrices; dashed: 45 degrees"
    return themed(
        turns_chart(found).properties(width=560),
        f"How far the first step of {at_rate(found)} turns each {found.word}",
        caption,
    )


def turns_chart(found: FirstSteps) -> Chart:
    """Degrees by block, from the input to the output, on a logarithmic scale."""
    names = [block.name for block in found.blocks]
    rows = [
        {
            "block": k,
            "name": block.name,
            "weight": block.most.name,
            "step": step,
            "degrees": angle,
        }
        for k, block in enumerate(found.blocks)
        for step, angle in (
            (_NOW, block.degrees),
            (_THEN, block.most.turn.degrees_after),
        )
        if isfinite(angle) and angle > 0
    ]
    many = len(names) > _MOST_NAMES
    x = alt.X(
        "block:Q" if many else "name:N",
        title=f"{found.word}, from the input to the output" if many else None,
        sort=None,
        axis=alt.Axis(grid=False, labelAngle=0 if many else -40, labelLimit=160),
    )
    y = alt.Y(
        "degrees:Q",
        title="degrees",
        scale=alt.Scale(type="log", domain=[_least(found), 180]),
        axis=alt.Axis(values=_TICKS, format="~g", gridOpacity=0.5),
    )
    colour = alt.Color(
        "step:N",
        scale=alt.Scale(domain=[_NOW, _THEN], range=[ACTIVATION_COLOUR, GRADIENT_COLOUR]),
        legend=alt.Legend(title=None, orient="top", labelLimit=400),
    )
    shape = alt.Shape(
        "step:N", scale=alt.Scale(domain=[_NOW, _THEN], range=["circle", "triangle-up"])
    )
    tooltip = ["name:N", "weight:N", "step:N", alt.Tooltip("degrees:Q", format=".3g")]
    points = (
        chart_of(rows)
        .mark_point(filled=True, size=45, opacity=0.9)
        .encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    )
    limit = chart_of([{"degrees": SCRAMBLED}]).mark_rule(strokeDash=[4, 3], color=FAINT)
    return alt.layer(limit.encode(y="degrees:Q"), points).properties(height=240)


def _least(found: FirstSteps) -> float:
    """A power of ten below all angles."""
    angles = [
        angle
        for block in found.blocks
        for angle in (block.degrees, block.most.turn.degrees_after)
        if isfinite(angle) and angle > 0
    ]
    return min(1.0, 10.0 ** (int(log10(min(angles, default=1.0)) // 1)))
