"""The page of first steps: the verdict, the angle of each block, and every parameter as a table."""

import numpy as np

from depthscale._report.chart.steps_chart import turns_chart
from depthscale._report.page import (
    Part,
    bullets,
    figure,
    headline,
    joined,
    section,
    sheet,
    table_of,
    tag,
)
from depthscale._report.phrases import sentence
from depthscale.measure import FirstSteps, at_rate

_TITLE = "What the first step turns"


def steps_page(found: FirstSteps) -> str:
    """A page of its own."""
    source = "from theory" if found.theory else "taken on copies, after one pass"
    head = headline(
        f"depthscale first-steps, batch of {found.batch:g}, {source}",
        f"{found.model}: {at_rate(found)}",
        sentence(found.verdict),
    )
    hero = turns_figure(found)
    noted = [section("notes", "Notes", bullets(found.notes))] if found.notes else []
    return sheet(
        f"{found.model}: {found.verdict}",
        [joined(head), hero, steps_table(found), *noted],
        last=max(len(found.params) - 1, 0),
    )


def steps_section(found: FirstSteps) -> Part:
    """Its place in the page of a probe."""
    says = tag("p", sentence(found.verdict))
    noted = [bullets(found.notes)] if found.notes else []
    return section("steps", "The first step", says, turns_figure(found), _table(found), *noted)


def turns_figure(found: FirstSteps) -> Part:
    """The angle of each block."""
    says = (
        f"Angle by which the first step of {at_rate(found)} turns each {found.word}: its weight "
        "matrix that turns most. Dashed: 45 degrees, from where on more of a weight is new than "
        "is left of it. Triangles: the same step where the loss does not see a weight's size, "
        "which this step lets grow."
    )
    return figure("turns", turns_chart(found), _TITLE, says)


def steps_table(found: FirstSteps) -> Part:
    return section("parameters", "Every parameter", _table(found))


def _table(found: FirstSteps) -> Part:
    params = found.params
    seen = {True: "no", False: "yes"}
    columns = {
        "parameter": np.arange(float(len(params))),
        "name": [p.name for p in params],
        "shape": ["×".join(map(str, p.shape)) or "scalar" for p in params],
        "learning rate": np.array([p.rate for p in params]),
        "|update| / |weight|": np.array([p.relative for p in params]),
        "degrees": np.array([p.degrees for p in params]),
        "norm ×": np.array([p.turn.norm_growth for p in params]),
        "degrees then": np.array([p.turn.degrees_after for p in params]),
        "rate × for 45°": np.array([p.turn.limit for p in params]),
        "loss sees its size": [seen[p.scale_invariant] for p in params],
    }
    return table_of(columns)
