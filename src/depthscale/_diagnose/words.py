"""Numbers and names in words."""

from collections.abc import Sequence
from math import log10

from depthscale.measure import Growth
from depthscale.run import Reading


def fold(growth: Growth) -> str:
    """By how much the RMS changes over the whole bulk, as a person would say it."""
    return decades(growth.change)


def decades(change: float) -> str:
    """How many-fold the RMS changes. / change: log2 of the mean square's factor."""
    tens = abs(change) / 2 * log10(2)
    if tens > 6:
        return f"10^{tens:.1f}-fold"
    return f"{10**tens:,.0f}-fold" if tens >= 1 else f"{10**tens:.2g}-fold"


def fold_of(change: float) -> str:
    """A factor of the norm or the RMS, large ones by their power of ten. / change: log2 of its
    square."""
    tens = change / 2 * log10(2)
    return f"{'x' if tens > 0 else '1/'}10^{abs(tens):.1f}" if abs(tens) > 3 else factor(10**tens)


def factor(rate: float) -> str:
    """A factor of change: x1.21, or 1/2.4 where it shrinks."""
    return f"x{rate:.3g}" if rate >= 1 else f"1/{1 / rate:.3g}"


def percent(share: float) -> str:
    """A share as a person would say it: 44%, 0.4%."""
    return f"{share:.0%}" if share >= 0.01 else f"{100 * share:.1g}%"


def place(name: str) -> str:
    """An operation as a person finds it: in nn.Sequential names are bare numbers."""
    return f"module {name}" if name.replace(".", "").isdigit() else name


def span(ops: Sequence[Reading]) -> str:
    """Operations from the first to the last one, in the order of running."""
    return place(ops[0].name) if len(ops) == 1 else f"{place(ops[0].name)} ... {ops[-1].name}"
