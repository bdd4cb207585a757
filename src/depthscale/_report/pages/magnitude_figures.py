"""A quantity's distributions over every magnitude, and what number formats would lose of it."""

from collections.abc import Collection, Sequence

from depthscale._report.chart.along_depth import LAYERS
from depthscale._report.chart.magnitudes import beyond, lost_chart
from depthscale._report.chart.theme import Chart
from depthscale._report.page import Html, Part, figure, tag
from depthscale.sketch import FORMATS, Sketch

_LIMITS = "Dashed: below zero a format rounds to 0, beyond max it has no number."


def ridges(
    name: str,
    chart: Chart,
    title: str,
    says: str,
    sketches: Sequence[Sketch | None],
    formats: Collection[str] = tuple(FORMATS),
) -> Part:
    """The distributions, and which limits of formats lie beyond their axis."""
    outside = beyond(sketches, formats)
    off = f" Not on this axis: {', '.join(outside)}." if outside else ""
    return figure(
        f"{name}-ridges", chart, title, says + (_LIMITS if formats else "") + off, axis="y"
    )


def losses(name: str, rows: list[dict], last: int, says: str, places: str = LAYERS) -> Part | Html:
    """rows: from `lost`; last: place on the axis, whose title is places."""
    if not rows:
        return tag("p", f"No number format of these loses any of the {name}.", class_="note")
    title = f"What each number format would lose of the {name}"
    return figure(f"{name}-lost", lost_chart(rows, last, places), title, says)
