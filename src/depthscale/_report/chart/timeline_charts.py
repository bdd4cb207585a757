"""A training run over its steps: a few quantities, each on axes of its own above the same steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from depthscale._report.chart.theme import GUILTY, SERIES_COLOURS, Chart, chart_of
from depthscale.monitor import Timeline

_HEIGHT = 150
_MOST_POINTS = 600  # of a line, past which they hide each other


@dataclass(frozen=True)
class Panel:
    """One pair of axes. / columns: of the timeline, by what they are called."""

    name: str
    title: str
    columns: dict[str, str]
    logarithmic: bool = True
    says: str = ""


PANELS = (
    Panel("loss", "loss", {"loss": "loss"}),
    Panel(
        "growth",
        "factor per step of depth",
        {"rate": "squared gradient, towards the input", "activation_rate": "squared signal"},
        says="Growth along depth of the mean square of the gradient and of the signal.",
    ),
    Panel(
        "update",
        "|w' − w| / |w|",
        {"update": "median parameter", "update_most": "largest"},
        says="What the optimizer changes of a parameter, relative to it.",
    ),
    Panel(
        "shares",
        "share",
        {"dead": "dead units", "saturated": "saturated values", "lost": "gradient lost in float16"},
        logarithmic=False,
        says="At the operation with most of it.",
    ),
)


def timeline_panels(timeline: Timeline, marks: Sequence[int] = ()) -> dict[str, Chart]:
    """A chart for every panel of which there are numbers. / marks: steps to point out."""
    drawn = {panel.name: _panel(panel, timeline, marks) for panel in PANELS}
    return {name: chart for name, chart in drawn.items() if chart is not None}


def timeline_chart(timeline: Timeline) -> Chart:
    """All panels, one above the other."""
    return alt.vconcat(*timeline_panels(timeline).values()).resolve_scale(color="independent")


def _panel(panel: Panel, timeline: Timeline, marks: Sequence[int]) -> Chart | None:
    steps = timeline["step"]
    rows = [
        {"step": int(step), "y": float(value), "what": what}
        for column, what in panel.columns.items()
        for step, value in _shown(steps, timeline[column])
        if np.isfinite(value) and (value > 0 or not panel.logarithmic)
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row["what"] for row in rows))
    legend = alt.Legend(title=None, orient="top", labelLimit=260) if len(names) > 1 else None
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=names, range=SERIES_COLOURS[: len(names)]),
        legend=legend,
    )
    x = alt.X("step:Q", title="step of training", axis=alt.Axis(grid=False, format="d"))
    scale = alt.Scale(type="log", nice=False) if panel.logarithmic else alt.Scale(domain=[0, 1])
    y = alt.Y("y:Q", title=panel.title, scale=scale, axis=alt.Axis(format=".3~g", tickCount=4))
    base = chart_of(rows).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=["step:Q", alt.Tooltip("what:N", title="of"), alt.Tooltip("y:Q", format=".4~g")],
    )
    layers = [base.mark_line(strokeWidth=1.6), base.mark_point(filled=True, size=22, opacity=1)]
    rules = [chart_of([{"step": at}]).mark_rule(color=GUILTY, strokeDash=[4, 3]) for at in marks]
    drawn = [rule.encode(x=x) for rule in rules]
    return alt.layer(*drawn, *layers).properties(height=_HEIGHT, width="container")


def _shown(steps: np.ndarray, values: np.ndarray) -> list[tuple[int, float]]:
    """Of many steps those at even distances, the last one among them."""
    kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_POINTS)).astype(int))
    return list(zip(steps[kept].tolist(), values[kept].tolist(), strict=True))
