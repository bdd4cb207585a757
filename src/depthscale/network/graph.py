"""Graph: what a network computes, as operations and the edges between them.

Theory walks a Graph and measurement fills one, so neither knows where it came from.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod
from typing import Any

from depthscale.network.fields import Amount, Count
from depthscale.network.meaning import Meaning
from depthscale.network.operations import (
    Conv,
    Elementwise,
    Embedding,
    Input,
    Linear,
    Norm,
    Operation,
    Pad,
    Part,
    Pool,
    Repeat,
    Unknown,
)

_NO_MEANING = Meaning()


@dataclass(frozen=True)
class RecordedCall:
    """What a recorded operation was: one call of a function, or several of one custom function.

    Attributes:
        op: the function's label, as "linear"; "input" for a model's floating inputs.
        module, module_class: the innermost module that it ran in, and that one's class.
        call: which call of that module it was, counted over the run.
        shape, dtype: of the first output.
        size: elements of all outputs.
        paths: operations to which it sends gradient, one for each edge.
        consumers: edges by which gradient comes in, of any operation, seen or not.
        nodes: autograd nodes inside.
        settings: of the function, as far as theory asks for them.
        weights: of each parameter-side tensor that went in: name or "", shape, mean square.
        meaning: what it is, as operations.
    """

    op: str
    module: str
    module_class: str
    call: Count
    shape: tuple[Count, ...]
    dtype: str
    size: Count
    paths: tuple[Count, ...] = ()
    consumers: Count = 0
    nodes: Count = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[tuple[str, tuple[Count, ...], Amount], ...] = ()
    meaning: Meaning = _NO_MEANING


@dataclass(frozen=True)
class Op:
    """One operation of a graph.

    Attributes:
        name: its own in the graph; of a recorded one the path of its module and its label.
        what: what it computes.
        inputs: positions of the operations whose outputs it reads.
        layer: the layer of a description that it belongs to; -1 where there is none.
        call: of a recorded operation the call that it was.
    """

    name: str
    what: Operation
    inputs: tuple[Count, ...]
    layer: int = -1
    call: RecordedCall | None = None

    @property
    def meaning(self) -> Meaning:
        """What it is, as operations, and what those read."""
        return Meaning((self.what,), self.inputs) if self.call is None else self.call.meaning

    @property
    def paths(self) -> tuple[int, ...]:
        """Operations to which it sends gradient, one for each edge."""
        return self.inputs if self.call is None else self.call.paths


@dataclass(frozen=True)
class Submodule:
    """A module of the model: its class, and a word for its structure that equal ones share."""

    path: str
    module_class: str
    structure: str
    training: bool


@dataclass(frozen=True)
class Graph:
    """Operations in the order in which they run.

    Attributes:
        ops: of a description, the last of each layer gives that layer's output.
        samples: in a batch.
        outputs: positions where the loss's gradient begins; () for the last operation.
        modules: of the model that ran; () for a description.
    """

    ops: tuple[Op, ...]
    samples: Amount = inf
    outputs: tuple[Count, ...] = ()
    inputs: tuple[Count, ...] = ()
    modules: tuple[Submodule, ...] = ()

    def layers(self) -> Iterator[tuple[int, ...]]:
        """Positions of the operations of layer 0 (the input), 1, 2, ... in turn."""
        start = 0
        for i, op in enumerate(self.ops):
            if op.layer != self.ops[start].layer:
                yield tuple(range(start, i))
                start = i
        yield tuple(range(start, len(self.ops)))

    @property
    def is_described(self) -> bool:
        """Whether its operations belong to the layers of a description."""
        return self.ops[0].layer == 0

    @cached_property
    def sinks(self) -> tuple[int, ...]:
        """Operations where the loss's gradient begins."""
        return self.outputs or (len(self.ops) - 1,)

    @cached_property
    def sources(self) -> tuple[int, ...]:
        """Operations where gradients end: inputs, embeddings."""
        given = (i for i, op in enumerate(self.ops) if isinstance(op.what, Input))
        return self.inputs or tuple(given)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The places of depth, from the input to the output: the output of each layer, or what
        every gradient path crosses."""
        if self.is_described:
            return tuple(layer[-1] for layer in self.layers())
        return self.dominators[::-1]

    @cached_property
    def dominators(self) -> tuple[int, ...]:
        """Operations that every gradient path crosses, from the outputs to the inputs."""
        return dominators_between(self, self.sinks, self.sources)

    @cached_property
    def layer_maps(self) -> tuple[int | None, ...]:
        """The first linear map of each layer, None where there is none; () without layers."""
        return tuple(self._first(layer, Linear) for layer in self._layers)

    @cached_property
    def layer_receivers(self) -> tuple[int | None, ...]:
        """What the first activation of each layer reads, None where there is none."""
        first = (self._first(layer, Elementwise) for layer in self._layers)
        return tuple(None if i is None else self.ops[i].inputs[0] for i in first)

    @property
    def _layers(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self.layers()) if self.is_described else ()

    def _first(self, layer: tuple[int, ...], kind: type) -> int | None:
        return next((i for i in layer if isinstance(self.ops[i].what, kind)), None)

    @cached_property
    def first_edges(self) -> tuple[int, ...]:
        """For each operation the number of its first edge, edges being counted in the order of
        operations; at last the number of all."""
        firsts = [0]
        for op in self.ops:
            firsts.append(firsts[-1] + len(op.paths))
        return tuple(firsts)

    @cached_property
    def consumers(self) -> tuple[int, ...]:
        """For each operation the edges by which gradient comes in, seen or not; a cotangent counts
        as one."""
        counts = [0] * len(self.ops)
        for source in self.sinks:
            counts[source] += 1
        for op in self.ops:
            for source in op.paths:
                counts[source] += 1
        recorded = (op.call.consumers if op.call is not None else None for op in self.ops)
        return tuple(n if own is None else own for n, own in zip(counts, recorded, strict=True))

    @cached_property
    def entries(self) -> tuple[int, ...]:
        """Elements of each operation's output; of a description, for one sample."""
        sizes: list[int] = []
        for i, op in enumerate(self.ops):
            sizes.append(op.call.size if op.call is not None else _entries(self, i, sizes))
        return tuple(sizes)


def _entries(graph: Graph, i: int, sizes: list[int]) -> int:
    match graph.ops[i].what:
        case Input() | Embedding():
            return _entries_read(graph, i)
        case Linear(fan_in=fan_in, fan_out=fan_out):
            return sizes[graph.ops[i].inputs[0]] // fan_in * fan_out
        case Conv(channels_out=channels, window=window):
            return channels * window.places_out
        case Pool(window=window):
            return sizes[graph.ops[i].inputs[0]] // window.places_in * window.places_out
        case Part(share=share):
            return round(sizes[graph.ops[i].inputs[0]] * share)
        case Pad() as pad:
            return sizes[graph.ops[i].inputs[0]] // prod(pad.size) * prod(pad.size_out)
        case Repeat(times=times):
            return sizes[graph.ops[i].inputs[0]] * times
    return sizes[graph.ops[i].inputs[0]] if graph.ops[i].inputs else 1


def _entries_read(graph: Graph, i: int) -> int:
    """Entries of an input: as many as the first map that reads it takes."""
    given = graph.ops[i].what
    positions = prod(getattr(given, "size", ()))
    readers = (op.what for op in graph.ops[i + 1 :] if isinstance(op.what, Linear | Conv))
    match next(readers, None):
        case Linear(fan_in=fan_in):
            return fan_in * positions if fan_in % positions or positions == 1 else fan_in
        case Conv(channels_in=channels, window=window):
            return channels * window.places_in
    return positions


def label(what: Operation) -> str:
    """What a described operation is called where a recorded one has its function's label."""
    match what:
        case Norm(kind=kind):
            return f"{kind}_norm"
        case Elementwise(activation=phi):
            return phi if isinstance(phi, str) else phi.name
        case Unknown(name=name):
            return name
    return type(what).__name__.lower()


def dominators_between(
    graph: Graph, tops: Collection[int], bottoms: Collection[int]
) -> tuple[int, ...]:
    """Operations that every path of the gradient from some operations down to some others crosses,
    in that order.

    Source: Cooper, Harvey and Kennedy 2001, "A Simple, Fast Dominance Algorithm".
    """
    readers: dict[int, list[int]] = defaultdict(list)
    for i, op in enumerate(graph.ops):
        for source in op.paths:
            readers[source].append(i)
    above: dict[int, int] = {}  # immediate dominator; -1 is the virtual start over all tops
    depth: dict[int, int] = {-1: 0}
    live = _leading_to(bottoms, graph)

    def meet(a: int, b: int) -> int:
        while a != b:
            if depth[a] < depth[b]:
                a, b = b, a
            a = above[a]
        return a

    for i in range(len(graph.ops) - 1, -1, -1):
        over = [reader for reader in readers[i] if reader in depth]
        over += [-1] if i in tops else []
        if i not in live or not over:
            continue
        dominator = over[0]
        for other in over[1:]:
            dominator = meet(dominator, other)
        above[i], depth[i] = dominator, depth[dominator] + 1
    ends = [op for op in bottoms if op in above]
    if not ends:
        return ()
    here = ends[0]
    for other in ends[1:]:
        here = meet(here, other)
    chain = []
    while here != -1:
        chain.append(here)
        here = above[here]
    return tuple(chain[::-1])


def _leading_to(sources: Collection[int], graph: Graph) -> set[int]:
    live = set(sources)
    for i, op in enumerate(graph.ops):
        if any(source in live for source in op.paths):
            live.add(i)
    return live
