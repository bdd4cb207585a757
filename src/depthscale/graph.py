"""Graph: what a network computes, as operations and the edges between them.

Theory walks a Graph and measurement fills one, so neither knows where it came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

NormKind = Literal["batch"]
Statistics = Literal["batch", "frozen"]


@dataclass(frozen=True)
class Input:
    """Independent samples with independent, centred entries. / variance: of each entry."""

    variance: float


@dataclass(frozen=True)
class Linear:
    """y = W x + b with independent, centred weights. / sigma_w2: fan_in times the weights' variance; sigma_b2: the biases'."""

    fan_in: int
    fan_out: int
    sigma_w2: float
    sigma_b2: float
    weights: str


@dataclass(frozen=True)
class Norm:
    """z = gamma (y - mean) / sqrt(variance + eps) + beta. / batch: samples that the statistics are over (inf: their limit).

    statistics: "frozen" ones take part in the forward pass alone: no gradient flows through mean and variance.
    """

    kind: NormKind
    batch: float
    eps: float
    gamma: float
    beta: float
    statistics: Statistics


@dataclass(frozen=True)
class Elementwise:
    """x = phi(z). / activation: a name in the table of activations."""

    activation: str


Operation = Input | Linear | Norm | Elementwise


@dataclass(frozen=True)
class Op:
    """One operation of a graph. / inputs: positions of the operations whose outputs it reads; layer: depth it belongs to."""

    name: str
    what: Operation
    inputs: tuple[int, ...]
    layer: int


@dataclass(frozen=True)
class Graph:
    """Operations in the order in which they run. / samples: size of the batch."""

    ops: tuple[Op, ...]
    samples: float

    def layers(self) -> Iterator[tuple[Op, ...]]:
        """The operations of layer 0 (the input), 1, 2, ... in turn."""
        start = 0
        for i, op in enumerate(self.ops):
            if op.layer != self.ops[start].layer:
                yield self.ops[start:i]
                start = i
        yield self.ops[start:]
