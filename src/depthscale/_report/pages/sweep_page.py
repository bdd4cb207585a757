"""The page of a sweep, running or done: maps of what was measured, what failed, and every cell."""

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np

from depthscale._report.chart.sweep_chart import grid_words, map_chart, sweep_caption
from depthscale._report.page import (
    Part,
    bullets,
    figure,
    headline,
    joined,
    reproduced,
    section,
    sheet,
    table_of,
    tag,
)
from depthscale._report.phrases import rounded
from depthscale.sweeps import GridValue, Sweep, SweepMap

_MOST_MAPS = 6  # of a third argument's values, each with a map of its own
_MOST_ROWS = 2_000  # of the table; the folder has all
_RELOAD = "setTimeout(() => location.reload(), 5000);"  # while cells are missing


def sweep_page(found: Sweep) -> str:
    parts = [_first_screen(found), *_maps(found), *_failures(found), _cells(found)]
    again = reproduced(_command(found), grid_words(found))
    page = joined(*parts, again)
    live = Part(tag("span", ""), script=_RELOAD) if len(found) < found.total else ""
    return sheet("Sweep", [page, *([live] if live else [])], last=max(0, len(found) - 1))


def sweep_map_page(found: SweepMap) -> str:
    """One map by itself."""
    title = f"{found.color} over {' and '.join(found.axes)}"
    head = headline("depthscale sweep", title, f"{sweep_caption(found)}.")
    return sheet("Sweep", [joined(head, figure("map", map_chart(found), title, ""))], last=0)


def default_maps(found: Sweep) -> Iterator[SweepMap]:
    """The first measured column that has a number over the first two arguments that vary, a map for
    each combination of the others while these are few."""
    several = [name for name, values in found.grid.items() if len(values) > 1] or [*found.grid]
    x, y = (*several, None)[:2]
    color, others = _color(found), several[2:]
    if x is None or color is None:
        return
    if prod(len(found.grid[name]) for name in others) > _MOST_MAPS:
        others = []
    for values in product(*(found.grid[name] for name in others)):
        yield found.map(x, y, color, **dict(zip(others, values, strict=True)))


def _color(found: Sweep) -> str | None:
    table = found.table()
    numeric = [
        name
        for name in found.measured
        if any(isinstance(value, float) for value in table[name].to_pylist())
    ]
    return next(iter([*numeric, *found.measured]), None)


def _first_screen(found: Sweep) -> Part:
    failed = sum(found.errors.values())
    names = " × ".join(f"{len(values)} {name}" for name, values in found.grid.items())
    seeds = f" × {len(found.seeds)} seeds" if len(found.seeds) > 1 else ""
    done = f"{len(found):,} of {found.total:,} cells"
    told = f"; {failed:,} failed" if failed else ""
    running = " It goes on; this page renews itself." if len(found) < found.total else ""
    verdict = (tag("strong", done), f" are done{told}.{_extremes(found)}{running}")
    return joined(headline("depthscale sweep", f"{names}{seeds}", *verdict))


def _extremes(found: Sweep) -> str:
    """Between which ends the column lies."""
    color = _color(found)
    numbers = [v for v in found.table()[color].to_pylist() if isinstance(v, float)] if color else []
    finite = [number for number in numbers if np.isfinite(number)]
    if not finite:
        return ""
    low, high = (rounded(end, digits=4) for end in (min(finite), max(finite)))
    return f" {color} lies between {low} and {high}."


def _maps(found: Sweep) -> list[Part]:
    maps = list(default_maps(found))
    drawn = [
        figure(f"map-{i}", map_chart(each, maps), _title(each), f"{sweep_caption(each)}.")
        for i, each in enumerate(maps)
    ]
    return [section("map", "Map", *drawn)] if drawn else []


def _title(found: SweepMap) -> str:
    held = ", ".join(f"{name} = {value}" for name, value in found.fixed.items())
    return f"{found.color} over {' and '.join(found.axes)}{held and ', ' + held}"


def _failures(found: Sweep) -> list[Part]:
    said = [f"{count:,} × {error}" for error, count in found.errors.items()]
    return [section("failed", "What failed", bullets(said[:20]))] if said else []


def _cells(found: Sweep) -> Part:
    table = found.table().slice(0, _MOST_ROWS)
    columns: dict[str, np.ndarray | list[str]] = {"row": np.arange(float(len(table)))}
    for name in table.column_names[1:]:
        columns[name] = _column(table[name].to_pylist())
    more = f" The first {_MOST_ROWS:,} of {len(found):,}." if len(found) > _MOST_ROWS else ""
    note = tag("p", f"Each row is one network.{more}", class_="note")
    return section("cells", "Every cell", note, table_of(columns))


def _column(values: list[GridValue]) -> np.ndarray | list[str]:
    if all(isinstance(v, int | float | None) and not isinstance(v, bool) for v in values):
        return np.array([np.nan if v is None else float(v) for v in values])
    return ["" if v is None else str(v) for v in values]


def _command(found: Sweep) -> str:
    grid = " ".join(f"{name}={','.join(map(str, values))}" for name, values in found.grid.items())
    line = f"depthscale sweep FILE.py:FACTORY {grid} --seeds {len(found.seeds)}"
    return line if len(line) < 400 else ""
