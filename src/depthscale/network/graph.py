"""Graph: what a network computes, as operations and the edges between them.

Theory walks a Graph and measurement fills one, so neither knows where it came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from depthscale.network.operations import Operation


@dataclass(frozen=True)
class Op:
    """One operation of a graph. / inputs: positions of the operations whose outputs it reads;
    layer: depth it belongs to."""

    name: str
    what: Operation
    inputs: tuple[int, ...]
    layer: int


@dataclass(frozen=True)
class Graph:
    """Operations in the order in which they run; the last of each layer gives that layer's output.
    / samples: in a batch."""

    ops: tuple[Op, ...]
    samples: float = inf

    def layers(self) -> Iterator[tuple[int, ...]]:
        """Positions of the operations of layer 0 (the input), 1, 2, ... in turn."""
        start = 0
        for i, op in enumerate(self.ops):
            if op.layer != self.ops[start].layer:
                yield tuple(range(start, i))
                start = i
        yield tuple(range(start, len(self.ops)))
