"""Which positions of a sequence a gradient reaches: read from it while it is there."""

import torch
from torch import Tensor

_SAMPLES, _FEATURES = 4, 64  # that are looked at
_NOTHING = 1e-6  # of the largest value at the position with most


def reached(gradient: Tensor) -> Tensor:
    """Share of positions with more than a millionth of what the one with most has. / gradient:
    [samples, positions, features]."""
    with torch.no_grad():
        step = max(1, gradient.shape[2] // _FEATURES)
        largest = gradient[:_SAMPLES, :, ::step].abs().amax((0, 2))
        return (largest > _NOTHING * largest.max()).float().mean()
