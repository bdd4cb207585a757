"""Seen: one measurement of one network."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from depthscale.sketch import Sketch

Measured = Literal["activation", "gradient", "batch_variance", "edge"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One number of one operation, with what it was read from.

    Attributes:
        quantity: what was measured: at an operation's output x, of dE/dx, of x over the batch, or
            of what goes down an edge.
        net: position among the networks run together.
        op: position in the graph of the network; of an edge, its number.
        layer: that the operation belongs to.
        log2_ms: log2 of the mean square (of the variance).
        values: [batch, width] v of v 2^scale, not to be kept: it is overwritten later.
        sketch: its distribution, scale included, at places of depth and of what activations
            receive.
    """

    quantity: Measured
    net: int
    op: int
    layer: int
    log2_ms: float
    values: Tensor | None = None
    sketch: Sketch | None = None
