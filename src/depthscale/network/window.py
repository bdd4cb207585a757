"""Window: what slides over an image or a sequence, and what each of its places reads."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from depthscale.network.fields import Count, Positive


@dataclass(frozen=True)
class Window:
    """A window that slides over an image or a sequence. / size: of that; kernel, stride, padding,
    dilation: one for each axis."""

    size: tuple[Positive, ...]
    kernel: tuple[Positive, ...]
    stride: tuple[Positive, ...]
    padding: tuple[Count, ...]
    dilation: tuple[Positive, ...]
    circular: bool = False

    @classmethod
    def of(
        cls,
        size: tuple[int, ...],
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        circular: bool = False,
    ) -> "Window":
        """The same along every axis."""
        kernels, strides, paddings, dilations = (
            (n,) * len(size) for n in (kernel, stride, padding, 1)
        )
        return cls(size, kernels, strides, paddings, dilations, circular)

    @classmethod
    def whole(cls, size: tuple[int, ...]) -> "Window":
        """One window over everything."""
        return cls(size, size, size, (0,) * len(size), (1,) * len(size))

    @cached_property
    def size_out(self) -> tuple[int, ...]:
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def places_in(self) -> int:
        return prod(self.size)

    @property
    def places_out(self) -> int:
        return prod(self.size_out)

    @cached_property
    def inside(self) -> float:
        """Share of the taps, over all places of the window, that lie on the input and not on a
        padding of zeros."""
        return prod(float((axis >= 0).mean()) for axis in self.axes)

    @cached_property
    def unevenness(self) -> float:
        """Variance over the places of the window of how many taps lie inside, over the square of
        its mean."""
        counts = [(axis >= 0).sum(axis=1) for axis in self.axes]
        return prod(float((c * c).mean() / c.mean() ** 2) for c in counts) - 1

    @cached_property
    def covers(self) -> tuple[float, float]:
        """In how many places of the window an entry of the input lies: the mean over entries, and
        the mean of the square."""
        counts = [
            np.bincount(axis[axis >= 0], minlength=n)
            for axis, n in zip(self.axes, self.size, strict=True)
        ]
        return prod(float(c.mean()) for c in counts), prod(float((c * c).mean()) for c in counts)

    @cached_property
    def entries(self) -> NDArray[np.intp]:
        """Which entry of the input, in row-major order, each tap of each place reads. / returns:
        [taps, places_out], -1 outside."""
        found = np.zeros((1, 1), np.intp)
        for axis, n in zip(self.axes, self.size, strict=True):
            at = axis.T[None, :, None, :]
            joined = np.where(
                (found[:, None, :, None] < 0) | (at < 0), -1, found[:, None, :, None] * n + at
            )
            found = joined.reshape(found.shape[0] * at.shape[1], -1)
        return found

    @cached_property
    def axes(self) -> list[NDArray[np.intp]]:
        """Along each axis the entry that each place reads with each tap. / returns: [places, taps]
        each, -1 outside."""
        axes = zip(
            self.size,
            self.size_out,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            strict=True,
        )
        found = []
        for n, places, kernel, stride, padding, dilation in axes:
            at = np.arange(places)[:, None] * stride - padding + np.arange(kernel) * dilation
            found.append(at % n if self.circular else np.where((at >= 0) & (at < n), at, -1))
        return found
