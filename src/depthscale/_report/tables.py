"""Profiles and the founding experiment as tables for a terminal of 80 columns."""

from math import exp, isfinite, isnan, nan, sqrt

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale.errors import UnreliableGrowth
from depthscale.experiments import Founding
from depthscale.experiments.founding import NAMES, Row
from depthscale.measure import Growth
from depthscale.numerics.estimate import Estimate
from depthscale.numerics.student import normal_deviate
from depthscale.run import Profile, Quantity
from depthscale.theory.classical.point import Classical, batch_norm_trainable_depth

_MOST_ROWS = 40
_UNLIMITED = 1e9  # layers: what a rate within rounding of 1 gives


def founding_table(found: Founding) -> RenderableType:
    """Every layer of the three networks, then their growth."""
    title = (
        f"RMS of dE/dx ± standard error, {found.measured[0].seeds} seeds; diff to theory as a "
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
    by_layer: dict[int, list[Row]] = {}
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


def profile_table(profile: Profile, *, whole: bool = True) -> Table:
    """A profile layer by layer; logarithms where float64 does not hold the plain value. / whole:
    all layers, else at most 40."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    headings = (
        "layer",
        "gradient\nmean square",
        "\nlog2",
        "activation\nmean square",
        "batch variance\nof y",
    )
    for heading in headings:
        table.add_column(
            heading if heading != "layer" else "\nlayer", justify="right", no_wrap=True
        )
    gradient, activation, variance = (
        profile.gradient,
        profile.activation,
        profile.preactivation_batch_variance,
    )
    for layer in _shown(profile.depth, whole):
        if layer is None:
            table.add_row("...", *[""] * 4)
            continue
        table.add_row(
            str(layer),
            _with_error(gradient, layer, profile),
            f"{gradient.log2_mean_square[layer]:.3f}",
            _with_error(activation, layer, profile),
            _with_error(variance, layer, profile),
        )
    return table


def _shown(depth: int, whole: bool) -> list[int | None]:
    """Layers of a table; None where some are left out."""
    if whole or depth < _MOST_ROWS:
        return list(range(depth + 1))
    return [*range(_MOST_ROWS // 2), None, *range(depth + 1 - _MOST_ROWS // 2, depth + 1)]


def growth_line(growth: Growth | UnreliableGrowth) -> str:
    """The verdict in one line."""
    if isinstance(growth, UnreliableGrowth):
        return f"growth: {growth}"
    scale = (
        f"; mean square changes e-fold every {growth.depth_scale:.3g} layers"
        if isfinite(growth.depth_scale)
        else ""
    )
    return f"growth: {growth}, layers {growth.first_layer} to {growth.last_layer}{scale}"


def classical_lines(found: Classical) -> list[str]:
    """Fixed points, slopes and depth scales in a few lines."""
    numbers = {
        name: _plain(getattr(found, name))
        for name in ("q_star", "chi_1", "chi_q", "c_star", "chi_c", "xi_q", "xi_c")
    }
    said = [
        f"classical: {found.phase}; "
        + ", ".join(f"{name} = {numbers[name]}" for name in ("q_star", "c_star", "chi_1")),
        f"depth scales: xi_q = {numbers['xi_q']}, xi_c = {numbers['xi_c']} layers",
    ]
    if isfinite(found.trainable_depth):
        said[-1] += (
            f"; trainable up to about 6 xi_c = {found.trainable_depth:.3g} layers "
            "(arXiv:1611.01232)"
        )
    return [*said, *([f"advice: {found.advice}"] if found.advice else [])]


def trainable_depth_lines(growth: Growth) -> list[str]:
    """16 / log(rate) for a gradient that grows; nothing for any other."""
    depth = batch_norm_trainable_depth(growth.rate)
    if not depth < _UNLIMITED:
        return []
    return [
        f"trainable up to about 16 / log(rate) = {depth:.3g} layers (arXiv:1902.08129, for Batch "
        "Norm)"
    ]


def one_network_lines(profile: Profile, growth: Growth) -> list[str]:
    """What one network of this width will show around a predicted rate; nothing where that is not
    known."""
    if profile.log_variance is None:
        return []
    steps = growth.last_layer - growth.first_layer
    variance = float(
        profile.log_variance[growth.first_layer] - profile.log_variance[growth.last_layer]
    )
    typical = growth.rate * exp(-variance / (2 * steps))
    spread = (
        f"x{typical:.4f} ± {typical * sqrt(variance) / steps:.4f} per layer (one standard "
        "deviation)"
    )
    return [f"one network of width {profile.spec['width']}: {spread}"]


def _plain(estimate: Estimate) -> str:
    return "none" if isnan(estimate.value) else f"{estimate.value:.6g}"


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


def _measured(row: Row) -> str:
    if not isfinite(row.stderr):
        return _number(row.measured)
    return (
        f"{_number(row.measured)}±{row.stderr:.3f}".replace("±0.", "±.")
        if row.measured < 100
        else _number(row.measured)
    )


def _number(value: float) -> str:
    return (f"{value:.3f}" if 0.01 <= value < 100 else f"{value:.1e}") if isfinite(value) else "-"


def _apart(row: Row) -> str:
    return f"{row.standard_errors:+.1f}" if isfinite(row.standard_errors) else "-"


def _with_error(quantity: Quantity, layer: int, profile: Profile) -> str:
    value, relative = quantity.mean_square[layer], quantity.relative_stderr[layer]
    if not isfinite(value):
        return "-"
    return (
        f"{value:.4g} ± {relative:.1%}" if profile.seeds and isfinite(relative) else f"{value:.6g}"
    )
