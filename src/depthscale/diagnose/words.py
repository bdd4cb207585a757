"""Numbers in words."""

from depthscale.measure.growth import Growth


def fold(growth: Growth) -> str:
    """By how much the RMS changes over the whole bulk, as a person would say it."""
    log10 = abs(growth.change) / 2 * 0.30102999566398120
    if log10 > 6:
        return f"10^{log10:.1f}-fold"
    return f"{10**log10:,.0f}-fold" if log10 >= 1 else f"{10**log10:.2g}-fold"
