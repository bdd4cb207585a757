"""Profiles as tables for a terminal of 80 columns."""

from math import exp, isfinite, isnan, sqrt

from rich.table import Table

from depthscale.errors import UnreliableGrowth
from depthscale.measure import Factor, Growth, growth_in_words
from depthscale.numerics import Estimate
from depthscale.run import Quantity, Run
from depthscale.theory import Classical, batch_norm_trainable_depth

_MOST_ROWS = 40
_UNLIMITED = 1e9  # layers: what a rate within rounding of 1 gives


def profile_table(profile: Run, *, whole: bool = True) -> Table:
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
        profile.batch_variance,
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
        if isfinite(growth.depth_scale) and isinstance(growth.law, Factor)
        else ""
    )
    law = "" if isinstance(growth.law, Factor) else f"; it {growth_in_words(growth)}"
    return f"growth: {growth}, layers {growth.first_layer} to {growth.last_layer}{scale}{law}"


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


def one_network_lines(profile: Run, growth: Growth) -> list[str]:
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


def _with_error(quantity: Quantity, layer: int, profile: Run) -> str:
    value, relative = quantity.mean_square[layer], quantity.relative_stderr[layer]
    if not isfinite(value):
        return "-"
    return (
        f"{value:.4g} ± {relative:.1%}"
        if profile.networks and isfinite(relative)
        else f"{value:.6g}"
    )
