"""Which positions of a sequence a gradient reaches: read from it while it is there."""

import torch
from torch import Tensor

_SAMPLES = 4  # that are looked at
_NOTHING = 1e-12  # of the mean square at the position with most: 10^-6 in RMS


def reached(gradient: Tensor) -> Tensor:
    """Share of positions with more than a millionth of the RMS of the one with most. / gradient:
    [samples, positions, features]."""
    with torch.no_grad():
        each = gradient[:_SAMPLES].double().square().mean((0, -1))
        return (each > _NOTHING * each.max()).double().mean()
