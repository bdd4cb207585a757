"""A sweep on the terminal: a row for each combination of arguments, and what failed."""

from collections.abc import Iterator
from itertools import islice

from rich.console import Group, RenderableType
from rich.text import Text

from depthscale._report.chart.sweep_chart import grid_words
from depthscale._report.phrases import with_error
from depthscale._report.terminal.titled_table import titled_table
from depthscale.sweeps import Field, Sweep

_FIRST = ("rate", "activation_rate", "severity")  # of the default measure
_MOST_COLUMNS, _MOST_ROWS, _MOST_ERRORS = 4, 40, 5


def sweep_table(found: Sweep) -> RenderableType:
    """Means over seeds, ± standard error; then the errors."""
    cells = "cell" if found.total == 1 else "cells"
    done = f"{len(found):,}" if len(found) == found.total else f"{len(found):,} of {found.total:,}"
    return Group(Text(f"{done} {cells}: {grid_words(found)}"), *_table(found), *_errors(found))


def _table(found: Sweep) -> Iterator[RenderableType]:
    shown = [name for name in _FIRST if name in found.measured] or found.measured[:_MOST_COLUMNS]
    names = list(found.grid)
    columns = [found.fields(names, color) for color in shown]
    if not columns:
        return
    table = titled_table("", [*names, *shown, *(["failed"] if found.errors else [])], "", 2)
    for row in islice(zip(*columns, strict=True), _MOST_ROWS):
        table.add_row(*_cells(row, bool(found.errors)))
    yield Text()
    yield table
    yield from _rest(len(columns[0]))


def _cells(row: tuple[Field, ...], failures: bool) -> Iterator[str]:
    yield from (f"{value:g}" if isinstance(value, float) else str(value) for value in row[0].where)
    yield from map(_shown, row)
    if failures:
        yield str(row[0].failed or "")


def _shown(field: Field) -> str:
    if isinstance(field.mean, float):
        return with_error(field.mean, field.stderr, digits=4)
    return "-" if field.mean is None else str(field.mean)


def _rest(rows: int) -> Iterator[Text]:
    if rows > _MOST_ROWS:
        yield Text(f"... and {rows - _MOST_ROWS:,} more; --html or --json has all of them")


def _errors(found: Sweep) -> Iterator[Text]:
    if found.errors:
        yield Text()
    for error, count in islice(found.errors.items(), _MOST_ERRORS):
        yield Text(f"{count:,} failed: {error}")
    if len(found.errors) > _MOST_ERRORS:
        yield Text(f"... and {len(found.errors) - _MOST_ERRORS:,} other errors")
