"""An argument's steps with what was argued, predicted and measured, as a table of a page."""

from collections.abc import Iterable, Iterator

from depthscale._explain import Outcome, Row
from depthscale._report.condensed import StepLine, condensed, steps
from depthscale._report.page.html import Html, join, tag
from depthscale._report.page.mathml import formula

_HEADINGS = ("layers", "argument", "theory", "measured", "verdict")


def claims(rows: Iterable[Row]) -> Html:
    """Each step's statement and formula, and below it a line for the layers that share a verdict,
    with the reason for it.

    Of rows that are not about layers, the first column is empty.
    """
    listed = list(rows)
    layered = any(row.layer is not None for row in listed)
    head = tag(
        "thead",
        tag(
            "tr",
            *(
                tag("th", each, scope="col")
                for each in (_HEADINGS[0] if layered else "", *_HEADINGS[1:])
            ),
        ),
    )
    bodies = [_step(number, each, layered) for number, each in enumerate(steps(listed), start=1)]
    return tag(
        "div", tag("table", head, *bodies, class_="wrapped claims"), class_="scroll", tabindex=0
    )


def _step(number: int, rows: list[Row], layered: bool) -> Html:
    first = rows[0]
    said = join(tag("span", f"{number}. {first.statement}"), formula(first.formula))
    heading = tag("tr", tag("th", said, colspan=len(_HEADINGS), scope="rowgroup"))
    if first.outcome is Outcome.NO_STEP:
        return tag(
            "tbody",
            heading,
            tag("tr", tag("td", f"no such step: {first.why}", colspan=len(_HEADINGS))),
        )
    return tag("tbody", heading, *(row for line in condensed(rows) for row in _rows(line, layered)))


def _rows(line: StepLine, layered: bool) -> Iterator[Html]:
    numbers = (
        tag("td", number, class_="number")
        for number in (line.argued, line.predicted, line.measured)
    )
    verdict = tag("td", tag("span", line.verdict, class_=f"said {line.outcome.replace(' ', '-')}"))
    yield tag(
        "tr",
        tag("th", line.layers if layered else "", class_="number", scope="row"),
        *numbers,
        verdict,
    )
    if line.why:
        yield tag(
            "tr",
            tag("td"),
            tag("td", line.why, class_="note", colspan=len(_HEADINGS) - 1),
            class_="why",
        )
