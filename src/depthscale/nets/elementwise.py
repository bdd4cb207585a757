"""The activations as torch operations, forward and backward."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Elementwise(NamedTuple):
    """phi: z -> phi(z); backward: (gradient at phi(z), z) -> gradient at z."""

    phi: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


TORCH = {
    "linear": Elementwise(lambda z: z, lambda gradient, z: gradient),
    "relu": Elementwise(torch.relu, lambda gradient, z: torch.ops.aten.threshold_backward(gradient, z, 0)),
}
