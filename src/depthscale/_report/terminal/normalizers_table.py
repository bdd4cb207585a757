"""The table of normalizers for 80 columns: an activation is four lines, a normalizer a column."""

from math import isfinite

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from depthscale._explain import NORMALIZERS, Cell, Normalizers, answers

_STYLES = {"explodes": "red", "vanishes": "blue", "preserved": "green", "unknown": "dim"}
_COLUMN = 5
_HEADINGS = {
    "batch after": "batch\nafter",
    "batch frozen": "batch\nfroz.",
    "batch eval": "batch\neval",
    "layer after": "layer\nafter",
}
_HEADINGS |= {
    "weight": "weig.\nnorm",
    "weight std.": "weig.\nstd.",
    "scaled w. std.": "scal.\nw.std",
}


def normalizers_table(found: Normalizers) -> RenderableType:
    """Rates by theory and measured, depth scales, correlations; then the answers, and where
    networks depart from theory."""
    scale = "1 / E φ(g)²" if found.sigma_w2 is None else f"{found.sigma_w2:g}"
    sizes = (
        f"{found.depth} layers of {found.width}, {found.batch} samples, sigma_w² = {scale}, "
        f"{found.seeds} seeds"
    )
    reading = (
        "rate: of the gradient's mean square per layer towards the input, by theory; found: "
        "measured, * where it departs from "
        "theory by more than 2 % and 3 standard errors; ξ: layers per factor e; c: correlation "
        "between samples at the last layer"
    )
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\n", width=7)
    for normalizer in NORMALIZERS:
        table.add_column(
            _HEADINGS.get(normalizer.name, f"\n{normalizer.name}"),
            justify="right",
            width=_COLUMN,
            no_wrap=True,
        )
    for activation in dict.fromkeys(cell.activation for cell in found.cells):
        cells = [cell for cell in found.cells if cell.activation == activation]
        _add(table, activation, cells)
    return Group(
        Text(sizes),
        Text(reading, style="dim"),
        Text(),
        table,
        Text(),
        *map(_line, (*answers(found), *_departures(found))),
    )


def _add(table: Table, activation: str, cells: list[Cell]) -> None:
    table.add_row(Text(activation.split("(")[0][:7], style="bold"), *[""] * len(cells))
    table.add_row(
        "  rate", *(Text(_rate(cell.predicted), style=_STYLES[cell.verdict]) for cell in cells)
    )
    table.add_row("  found", *(_rate(cell.rate) + ("*" if cell.departs else "") for cell in cells))
    table.add_row("  ξ", *(Text(_scale(cell.depth_scale), style="dim") for cell in cells))
    table.add_row(
        "  c",
        *(
            Text(_rate(cell.correlation), style="bold" if cell.collapsed else "dim")
            for cell in cells
        ),
    )


def _line(said: str) -> RenderableType:
    """A line whose continuation stands under its beginning."""
    text = said.lstrip()
    return Padding(Text(text), (0, 0, 0, len(said) - len(text)))


def _rate(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00") if isfinite(value) else "-"


def _scale(value: float) -> str:
    return "∞" if not isfinite(value) else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _departures(found: Normalizers) -> list[str]:
    """Each departure once, with the normalizers whose measured rates agree to a digit."""
    where: dict[tuple[str, str], list[Cell]] = {}
    for cell in found.cells:
        if cell.departs:
            where.setdefault((cell.activation, f"{cell.rate:.2g} {cell.predicted:.2g}"), []).append(
                cell
            )
    lines = [
        f"  {c[0].activation}, {', '.join(cell.normalizer for cell in c)}: {c[0].departs}"
        for c in where.values()
    ]
    return ["Departures from theory (*):", *lines] if lines else []
