"""The founding experiment as tables for a terminal of 80 columns."""

from math import isfinite, nan

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale.errors import UnreliableGrowth
from depthscale.experiments import NAMES, Founding, FoundingRow
from depthscale.measure import Growth
from depthscale.numerics import normal_deviate


def founding_table(found: Founding) -> RenderableType:
    """Every layer of the three networks, then their growth."""
    title = (
        f"RMS of dE/dx ± standard error, {found.measured[0].networks} seeds; diff to theory as a "
        "normal deviate"
    )
    table = Table(title=title, box=None, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("\nlayer", justify="right", no_wrap=True)
    for name in NAMES:
        table.add_column(
            f"{name.removesuffix(' statistics')}\nmeasured",
            justify="right",
            no_wrap=True,
            min_width=10,
        )
        table.add_column("\ntheory", justify="right", style="dim", no_wrap=True)
        table.add_column("\ndiff", justify="right", no_wrap=True)
    by_layer: dict[int, list[FoundingRow]] = {}
    for row in found.rows():
        by_layer.setdefault(row.layer, []).append(row)
    for layer, rows in by_layer.items():
        table.add_row(
            str(layer),
            *(
                cell
                for row in rows
                for cell in (_measured(row), _number(row.predicted), _apart(row))
            ),
        )
    return Group(table, Text(), growth_table(found))


def growth_table(found: Founding) -> Table:
    """Fitted rates against theory's."""
    title = "growth per layer towards the input; diff as a normal deviate"
    table = Table(title=title, box=None, title_justify="left")
    for heading in ("network", "mean square", "theory", "diff", "RMS", "layers"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name, measured, predicted in found.growths():
        table.add_row(name, *_growth_cells(measured, predicted))
    return table


def _growth_cells(
    measured: Growth | UnreliableGrowth, predicted: Growth | UnreliableGrowth | None
) -> list[str]:
    theory = f"{predicted.rate:.4f}" if isinstance(predicted, Growth) else "-"
    if isinstance(measured, UnreliableGrowth):
        return ["too few to say", theory, "-", "-", "-"]
    apart = nan
    if isinstance(predicted, Growth) and measured.stderr:
        apart = float(
            normal_deviate(
                np.array((measured.rate - predicted.rate) / measured.stderr), measured.degrees
            )
        )
    return [
        f"{measured.rate:.4f} ± {measured.stderr:.4f}",
        theory,
        f"{apart:+.1f}" if isfinite(apart) else "-",
        f"{measured.rms_rate:.4f}",
        f"{measured.first_layer}-{measured.last_layer}",
    ]


def _measured(row: FoundingRow) -> str:
    if not isfinite(row.stderr):
        return _number(row.measured)
    return (
        f"{_number(row.measured)}±{row.stderr:.3f}".replace("±0.", "±.")
        if row.measured < 100
        else _number(row.measured)
    )


def _number(value: float) -> str:
    return (f"{value:.3f}" if 0.01 <= value < 100 else f"{value:.1e}") if isfinite(value) else "-"


def _apart(row: FoundingRow) -> str:
    return f"{row.z_score:+.1f}" if isfinite(row.z_score) else "-"
