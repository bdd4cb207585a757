"""Seen: one measurement of one network."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from depthscale.sketch import Sketch

Measured = Literal["activation", "preactivation", "preactivation_batch_variance", "gradient"]


@dataclass(frozen=True, slots=True)
class Seen:
    """net: position among the networks run together; log2_ms: log2 of the mean square (of the
    variance).

    values: [batch, width] v of v 2^scale, not to be kept: it is overwritten later; sketch: its
    distribution, scale included. A preactivation is what the activation receives, after the norm.
    """

    quantity: Measured
    net: int
    layer: int
    log2_ms: float
    values: Tensor | None = None
    sketch: Sketch | None = None
