"""Graph: what a network computes, as operations and the edges between them.

Theory walks a Graph and measurement fills one, so neither knows where it came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

NormKind = Literal["batch", "layer", "rms", "group"]
Statistics = Literal["batch", "frozen", "running"]


@dataclass(frozen=True)
class Input:
    """Independent samples with independent, centred Gaussian entries. / variance: of each entry."""

    variance: float


@dataclass(frozen=True)
class Linear:
    """y = W x + b with independent, centred weights. / sigma_w2: fan_in times the weights' variance; sigma_b2: the biases'.

    rows: of W: "free" as drawn; "unit" each scaled to norm sqrt(sigma_w2) (weight norm); "standardized" moreover to mean 0
    (weight standardization), so that y does not see the mean over x's entries.
    """

    fan_in: int
    fan_out: int
    sigma_w2: float
    sigma_b2: float
    weights: str = "gaussian"
    rows: Literal["free", "unit", "standardized"] = "free"


@dataclass(frozen=True)
class Norm:
    """z = (y - mean) / sqrt(variance + eps); "rms" takes no mean away. / size: values that the statistics are over.

    batch: over `size` samples; layer, rms: over a sample's entries (size inf: many); group: over `size` entries of a sample.
    statistics: "frozen" ones take part in the forward pass alone; "running" ones are 0 and 1, as at initialization.
    """

    kind: NormKind
    size: float
    eps: float = 0.0
    statistics: Statistics = "batch"


@dataclass(frozen=True)
class Affine:
    """gain x + shift."""

    gain: float
    shift: float


@dataclass(frozen=True)
class Elementwise:
    """x = phi(z). / activation: a name in the table of activations."""

    activation: str


@dataclass(frozen=True)
class Add:
    """stream + scale * branch, its two inputs in this order."""

    scale: float = 1.0


@dataclass(frozen=True)
class Dropout:
    """Each entry kept with probability `keep` and then divided by it, else 0."""

    keep: float


Operation = Input | Linear | Norm | Affine | Elementwise | Add | Dropout


@dataclass(frozen=True)
class Op:
    """One operation of a graph. / inputs: positions of the operations whose outputs it reads; layer: depth it belongs to."""

    name: str
    what: Operation
    inputs: tuple[int, ...]
    layer: int


@dataclass(frozen=True)
class Graph:
    """Operations in the order in which they run; the last of each layer gives that layer's output. / samples: in a batch."""

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
