"""Spans of operations that people read as one: a model's blocks, and what lies before, between and
behind them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from depthscale.run.depth import FEWEST, Depth
from depthscale.run.find_depth import depth_of
from depthscale.run.reading import Reading
from depthscale.run.run import Run

_FEWEST_OPS = 2  # of a block in the mean: a module of one operation is no block
_LOSS = "loss"  # the module that a loss beside the model runs in
_COVERS = 0.8  # of the operations that the class which covers most does: as good as that one


@dataclass(frozen=True)
class BlockSpan:
    """Consecutive operations under one name.

    Attributes:
        name: path of the block, or of its first and last operation.
        part: the tower that it lies in: what holds the blocks beside it; "" of what is no block.
        kind: class of the block, or what a step is; "" of what is no block.
        ops: in the order of running.
    """

    name: str
    part: str
    kind: str
    ops: tuple[Reading, ...]


def spans_of(run: Run) -> tuple[BlockSpan, ...]:
    """Every operation of a run in one span: layers of a description; of a model its blocks, else
    its steps of depth, else each linear map with what follows it."""
    if run.graph.is_described:
        return tuple(_layers(run))
    if blocks := _blocks(run):
        above = {path for block in blocks for path in _ancestors(block.name)} | {""}
        return tuple(_with_rest(run, blocks, above))
    return tuple(_with_rest(run, _steps(run, depth_of(run)), set()))


def _layers(run: Run) -> Iterator[BlockSpan]:
    start = 0
    for layer, place in enumerate(run.graph.places):
        kind = "layer" if layer else ""
        yield BlockSpan(
            f"layer {layer}" if layer else "input", "", kind, run.ops[start : place + 1]
        )
        start = place + 1


# ---- modules that repeat


def _blocks(run: Run) -> list[BlockSpan]:
    """The calls of the class of modules that covers the depth best: with a sum of branch and trunk
    inside, where there are such, and of these the innermost."""
    found = [spans for spans in _candidates(run) if len(spans) >= FEWEST]
    if not found:
        return []
    joined = [spans for spans in found if _mostly_join(spans)]
    most = max(map(_covered, found))
    good = [s for s in joined if _covered(s) >= _COVERS * most] or [
        spans for spans in found if _covered(spans) >= _COVERS * most
    ]
    return max(good, key=len)


def _candidates(run: Run) -> Iterator[list[BlockSpan]]:
    """Of each class of modules, and each depth at which it lies in itself, its calls."""
    paths: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    classes = {module.path: module.module_class for module in run.graph.modules}
    for path, name in classes.items():
        if path:
            above = sum(classes.get(each) == name for each in _ancestors(path))
            paths[name, above][path] = name
    inside: dict[str, list[Reading]] = defaultdict(list)
    for op in run.ops:
        for path in (op.module, *_ancestors(op.module)):
            inside[path].append(op)
    for named in paths.values():
        spans = [s for path, kind in named.items() for s in _calls(path, kind, inside[path])]
        if sum(len(span.ops) for span in spans) >= _FEWEST_OPS * len(spans) > 0:
            yield sorted(spans, key=lambda span: span.ops[0].id)


def _ancestors(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _calls(path: str, kind: str, ops: Sequence[Reading]) -> Iterator[BlockSpan]:
    """One span a call of a module; none where other operations ran in between."""
    part, _, last = path.rpartition(".")
    part = part if last.isdecimal() else path
    starts = _starts(path, ops)
    for k, (begin, end) in enumerate(zip(starts, [*starts[1:], float("inf")], strict=True)):
        called = tuple(op for op in ops if begin <= op.call < end)
        if called and called[-1].id - called[0].id == len(called) - 1:
            yield BlockSpan(path if not k else f"{path}#{k + 1}", part, kind, called)


def _starts(path: str, ops: Sequence[Reading]) -> list[float]:
    """Numbers of the module's own calls, or of those of the module in it that was called least."""
    calls: dict[str, set[int]] = defaultdict(set)
    for op in ops:
        calls[op.module].add(op.call)
    found = calls.get(path) or min(calls.values(), key=len, default=set())
    return [-1.0, *map(float, sorted(found)[1:])]


def _covered(spans: Iterable[BlockSpan]) -> int:
    return sum(len(span.ops) for span in spans)


def _mostly_join(spans: Sequence[BlockSpan]) -> bool:
    joining = sum(any(op.joins for op in span.ops) for span in spans)
    return 2 * joining > len(spans)


# ---- where no module repeats


def _steps(run: Run, depth: Depth | None) -> list[BlockSpan]:
    """Steps of depth, the repetitions at both ends included where they run the same operations."""
    if depth is None:
        return []
    ends = sorted({op for pair in depth.pairs for op in pair} | set(depth.last or ()))
    kinds = [op.op for op in run.ops]
    size = ends[1] - ends[0]
    if ends[0] >= size - 1 and _same(kinds, ends[0] + 1 - size, ends[0] + 1, size):
        ends = [ends[0] - size, *ends]
    if _same(kinds, ends[-1] + 1, ends[-1] + 1 - size, size):
        ends = [*ends, ends[-1] + size]
    bounds = pairwise(ends)
    return [_named(run.ops[low + 1 : top + 1], kind=depth.word) for low, top in bounds]


def _same(kinds: Sequence[str], one: int, other: int, size: int) -> bool:
    return kinds[one : one + size] == kinds[other : other + size]


# ---- the rest


def _with_rest(run: Run, blocks: Sequence[BlockSpan], above: set[str]) -> Iterator[BlockSpan]:
    """Blocks with what lies between them: what holds no linear map joins the block beside it.

    above: modules that hold blocks.
    """
    start, before = 0, None
    for block in [*blocks, None]:
        rest = run.ops[start : block.ops[0].id if block else None]
        start = block.ops[-1].id + 1 if block else start
        if before is not None:
            own = _following(rest, before, block)
            before, rest = _joined(before, before.ops + rest[:own]), rest[own:]
            yield before
        if block is not None:
            own = _leading(rest, above, before is not None and before.part == block.part)
            before = _joined(block, rest[len(rest) - own :] + block.ops)
            rest = rest[: len(rest) - own]
        yield from _pieces(rest, above)


def _joined(span: BlockSpan, ops: tuple[Reading, ...]) -> BlockSpan:
    return BlockSpan(span.name, span.part, span.kind, ops)


def _following(rest: tuple[Reading, ...], before: BlockSpan, block: BlockSpan | None) -> int:
    """How many of these belong to the block before: its activation; up to the next block beside it
    all that read nothing else."""
    if block is not None and block.part == before.part and not any(map(_begins, rest)):
        own = [all(i >= before.ops[0].id for i in op.reads) for op in rest]
        return [*own, False].index(False)
    return int(bool(rest) and rest[0].phi is not None)


def _leading(rest: tuple[Reading, ...], above: Iterable[str], beside: bool) -> int:
    """How many of the last of these belong to the block behind: what joins several things for it,
    and all that is left between two blocks side by side."""
    if beside and not any(map(_begins, rest)):
        return len(rest)
    own = 0
    while own < len(rest) and (op := rest[-1 - own]).module in above and len(op.reads) > 1:
        own += 1
    return own


def _begins(op: Reading) -> bool:
    """Whether it is a map with weights of its own, a table or an input."""
    weights = any("weight" in name and len(shape) > 1 for name, shape, _ in op.weights)
    return op.is_input or op.is_embedding or op.map is not None or (weights and op.norm is None)


def _pieces(ops: Sequence[Reading], above: Iterable[str]) -> Iterator[BlockSpan]:
    """What stands beside the blocks, one a module; where there are no blocks each linear map; and
    the loss. What has no map joins what it follows."""
    piece: list[Reading] = []
    for op in ops:
        if piece and _apart(op, piece[-1], above):
            yield _named(tuple(piece), above)
            piece = []
        piece.append(op)
    if piece:
        yield _named(tuple(piece), above)


def _apart(op: Reading, before: Reading, above: Iterable[str]) -> bool:
    if before.is_input or (op.module == _LOSS) != (before.module == _LOSS):
        return True
    one = _beside(op.module, above)
    return _begins(op) and (not one or one != _beside(before.module, above))


def _beside(path: str, above: Iterable[str]) -> str:
    """The outermost module on a path that holds no block; "" where every one does."""
    if not above:
        return ""
    return next((p for p in (*reversed([*_ancestors(path)]), path) if p and p not in above), "")


def _named(ops: tuple[Reading, ...], above: Iterable[str] = (), kind: str = "") -> BlockSpan:
    """By the modules that hold its operations, or by the first of these and the last."""
    held = dict.fromkeys(filter(None, (_beside(op.module, above) for op in ops)))
    first, *_, last = [*held, *held] or [ops[0].name, ops[-1].name]
    name = first if first == last else f"{first} to {last[len(_common(first, last)) :]}"
    return BlockSpan(name, "", kind, ops)


def _common(first: str, last: str) -> str:
    """What both paths begin with, a stop included."""
    k = 0
    for one, other in zip(first.split(".")[:-1], last.split(".")[:-1], strict=False):
        if one != other:
            break
        k += len(one) + 1
    return first[:k]
