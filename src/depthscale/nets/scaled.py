"""Scaled: tensors of several networks, each over a power of two of its own, beyond float32's
range."""

from dataclasses import dataclass
from functools import cached_property
from math import log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthscale.nets.stacked import batch_moments, log2_mean_squares
from depthscale.sketch import Sketch

_RESCALE_BEYOND = 24.0  # |log2 rms| past which a tensor is divided by a power of two


@dataclass
class Scaled:
    """The numbers v 2^k, exact, since k is a whole number. / tensor: [networks, batch, width] v;
    power: [networks] k."""

    tensor: Tensor
    power: NDArray[np.int64]

    @classmethod
    def of(cls, tensor: Tensor) -> "Scaled":
        """Numbers as they are, in float32: over a power of two where that type is strained."""
        largest = tensor.abs().amax((1, 2)).tolist()
        power = np.array([power_of(each) for each in largest])
        return cls(_times_power(tensor, -power).float().contiguous(), power)

    def plain(self) -> "Scaled":
        """The numbers themselves; infinite or 0 where float32 does not hold them."""
        if not self.power.any():
            return self
        return Scaled(_times_power(self.tensor, self.power), np.zeros_like(self.power))

    def recentred(self, log2_ms: NDArray[np.float64]) -> "Scaled":
        """The same numbers with an rms near 1 where theirs is far from it. / log2_ms: [networks] of
        their mean squares."""
        away = log2_ms / 2 - self.power
        if all(abs(each) <= _RESCALE_BEYOND for each in away.tolist()):
            return self
        away[~np.isfinite(away) | (np.abs(away) <= _RESCALE_BEYOND)] = 0
        moved = np.rint(away).astype(np.int64)
        return Scaled(_times_power(self.tensor, -moved), self.power + moved)

    def __add__(self, other: "Scaled") -> "Scaled":
        if (self.power == other.power).all():
            return Scaled(self.tensor + other.tensor, self.power)
        top = np.maximum(self.power, other.power)
        a, b = (_times_power(each.tensor, each.power - top) for each in (self, other))
        return Scaled(a + b, top)

    def __mul__(self, factor: float) -> "Scaled":
        return self if factor == 1 else Scaled(self.tensor * factor, self.power)

    def log2_mean_square(self) -> NDArray[np.float64]:
        """[networks] log2 of the mean square."""
        return log2_mean_squares(self.tensor.numpy(), self.power)

    @cached_property
    def over_batch(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
        """[networks, 1, width] mean and variance of v over the batch; [networks] log2 of the mean
        over neurons of the numbers' variance."""
        return batch_moments(self.tensor.numpy(), self.power)

    def sketch(self) -> Sketch:
        """The distribution over all networks."""
        powers = set(self.power.tolist())
        if len(powers) == 1:
            return Sketch.of(self.tensor, *powers)
        return sum((Sketch.of(self.tensor[self.power == k], k) for k in sorted(powers)), Sketch())


def power_of(rms: float) -> int:
    """The power of two to take out of numbers of that size: 0 unless float32 is strained."""
    size = log2(rms) if rms else 0.0
    return round(size) if abs(size) > _RESCALE_BEYOND else 0


def _times_power(tensor: Tensor, power: NDArray[np.int64]) -> Tensor:
    return tensor * torch.from_numpy(np.exp2(power * 1.0)).to(tensor.dtype)[:, None, None]
