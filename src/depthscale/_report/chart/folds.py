"""A run's blocks in few enough parts to be seen at once, each with its part of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from depthscale._report.short_names import axis_labels
from depthscale.measure import Ledger
from depthscale.run import BlockRow, Run

_MOST = 40


@dataclass(frozen=True)
class Fold:
    """Consecutive blocks.

    Attributes:
        name: the block's, or those of the first and the last of several.
        label: the same for an axis.
        first, last: ids of its operations at both ends.
        log2_gain: of the squared gradient, their part of the ledger.
    """

    name: str
    label: str
    first: int
    last: int
    log2_gain: float


def folded(run: Run, account: Ledger | None, most: int = _MOST) -> tuple[Fold, ...]:
    """All operations in order of running; blocks share a part where there are more than so many."""
    rows = run.blocks().rows
    size = -(-len(rows) // most)
    groups = [rows[i : i + size] for i in range(0, len(rows), size)]
    names = [_name(group) for group in groups]
    labels = axis_labels(names, [row.name for row in rows if row.kind])
    gains = {entry.id: entry.contribution for entry in account.entries} if account else {}
    return tuple(
        Fold(name, label, group[0].first, group[-1].last, _gain(group, gains))
        for name, label, group in zip(names, labels, groups, strict=True)
    )


def _name(rows: Sequence[BlockRow]) -> str:
    return rows[0].name if len(rows) == 1 else f"{rows[0].name} to {rows[-1].name}"


def _gain(rows: Sequence[BlockRow], gains: dict[int, float]) -> float:
    return sum(gains.get(op, 0.0) for op in range(rows[0].first, rows[-1].last + 1))
