"""The two questions of the growth argument answered in words, from every normalizer's cells."""

from collections.abc import Iterator
from math import isfinite

from depthscale._explain.normalizer_cells import KEEPS, NORMALIZERS, Cell, Normalizers

FADES = 0.05  # of the activations' mean square, per layer


def answers(found: Normalizers) -> list[str]:
    """The two questions answered in words, from the cells."""
    return [*_imply_explosion(found), *_preserved(found)]


def _imply_explosion(found: Normalizers) -> Iterator[str]:
    normalizing = [normalizer.name for normalizer in NORMALIZERS if normalizer.normalizes]
    yield "Normalized preactivations imply exploding gradients?"
    for name in normalizing:
        cells = [cell for cell in found.of(name) if cell.verdict != "unknown"]
        if not cells:
            yield f"  {name}: no rate is known"
            continue
        exploding = [cell for cell in cells if cell.verdict == "explodes"]
        spared = [cell.activation for cell in cells if cell.verdict != "explodes"]
        rates = [cell.best for cell in cells]
        told = (
            f"{name}: {len(exploding)} of {len(cells)} explode (rates {min(rates):.2f} to "
            f"{max(rates):.2f})"
        )
        yield f"  {told}" + (f", not {', '.join(spared)}" if spared and exploding else "")


def _preserved(found: Normalizers) -> Iterator[str]:
    yield f"Gradients are preserved (rate within {KEEPS:.0%} of 1), and the price:"
    for normalizer in NORMALIZERS:
        kept = [
            cell
            for cell in found.of(normalizer.name)
            if cell.verdict == "preserved" and isfinite(cell.correlation)
        ]
        if kept:
            yield (
                f"  {normalizer.name}: {', '.join(cell.activation for cell in kept)}; "
                f"{_price(kept, found.depth)}"
            )


def _price(kept: list[Cell], depth: int) -> str:
    """What is lost where gradients are kept: samples that differ, or the signal."""
    correlations, signals = [cell.correlation for cell in kept], [cell.signal for cell in kept]
    alike = [cell.activation for cell in kept if cell.collapsed]
    said = f"samples correlate by {_between(correlations)} at layer {depth}"
    said += f", {', '.join(alike)} nearly one" if alike else ""
    faded = min(signals) < 1 - FADES
    return said + (
        f"; the signal's mean square falls to x{_between(signals)} a layer" if faded else ""
    )


def _between(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
