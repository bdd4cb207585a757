"""A trace's operations folded by module: consecutive operations under one path, few enough to be seen at once."""

from dataclasses import dataclass
from itertools import groupby

from depthscale.measure import Ledger
from depthscale.trace import Trace, TracedOp

_MOST = 40
_LETTERS = 26
_DEEPEST = 8  # components of a path

Run = tuple[str, list[TracedOp]]


@dataclass(frozen=True)
class Fold:
    """name: what the operations share; first, last: their ids; log2_gain: of the squared gradient, their part of the ledger."""

    name: str
    first: int
    last: int
    log2_gain: float


def folds(trace: Trace, account: Ledger | None) -> list[Fold]:
    """In order of running; the finest folding of no more than 40, or 40 of about the same number of operations."""
    runs = _finest(trace, _MOST)
    return _folded(runs if len(runs) <= _MOST else _evenly(runs), account)


def modules(trace: Trace, account: Ledger | None) -> list[Fold]:
    """The same, of two operations or more on average where modules are as large."""
    most = min(_MOST, len(trace.ops) // 2)
    runs = _finest(trace, most)
    return _folded(runs, account) if 1 < len(runs) <= most else folds(trace, account)


def _finest(trace: Trace, most: int) -> list[Run]:
    return max((_runs(trace, depth) for depth in range(1, _DEEPEST + 1)), key=lambda runs: (len(runs) <= most) * len(runs))


def _folded(runs: list[Run], account: Ledger | None) -> list[Fold]:
    gains = {entry.id: entry.contribution for entry in account.entries} if account else {}
    return [Fold(name, ops[0].id, ops[-1].id, sum(gains.get(op.id, 0.0) for op in ops)) for name, ops in runs]


def short(name: str) -> str:
    """The end of a long path, which tells operations apart."""
    return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"


def _runs(trace: Trace, depth: int) -> list[Run]:
    def path(op: TracedOp) -> str:
        return ".".join(op.name.split("#")[0].split(".")[:depth])

    return [(name, list(ops)) for name, ops in groupby(trace.ops, path)]


def _evenly(runs: list[Run]) -> list[Run]:
    size = -(-len(runs) // _MOST)
    parts = [runs[i : i + size] for i in range(0, len(runs), size)]
    return [(f"{part[0][0]} to {part[-1][0]}", [op for _, ops in part for op in ops]) for part in parts]
