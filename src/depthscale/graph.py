"""Graph: what a network computes, as operations and the edges between them.

Theory walks a Graph and measurement fills one, so neither knows where it came from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

NormKind = Literal["batch", "layer", "rms", "group", "instance"]
Statistics = Literal["batch", "frozen", "running"]


@dataclass(frozen=True)
class Input:
    """Samples with independent, centred Gaussian entries. / variance: of each entry; correlation:
    between any two samples.

    size: of an image or a sequence; () for a vector. near: correlation of two of its positions,
    None: as of two samples.
    """

    variance: float
    correlation: float = 0.0
    size: tuple[int, ...] = ()
    near: float | None = None


@dataclass(frozen=True)
class Embedding:
    """A drawn vector for each token of a sequence. / variance: of an entry; vocabulary: tokens, of
    which each is as likely."""

    variance: float
    vocabulary: float
    size: tuple[int, ...] = ()


@dataclass(frozen=True)
class Linear:
    """y = W x + b with independent, centred weights. / sigma_w2: fan_in times the weights'
    variance; sigma_b2: the biases'.

    rows: of W: "free" as drawn; "unit" each scaled to norm sqrt(sigma_w2) (weight norm);
    "standardized" moreover to mean 0 (weight standardization), so that y does not see the mean over
    x's entries.
    """

    fan_in: int
    fan_out: int
    sigma_w2: float
    sigma_b2: float
    weights: str = "gaussian"
    rows: Literal["free", "unit", "standardized"] = "free"


@dataclass(frozen=True)
class Window:
    """A window that slides over an image or a sequence. / size: of that; kernel, stride, padding,
    dilation: one for each axis."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
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


@dataclass(frozen=True)
class Conv:
    """A convolution with independent, centred weights. / sigma_w2: fan_in times the weights'
    variance; sigma_b2: the biases'.

    rows: as of Linear, a row being the weights of one output channel.
    """

    channels_in: int
    channels_out: int
    window: Window
    sigma_w2: float
    sigma_b2: float = 0.0
    groups: int = 1
    weights: str = "gaussian"
    rows: Literal["free", "unit", "standardized"] = "free"

    @property
    def fan_in(self) -> int:
        return self.channels_in * self.window.taps // self.groups

    @property
    def fan_out(self) -> int:
        return self.channels_out * self.window.taps // self.groups


@dataclass(frozen=True)
class Pool:
    """The mean ("average") or the largest ("max") of each window."""

    kind: Literal["average", "max"]
    window: Window


@dataclass(frozen=True)
class Flatten:
    """All positions of a sample as entries of one vector."""


@dataclass(frozen=True)
class Attention:
    """softmax(q k^T / sqrt(entries of a head)) v of its inputs q, k and v. / causal: each position
    looks at those up to itself."""

    heads: int = 1
    causal: bool = False


@dataclass(frozen=True)
class Part:
    """The first of the entries, or of the positions of a sequence. / share: of all that there
    are."""

    share: float
    of: Literal["entries", "positions"] = "entries"


@dataclass(frozen=True)
class Unknown:
    """An operation that no rule is for. / name: what it is called where it was met."""

    name: str


@dataclass(frozen=True)
class Norm:
    """z = (y - mean) / sqrt(variance + eps); "rms" takes no mean away. / size: values that the
    statistics are over.

    batch: over `size` points, the samples or, in an image, the samples' positions; layer, rms: over
    a sample's entries (size inf: many), rms also over groups of `size` of them; group: over `size`
    entries of a sample, positions included; instance: over the `size` positions of a sample.
    statistics: "frozen" ones take part in the forward pass alone; "running" ones are 0 and 1, as at
    initialization.
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
    """x = phi(z). / activation: a name in the table of activations, or an Activation of one's
    own."""

    activation: Any


@dataclass(frozen=True)
class Add:
    """stream + scale * branch, its two inputs in this order."""

    scale: float = 1.0


@dataclass(frozen=True)
class Dropout:
    """Each entry kept with probability `keep` and then divided by it, else 0."""

    keep: float


Operation = (
    Input
    | Embedding
    | Linear
    | Conv
    | Norm
    | Affine
    | Elementwise
    | Add
    | Dropout
    | Pool
    | Flatten
    | Attention
    | Unknown
    | Part
)


@dataclass(frozen=True)
class Op:
    """One operation of a graph. / inputs: positions of the operations whose outputs it reads;
    layer: depth it belongs to."""

    name: str
    what: Operation
    inputs: tuple[int, ...]
    layer: int


@dataclass(frozen=True)
class Graph:
    """Operations in the order in which they run; the last of each layer gives that layer's output.
    / samples: in a batch."""

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
