"""Seen: one measurement of several networks of one kind."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthscale.nets.scaled import Scaled
from depthscale.sketch import Sketch

Measured = Literal["activation", "gradient", "batch_variance", "edge"]


class Seen(NamedTuple):
    """One number of one operation for each of some seeds, with what it was read from.

    Attributes:
        seeds: their numbers.
        quantity: what was measured: at an operation's output x, of dE/dx, of x over the batch, or
            of what goes down an edge.
        net: position among the networks run together.
        op: position in the graph of the network; of an edge, its number.
        layer: that the operation belongs to.
        log2_ms: [seeds] log2 of the mean square (of the variance).
        values: the tensors.
        sketch: their distribution over all seeds, at places of depth and of what activations
            receive.
    """

    seeds: Sequence[int]
    quantity: Measured
    net: int
    op: int
    layer: int
    log2_ms: NDArray[np.float64]
    values: Scaled | None = None
    sketch: Sketch | None = None


See = Callable[[Seen], object]
