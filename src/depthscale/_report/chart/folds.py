"""A trace's operations folded into few enough parts to be seen at once: by module, or by step of
depth where modules are flat."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from depthscale.measure import Analysis, Ledger
from depthscale.run import Reading, Run

_MOST = 40
_MOST_BESIDE = 6  # parts before the first step of depth, and after the last
_LETTERS = 26
_DEEPEST = 8  # components of a path

Span = tuple[str, list[Reading]]


@dataclass(frozen=True)
class Fold:
    """name: the module that the operations share, or their step of depth; first, last: their ids.

    log2_gain: of the squared gradient, their part of the ledger.
    """

    name: str
    first: int
    last: int
    log2_gain: float


@dataclass(frozen=True)
class Folding:
    """All operations in order of running, in 40 parts at most. / step: what one step of depth is,
    where parts are steps."""

    parts: tuple[Fold, ...]
    step: str = ""


def folded(trace: Run, account: Ledger | None) -> Folding:
    """By module, of two operations or more on average; or by the steps of depth that the network
    repeats, where these are more; where neither is, by module all the same or, of many operations,
    by about the same number of them."""
    ops = trace.ops
    modules, (stepped, step) = _by_module(ops, min(_MOST, len(ops) // 2)), _by_step(trace)
    if len(stepped) > len(modules):
        return _folding(stepped, account, step)
    return _folding(modules if len(modules) > 1 else _few(ops, _MOST), account)


def _folding(runs: list[Span], account: Ledger | None, step: str = "") -> Folding:
    gains = {entry.id: entry.contribution for entry in account.entries} if account else {}
    parts = [
        Fold(name, run[0].id, run[-1].id, sum(gains.get(op.id, 0.0) for op in run))
        for name, run in runs
    ]
    return Folding(tuple(parts), step)


def short(name: str) -> str:
    """The end of a long path, which tells operations apart: its last components."""
    if len(name) <= _LETTERS:
        return name
    end = name[-_LETTERS:]
    return f"…{end[end.find('.') + 1 :] if '.' in end[:-1] else end[1:]}"


def _by_module(ops: Sequence[Reading], most: int) -> list[Span]:
    """The finest folding by path of no more than so many; nothing where there is none."""
    foldings = [_runs(ops, depth) for depth in range(1, _DEEPEST + 1)]
    return max((runs for runs in foldings if len(runs) <= most), key=len, default=[])


def _runs(ops: Sequence[Reading], depth: int) -> list[Span]:
    def path(op: Reading) -> str:
        return ".".join(op.name.split("#")[0].split(".")[:depth])

    return [(name, list(run)) for name, run in groupby(ops, path)]


def _by_step(trace: Run) -> tuple[list[Span], str]:
    """Each step of depth, and by module what lies before and after them; what a step is. / nothing
    where nothing repeats."""
    found = Analysis.of(trace).depth
    if found is None:
        return [], ""
    ops, ends = trace.ops, _ends(trace, sorted({op for pair in found.pairs for op in pair}))
    each = [(str(k), list(ops[ends[k - 1] + 1 : ends[k] + 1])) for k in range(1, len(ends))]
    before, after = (_few(part, _MOST_BESIDE) for part in (ops[: ends[0] + 1], ops[ends[-1] + 1 :]))
    steps = [
        (f"step {first}" if first == last else f"steps {first} to {last}", inside)
        for first, last, inside in _evenly(each, _MOST - len(before) - len(after))
    ]
    return [*before, *steps, *after], found.word


def _ends(trace: Run, ends: list[int]) -> list[int]:
    """The last operations of all steps, and the one before the first step. / ends: those of the
    bulk, without the first's start.

    The first repetition, and the last, are steps where they run the same operations as the one
    beside them.
    """
    kinds = [op.op for op in trace.ops]
    first, last = ends[1] - ends[0], ends[-1] - ends[-2]
    if (
        ends[0] >= first - 1
        and kinds[ends[0] + 1 - first : ends[0] + 1] == kinds[ends[0] + 1 : ends[1] + 1]
    ):
        ends = [ends[0] - first, *ends]
    if kinds[ends[-1] + 1 : ends[-1] + 1 + last] == kinds[ends[-2] + 1 : ends[-1] + 1]:
        ends = [*ends, ends[-1] + last]
    return ends


def _few(ops: Sequence[Reading], most: int) -> list[Span]:
    return _by_module(ops, most) or [
        (first if first == last else f"{first} to {last}", inside)
        for first, last, inside in _evenly(_runs(ops, 1), most)
    ]


def _evenly(runs: list[Span], most: int) -> list[tuple[str, str, list[Reading]]]:
    """So many parts of about the same number of runs, or the runs themselves: the names of the
    first and the last run of each, and its operations."""
    size = -(-len(runs) // most)
    parts = [runs[i : i + size] for i in range(0, len(runs), size or 1)]
    return [(part[0][0], part[-1][0], [op for _, run in part for op in run]) for part in parts]
