"""Whether the explosion matters: accuracy by depth and the first steps' gradients, as a table for
80 columns."""

from itertools import groupby
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._explain import Matter, MatterRow, Variant, read_matter
from depthscale._report.terminal.titled_table import titled_table

_SHOWN = (0, 1, 2, 5)  # steps of the table


def matter_table(found: Matter) -> RenderableType:
    """Accuracy by depth, then the ratio of gradients by step, then how to read both."""
    s = found.settings
    sizes = (
        f"{found.data}, {found.samples:,} samples: ReLU networks of width {s.width}, batches of "
        f"{s.batch}, {s.steps} steps of SGD, "
        f"{found.seeds} seeds"
    )
    said = [Text(f"- {line}") for line in read_matter(found)]
    return Group(Text(sizes), Text(), _accuracies(found), Text(), _ratios(found), Text(), *said)


def _accuracies(found: Matter) -> Table:
    columns = (column for name in Variant for column in (name, "lr"))
    title = "held-out accuracy at the best learning rate"
    table = titled_table(title, ("depth", "of 16/ln rate", *columns), "", 2)
    for depth, rows in groupby(found.rows, lambda row: row.depth):
        cells = (cell for row in rows for cell in (_accuracy(row), f"{row.rate:g}"))
        table.add_row(str(depth), f"{depth / found.trainable_depth:.2f}", *cells)
    return table


def _ratios(found: Matter) -> Table:
    rate = f"learning rate {max(found.rates):g}"
    title = f"|dE/dy| of the first layer over that of the last, {rate}"
    steps = (f"step {step}" for step in _SHOWN)
    table = titled_table(title, ("depth", "network", "theory, step 0", *steps), "network", 2)
    for row in found.rows:
        ratios = (_ratio(row.ratios[step]) for step in _SHOWN)
        depth = str(row.depth) if row.network is Variant.VANILLA else ""
        table.add_row(depth, row.network, _ratio(row.predicted), *ratios)
    return table


def _accuracy(row: MatterRow) -> str:
    return f"{row.accuracy:.3f} ± {row.stderr:.3f}"


def _ratio(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "-"
