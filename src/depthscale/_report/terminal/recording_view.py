"""A watched training run for a terminal: where trouble began, the last sampled steps, alerts."""

from collections.abc import Callable, Iterator
from math import isfinite
from textwrap import fill

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._report.terminal.titled_table import titled_table
from depthscale.monitor import Recording, StepRow, began_sentence

_MOST_ROWS = 16
_MOST_ALERTS = 8
_STYLES = {"error": "bold red", "warn": "yellow"}


def _factor(value: float) -> str:
    return f"×{value:.3g}" if isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{value:.1%}" if isfinite(value) else "–"


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else f"{value}".replace("nan", "–")


def _power(value: float) -> str:
    return f"2^{value:+.1f}" if isfinite(value) else "–"


_COLUMNS: dict[str, Callable[[StepRow], str]] = {
    "step": lambda row: str(row.step),
    "loss": lambda row: _number(row.loss),
    "growth of\ngradient²": lambda row: _factor(row.rate),
    "RMS, first\nover last": lambda row: _power(row.total),
    "dead\nunits": lambda row: _share(row.dead),
    "lost in\nfloat16": lambda row: _share(row.lost),
    "not\nfinite": lambda row: str(int(row.nonfinite)) if row.nonfinite else "",
    "update,\nmedian": lambda row: _number(row.update),
    "\nlargest": lambda row: _number(row.update_most),
}


def recording_view(recording: Recording, *, width: int) -> Iterator[RenderableType]:
    """Everything that `depthscale monitor` prints of a file, piece by piece."""
    timeline = recording.timeline()
    kept = f"; whole runs of {_steps(recording.steps)}" if recording.steps else ""
    yield fill(f"{timeline!r}{kept}", width)
    for event in recording.events:
        detail = f" ({event.detail})" if event.detail else ""
        yield fill(f"written at step {event.step}: {event.why}{detail}", width)
    if recording.steps:
        yield ""
        yield fill(began_sentence(recording.began()), width)
    if timeline.rows:
        yield ""
        yield _table(timeline.rows)
    yield from _alerts(recording, width)
    for why, count in recording.dropped.items():
        yield fill(f"noted {'once' if count == 1 else f'{count} times'}: {why}", width)


def _steps(steps: tuple[int, ...]) -> str:
    if len(steps) == 1:
        return f"step {steps[0]}"
    return f"{len(steps)} steps, {min(steps)} to {max(steps)}"


def _table(rows: tuple[StepRow, ...]) -> Table:
    shown = rows[-_MOST_ROWS:]
    left_out = f" (the last {len(shown)} of {len(rows):,})" if len(shown) < len(rows) else ""
    table = titled_table(f"sampled steps{left_out}", _COLUMNS, "", 2)
    for row in shown:
        table.add_row(*(cell(row) for cell in _COLUMNS.values()))
    return table


def _alerts(recording: Recording, width: int) -> Iterator[RenderableType]:
    alerts = recording.alerts
    if not alerts:
        return
    yield ""
    for each in alerts[:_MOST_ALERTS]:
        yield Text(fill(str(each), width, subsequent_indent="    "), _STYLES.get(each.severity, ""))
    if len(alerts) > _MOST_ALERTS:
        yield f"and {len(alerts) - _MOST_ALERTS} more"
