"""The page of a watched training run: what happened, where it began, the run over its steps."""

from math import isfinite

from depthscale._report.chart.timeline_charts import PANELS, timeline_panels
from depthscale._report.page import (
    Part,
    bullets,
    figure,
    headline,
    joined,
    section,
    sheet,
    table,
    tag,
)
from depthscale._report.phrases import sentence
from depthscale.monitor import HEADINGS, Began, Recording, StepRow, Timeline, began_sentence
from depthscale.run import Run

_MOST_ROWS = 60
_NEIGHBOURS = 6  # operations before and behind the one where it began


def recording_page(recording: Recording) -> str:
    """recording: of a monitor, or of its file."""
    timeline, origin = recording.timeline(), recording.began()
    marks = [event.step for event in recording.events]
    parts = [
        _first_screen(recording, timeline, origin, marks),
        *_where(recording, origin),
        _alerts(recording),
        _steps(timeline),
    ]
    return sheet(f"{recording.model} in training", parts, last=len(timeline) - 1)


def timeline_page(timeline: Timeline) -> str:
    """The sampled steps alone."""
    head = headline("depthscale monitor", f"{timeline.model} in training", repr(timeline))
    return sheet(
        f"{timeline.model} in training",
        [joined(head, *_figures(timeline, [])), _steps(timeline)],
        last=len(timeline) - 1,
    )


def _first_screen(
    recording: Recording, timeline: Timeline, origin: Began | None, marks: list[int]
) -> Part:
    said = [
        f"Step {each.step}: {each.why}{f' ({each.detail})' if each.detail else ''}."
        for each in recording.events[-4:]
    ]
    head = headline(
        "depthscale monitor",
        f"{recording.model} in training",
        " ".join(sentence(each) for each in said) or f"{timeline!r}. ",
        " ",
        began_sentence(origin) if recording.events else "",
    )
    return joined(head, *_figures(timeline, marks))


def _figures(timeline: Timeline, marks: list[int]) -> list[Part]:
    drawn = timeline_panels(timeline, marks)
    return [
        figure(panel.name, drawn[panel.name], panel.title.capitalize(), panel.says)
        for panel in PANELS
        if panel.name in drawn
    ]


def _where(recording: Recording, origin: Began | None) -> list[Part]:
    """The operations around the one where it began, before and at that step."""
    if origin is None:
        return []
    steps = recording.steps
    at = steps.index(origin.step)
    before, now = recording.at(steps[max(at - 1, 0)]), recording.at(origin.step)
    first = max(0, origin.place - _NEIGHBOURS)
    rows = [
        [
            op.name + (" ←" if op.id == origin.place else ""),
            op.op,
            *(
                _rms(run, op.id, what)
                for what in ("activation", "gradient")
                for run in (before, now)
            ),
        ]
        for op in now.ops[first : origin.place + _NEIGHBOURS + 1]
    ]
    headings = [
        "operation",
        "what",
        *(
            f"{what} RMS, step {step}"
            for what in ("activation", "gradient")
            for step in (steps[max(at - 1, 0)], origin.step)
        ),
    ]
    return [
        section(
            "where",
            "Where it began",
            tag("p", began_sentence(origin)),
            table(headings, rows, class_="named"),
        )
    ]


def _rms(run: Run, op: int, what: str) -> str:
    level = getattr(run.ops[op], f"log2_{what}_ms")
    sketch = getattr(run.ops[op], what)
    if sketch is not None and sketch.finite < sketch.count:
        return f"{sketch.count - sketch.finite:,} not finite"
    return f"{2.0 ** (level / 2):.3g}" if isfinite(level) and abs(level) < 1000 else "–"


def _alerts(recording: Recording) -> Part:
    alerts = [sentence(str(each)) for each in recording.alerts]
    lost = [
        f"Noted {'once' if count == 1 else f'{count} times'}: {why}"
        for why, count in recording.dropped.items()
    ]
    body = bullets([*alerts, *lost]) if alerts or lost else tag("p", "None.", class_="note")
    return section("alerts", "Alerts", body)


def _steps(timeline: Timeline) -> Part:
    names = [name for name in HEADINGS if _is_known(timeline, name)]
    rows = [[_cell(row, name) for name in names] for row in timeline.rows[-_MOST_ROWS:]]
    note = f"The last {len(rows)} of {len(timeline):,}." if len(rows) < len(timeline) else ""
    headings = [HEADINGS[name] for name in names]
    return section("steps", "Sampled steps", tag("p", note), table(headings, rows))


def _is_known(timeline: Timeline, name: str) -> bool:
    return any(value == value and value != "" for value in timeline[name].tolist())


def _cell(row: StepRow, name: str) -> str:
    value = getattr(row, name)
    if isinstance(value, str) or name == "step":
        return str(value)
    return f"{value:.4g}" if value == value else "–"
