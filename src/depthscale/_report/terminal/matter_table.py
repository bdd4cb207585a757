"""Whether the explosion matters: accuracy by depth and the first steps' gradients, as a table for
80 columns."""

from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._explain import NETWORKS, Matter, MatterRow, read_matter

_SHOWN = (0, 1, 2, 5)  # steps of the table


def matter_table(found: Matter) -> RenderableType:
    """Accuracy by depth, then the ratio of gradients by step, then how to read both."""
    s = found.settings
    sizes = (
        f"{found.data}, {found.samples:,} samples: ReLU networks of width {s.width}, batches of "
        f"{s.batch}, {s.steps} steps of SGD, "
        f"{found.seeds} seeds"
    )
    accuracy = Table(
        title="held-out accuracy at the best learning rate",
        box=None,
        title_justify="left",
        padding=(0, 2, 0, 0),
    )
    ratios = Table(
        title="|dE/dy| of the first layer over that of the last, learning rate "
        f"{max(found.rates):g}",
        box=None,
        title_justify="left",
        padding=(0, 2, 0, 0),
    )
    for heading in (
        "depth",
        "of 16/ln rate",
        *(column for name in NETWORKS for column in (name, "lr")),
    ):
        accuracy.add_column(heading, justify="right")
    for heading in ("depth", "network", "theory, step 0", *(f"step {step}" for step in _SHOWN)):
        ratios.add_column(heading, justify="left" if heading == "network" else "right")
    depths = list(dict.fromkeys(row.depth for row in found.rows))
    for depth in depths:
        rows = [row for row in found.rows if row.depth == depth]
        part = f"{depth / found.trainable_depth:.2f}"
        accuracy.add_row(
            str(depth), part, *(cell for row in rows for cell in (_accuracy(row), f"{row.rate:g}"))
        )
        for row in rows:
            name = str(depth) if row is rows[0] else ""
            ratios.add_row(
                name,
                row.network,
                _ratio(row.predicted),
                *(_ratio(row.ratios[step]) for step in _SHOWN),
            )
    said = [Text(f"- {line}") for line in read_matter(found)]
    return Group(Text(sizes), Text(), accuracy, Text(), ratios, Text(), *said)


def _accuracy(row: MatterRow) -> str:
    return f"{row.accuracy:.3f} ± {row.stderr:.3f}"


def _ratio(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "-"
