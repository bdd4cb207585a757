"""What a run's operations repeat: blocks, sequences of operations, uses of one module."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from depthscale.run.depth import FEWEST, Depth, DepthKind
from depthscale.run.reading import Reading
from depthscale.run.run import Run


def repeated_block(run: Run, chain: list[Reading]) -> Depth | None:
    """The modules of one class and structure that most often follow each other along the chain."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in run.graph.modules:
        if "(" in module.structure:
            kinds[module.module_class, module.structure].append(module.path)
    best: Depth | None = None
    for (name, _), paths in kinds.items():
        if len(paths) >= FEWEST:
            depth = _of_blocks(name, paths, chain)
            if depth and (best is None or len(depth.pairs) > len(best.pairs)):
                best = depth
    return best


def _of_blocks(name: str, paths: list[str], chain: list[Reading]) -> Depth | None:
    runs = [ops for block, ops in _runs(chain, set(paths)) if block is not None]
    index = {op.id: k for k, op in enumerate(chain)}
    linked = [index[upper[0].id] == index[lower[-1].id] + 1 for lower, upper in pairwise(runs)]
    headed = bool(runs) and runs[-1][-1] is not chain[-1]
    return _depth(DepthKind.BLOCKS, name, [ops[-1] for ops in runs], linked, headed)


def _depth(
    kind: DepthKind, word: str, tops: Sequence[Reading], linked: Sequence[bool], headed: bool
) -> Depth | None:
    """The depth of repetitions that end in these operations.

    Args:
        linked: whether each one but the first reads the one before it.
        headed: whether something lies between the last one and the loss.
    """
    if len(tops) < FEWEST:
        return None
    pairs, position, start = [], [], 0
    for k in range(1, len(tops) - 1):
        if linked[k - 1] and tops[k - 1].shape == tops[k].shape:
            pairs.append((tops[k - 1].id, tops[k].id))
            position.append(k - start)
        else:
            start = k
    below, top = tops[-2:]
    whole = headed and linked[-1] and below.shape == top.shape
    last = (below.id, top.id) if whole else None
    return Depth(kind, word, tuple(pairs), tuple(position), len(tops), last) if pairs else None


def _runs(chain: list[Reading], blocks: set[str]) -> Iterator[tuple[str | None, list[Reading]]]:
    """Consecutive operations of the chain that ran in one call of a block, or in none."""
    key, ops = None, []
    for op in chain:
        here = _block_of(op.module, blocks)
        if ops and here == key:
            ops.append(op)
            continue
        if ops:
            yield key, ops
        key, ops = here, [op]
    if ops:
        yield key, ops


def _block_of(path: str, blocks: set[str]) -> str | None:
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in blocks:
            return ".".join(parts[:n])
    return None


def repeated_sequence(chain: list[Reading]) -> Depth | None:
    """The shortest period whose repetitions, of one shape, cover the most of the chain."""
    best = _repeated([(op.op, op.module_class) for op in chain])
    if best is None:
        return None
    covered, period, start = best
    tops = [chain[k] for k in range(start + period - 1, start + covered, period)]
    word = "-".join(op.op for op in chain[start : start + period])
    headed = start + covered < len(chain)
    return _depth(DepthKind.SEQUENCE, word, tops, [True] * (len(tops) - 1), headed)


def _repeated(words: Sequence[Hashable]) -> tuple[int, int, int] | None:
    """The repetition that covers the most words, of these the one of the shortest period: words
    covered, period, start."""
    numbers: dict[Hashable, int] = {}
    code = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
    best: tuple[int, int, int] | None = None
    for period in range(1, len(code) // FEWEST + 1):
        same = np.concatenate([[False], code[:-period] == code[period:], [False]])
        edges = np.flatnonzero(
            same[1:] != same[:-1]
        )  # where equality with the word one period on begins, and where it ends
        starts, lengths = edges[::2], edges[1::2] - edges[::2] + period
        covered = lengths - lengths % period
        k = int(covered.argmax()) if len(covered) else 0
        if (
            len(covered)
            and covered[k] >= FEWEST * period
            and (best is None or covered[k] > best[0])
        ):
            best = int(covered[k]), period, int(starts[k])
    return best


def repeated_use(run: Run) -> Depth | None:
    """The operation that one module, or a function with one parameter, runs again and again, each
    time on what it made before."""
    uses: dict[tuple[Hashable, ...], list[Reading]] = defaultdict(list)
    for op in run.ops:
        parameters = tuple(name for name, _, _ in op.weights if name)
        if op.gradient is not None and (op.module or parameters) and op.module != "loss":
            uses[op.module, op.op, op.shape, parameters].append(op)
    longest = max(
        (ops for ops in uses.values() if _one_after_another(run, ops)), key=len, default=[]
    )
    longest = _once_a_step(longest)
    word = f"use of {longest[0].name}" if longest else ""
    return _depth(DepthKind.USES, word, longest, [True] * (len(longest) - 1), headed=False)


def _once_a_step(ops: list[Reading]) -> list[Reading]:
    """Of what runs several times a step, as a cell's tanh, the last time in each: where the
    distances between uses repeat."""
    gaps = [upper.id - lower.id for lower, upper in pairwise(ops)]
    for period in range(1, len(ops) // FEWEST + 1):
        if gaps[period:] == gaps[:-period]:
            return ops[::-1][::period][::-1]
    return ops


def _one_after_another(run: Run, ops: list[Reading]) -> bool:
    """Whether gradient goes from each use to the one before it."""
    return len(ops) >= FEWEST and all(
        _leads(run, upper, lower.id) for lower, upper in pairwise(ops)
    )


def _leads(run: Run, upper: Reading, lower: int) -> bool:
    waiting, seen = [upper], set()
    while waiting:
        for edge in waiting.pop().edges:
            if edge.source == lower:
                return True
            if edge.source > lower and edge.source not in seen:
                seen.add(edge.source)
                waiting.append(run.ops[edge.source])
    return False
