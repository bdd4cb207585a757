"""What most pages have below their first chart: the table of all numbers, the line that says what
is selected, and notes."""

from collections.abc import Mapping
from math import log10

import numpy as np

from depthscale._report.page.assemble import Part, section
from depthscale._report.page.html import Html, bullets, tag
from depthscale.run import Array, Run

HINT = (
    "Click a point, a ridge or a row (or use the arrow keys) to follow one layer through the page."
)
_LARGEST = 300.0  # log10 of what a table can show as a plain number


def readout(hint: str = HINT) -> Html:
    """Where the script says what is selected."""
    return tag("output", hint, class_="readout", data_hint=hint, aria_live="polite")


def table_of(columns: Mapping[str, Array | list[str]], name: str = "table") -> Part:
    """A table that sorts and filters. / columns: by heading; the first holds the place that a row
    stands for."""
    rows = [
        [_cell(each[i]) for each in columns.values()]
        for i in range(len(next(iter(columns.values()))))
    ]
    search = tag(
        "input",
        type="search",
        placeholder=f"12, or {_first_number(columns)} > 2",
        aria_label="filter rows",
    )
    grid = tag("table", tag("thead", tag("tr")), tag("tbody"))
    body = tag(
        "div",
        tag(
            "p",
            tag("label", "Show rows with ", search),
            " ",
            tag("span", "", class_="count", aria_live="polite"),
        ),
        tag(
            "div",
            grid,
            class_="rows",
            tabindex=0,
            role="region",
            aria_label="table, arrow keys move the selection",
        ),
        class_="layers",
        data_table=name,
    )
    return Part(body, data={name: {"columns": list(columns), "rows": rows}})


def _first_number(columns: Mapping[str, Array | list[str]]) -> str:
    """Heading of the first column of numbers but the places'."""
    return next(
        (name for name, each in list(columns.items())[1:] if isinstance(each, np.ndarray)), "layer"
    )


def rms(log2_mean_square: Array) -> Array:
    """nan where float64 does not hold it."""
    return _plain(log2_mean_square * log10(2) / 2)


def _plain(log10_value: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        held = (log10_value < _LARGEST) & ((log10_value > -_LARGEST) | np.isneginf(log10_value))
        return np.where(held, 10.0 ** np.where(held, log10_value, 0.0), np.nan)


def _cell(value: float | str) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


def notes(*profiles: Run | None) -> list[Part]:
    """What must be known to read the numbers, each once; nothing where there is nothing."""
    said = dict.fromkeys(
        note for profile in profiles if profile is not None for note in profile.notes
    )
    return [section("notes", "Notes", bullets(said))] if said else []
