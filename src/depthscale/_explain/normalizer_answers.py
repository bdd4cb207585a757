"""The two questions of the growth argument put to every normalizer: do normalized preactivations
imply exploding gradients, and what preserves them at what price?

The price is seen in the samples: a network that keeps its gradients may let all samples become one,
of correlation 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from depthscale._explain.normalizer_cells import KEEPS, NORMALIZERS, Cell, cell_of, spec_of
from depthscale._explain.single_thread import one_thread
from depthscale.errors import InvalidSpec
from depthscale.nets import Progress
from depthscale.network import NetSpec

ACTIVATIONS = (
    "relu",
    "leaky_relu(0.2)",
    "abs",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "tanh",
    "erf",
    "sin",
    "linear",
)
FADES = 0.05  # of the activations' mean square, per layer


@dataclass(frozen=True, eq=False)
class Normalizers:
    """All cells, and the networks' common settings. / sigma_w2: None for 1 / E phi(g)^2, which
    keeps mean squares at 1."""

    cells: tuple[Cell, ...]
    depth: int
    width: int
    batch: int
    seeds: int
    sigma_w2: float | None
    seed: int = 0
    group_size: int = 8

    def of(self, normalizer: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.normalizer == normalizer]

    def record(self) -> dict[str, Any]:
        """Plain values: a row for each activation under each normalizer, and the answers."""
        settings = ("depth", "width", "batch", "seeds", "sigma_w2")
        return {
            **{name: getattr(self, name) for name in settings},
            "rows": [cell.record() for cell in self.cells],
            "answers": answers(self),
        }


def normalizers(
    activations: Sequence[str] = ACTIVATIONS,
    depth: int = 20,
    width: int = 256,
    batch: int = 32,
    group_size: int = 8,
    seeds: int = 8,
    seed: int = 0,
    sigma_w2: float | None = None,
    progress: Progress | None = None,
) -> Normalizers:
    """Rate of growth and correlation of samples for every activation under every normalizer, from
    theory and from networks.

    group_size: neurons in a group of the group norm. / raises: InvalidSpec as `NetSpec` and
    `simulate`, or for fewer than 8 seeds.
    """
    if seeds < 8:
        raise InvalidSpec(
            "rates are compared with errors from their spread over seeds: take at least 8, got "
            f"{seeds}"
        )
    if depth < 3:
        raise InvalidSpec(
            "a rate needs layers between the first and the last: take a depth of at least 3, got "
            f"{depth}"
        )
    base = NetSpec(depth=depth, width=width, batch=batch, groups=max(1, width // group_size))
    pairs = [
        (name, normalizer, spec_of(base, name, normalizer, sigma_w2))
        for name in activations
        for normalizer in NORMALIZERS
    ]
    cells = []
    with one_thread():
        for done, (name, normalizer, spec) in enumerate(pairs, start=1):
            cells.append(cell_of(name, normalizer, spec, seeds, seed))
            if progress:
                progress(done, len(pairs))
    return Normalizers(tuple(cells), depth, width, batch, seeds, sigma_w2, seed, group_size)


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
