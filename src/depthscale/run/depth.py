"""Depth of depth in a trace: the block or the sequence of operations that its network repeats."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from depthscale.run.dominators import dominators, dominators_between
from depthscale.run.trace import ModuleNote, Trace, TracedOp

FEWEST = 3  # repetitions that make a depth


@dataclass(frozen=True)
class Depth:
    """Whole steps of depth, from the input up. / word: what one step is.

    pairs: for each step of the bulk, the operation under it and the one at its top; the repetition
    nearest the input and the one nearest the output are left out. position: of each step, counted
    from the input (1 for the second repetition), and anew where the chain of equal repetitions is
    broken, as between the stages of a convolutional network.
    count: repetitions in all.
    """

    word: str
    pairs: tuple[tuple[int, int], ...]
    position: tuple[int, ...]
    count: int

    def __contains__(self, op: int) -> bool:
        """Whether an operation lies inside a step of the bulk."""
        return any(below < op <= top for below, top in self.pairs)


def depth_of(trace: Trace) -> Depth | None:
    """By a repeated block of the module tree, else by the shortest repeating sequence of operations
    that every gradient path crosses, else by the uses of one module that follow each other, as of a
    recurrent cell that reads an input at every step; None where nothing repeats three times. Where
    paths to all inputs share no depth, as where weights of the samples come in late, and no module
    comes again, the paths to the one input that has the most of it are looked at."""
    return _along(trace, dominators(trace)) or _by_use(trace) or _along_one_input(trace)


def _along_one_input(trace: Trace) -> Depth | None:
    inputs = [op for op, _ in trace.sources] if len(trace.sources) > 1 else []
    each = [
        _along(trace, dominators_between(trace, {op for op, _ in trace.sinks}, [op]))
        for op in inputs
    ]
    return max(filter(None, each), key=lambda found: len(found.pairs), default=None)


def _along(trace: Trace, crossed: tuple[int, ...]) -> Depth | None:
    """Along what every path crosses."""
    chain = [
        op for i in reversed(crossed) if (op := trace.ops[i]).op != "input" and op.module != "loss"
    ]
    return _by_block(trace, chain) or _by_sequence(chain)


def _by_block(trace: Trace, chain: list[TracedOp]) -> Depth | None:
    """The modules of one class and structure that most often follow each other along the chain."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in trace.modules:
        if "(" in module.structure:
            kinds[module.module_class, module.structure].append(module.path)
    best: Depth | None = None
    for (name, _), paths in kinds.items():
        if len(paths) >= FEWEST:
            found = _of_blocks(name, paths, chain, trace.modules)
            if found and (best is None or len(found.pairs) > len(best.pairs)):
                best = found
    return best


def _of_blocks(
    name: str, paths: list[str], chain: list[TracedOp], modules: tuple[ModuleNote, ...]
) -> Depth | None:
    runs = [(block, ops) for block, ops in _runs(chain, set(paths)) if block is not None]
    if len(runs) < FEWEST:
        return None
    index = {op.id: k for k, op in enumerate(chain)}
    pairs, position, start = [], [], 0
    for k in range(1, len(runs) - 1):
        below, ops = runs[k - 1][1][-1], runs[k][1]
        if index[ops[0].id] == index[below.id] + 1 and below.shape == ops[-1].shape:
            pairs.append((below.id, ops[-1].id))
            position.append(k - start)
        else:
            start = k
    return Depth(name, tuple(pairs), tuple(position), len(runs)) if pairs else None


def _runs(chain: list[TracedOp], blocks: set[str]) -> Iterator[tuple[str | None, list[TracedOp]]]:
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


def _by_sequence(chain: list[TracedOp]) -> Depth | None:
    """The shortest period whose repetitions, of one shape, cover the most of the chain."""
    best = _repeated([(op.op, op.module_class) for op in chain])
    if best is None:
        return None
    covered, period, start = best
    ends = [chain[k] for k in range(start + period - 1, start + covered, period)]
    pairs, position, begun = [], [], 0
    for k in range(1, len(ends) - 1):
        if ends[k - 1].shape == ends[k].shape:
            pairs.append((ends[k - 1].id, ends[k].id))
            position.append(k - begun)
        else:
            begun = k
    word = "-".join(op.op for op in chain[start : start + period])
    return Depth(word, tuple(pairs), tuple(position), len(ends)) if pairs else None


def _repeated(words: Sequence[Hashable]) -> tuple[int, int, int] | None:
    """The repetition that covers the most words, of these the one of the shortest period: words
    covered, period, start."""
    numbers: dict[Hashable, int] = {}
    code = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
    best: tuple[int, int, int] | None = None
    for period in range(1, len(code) // FEWEST + 1):
        same = np.concatenate([[False], code[:-period] == code[period:], [False]])
        turns = np.flatnonzero(
            same[1:] != same[:-1]
        )  # where equality with the word one period on begins, and where it ends
        starts, lengths = turns[::2], turns[1::2] - turns[::2] + period
        covered = lengths - lengths % period
        k = int(covered.argmax()) if len(covered) else 0
        if (
            len(covered)
            and covered[k] >= FEWEST * period
            and (best is None or covered[k] > best[0])
        ):
            best = int(covered[k]), period, int(starts[k])
    return best


def _by_use(trace: Trace) -> Depth | None:
    """The operation that one module runs again and again, each time on what it made before."""
    uses: dict[tuple[str, str, tuple[int, ...]], list[TracedOp]] = defaultdict(list)
    for op in trace.ops:
        if op.gradient is not None and op.module and op.module != "loss":
            uses[op.module, op.op, op.shape].append(op)
    longest = max(
        (ops for ops in uses.values() if _one_after_another(trace, ops)), key=len, default=[]
    )
    if len(longest) < FEWEST:
        return None
    pairs = tuple((longest[k - 1].id, longest[k].id) for k in range(1, len(longest) - 1))
    name = longest[0].name
    return Depth(f"use of {name}", pairs, tuple(range(1, len(pairs) + 1)), len(longest))


def _one_after_another(trace: Trace, ops: list[TracedOp]) -> bool:
    """Whether gradient goes from each use to the one before it."""
    return len(ops) >= FEWEST and all(
        _leads(trace, upper, lower.id) for lower, upper in pairwise(ops)
    )


def _leads(trace: Trace, upper: TracedOp, lower: int) -> bool:
    waiting, seen = [upper], set()
    while waiting:
        for edge in waiting.pop().edges:
            if edge.source == lower:
                return True
            if edge.source > lower and edge.source not in seen:
                seen.add(edge.source)
                waiting.append(trace.ops[edge.source])
    return False
