"""Meaning: what a recorded call of torch is, as operations; and what must be known of the call."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from typing import Any, Protocol

from depthscale.network.activations import Activation, activation
from depthscale.network.operations import Affine, Conv, Elementwise, Linear, Norm, Operation

Shape = tuple[int, ...]
CASTS = ("to", "float", "half", "bfloat16", "double", "type_as")  # to a number type


class Values(Protocol):
    """What is counted of an output."""

    @property
    def count(self) -> int: ...
    @property
    def zeros(self) -> int: ...
    def mean_square(self) -> float: ...
    def min_magnitude(self) -> float: ...
    def max_magnitude(self) -> float: ...


class Similarity(Protocol):
    @property
    def samples(self) -> float: ...
    @property
    def positions(self) -> float: ...


class Call(Protocol):
    """A recorded call. / op: the function; reads: numbers of the calls whose outputs went in;
    weights: of the other tensors that did, (name, shape, mean square); shape: of its first output;
    size: elements of all of them."""

    @property
    def op(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def size(self) -> int: ...
    @property
    def reads(self) -> tuple[int, ...]: ...
    @property
    def weights(self) -> tuple[tuple[str, Shape, float], ...]: ...
    @property
    def activation(self) -> Values | None: ...
    @property
    def likeness(self) -> Similarity | None: ...


@dataclass(frozen=True)
class Meaning:
    """What one call is.

    what: operations, in order; an Unknown stands for what no rule is for.
    reads: numbers of the calls whose outputs they take; of a norm or an activation that a model
    writes out in several calls, whose last call has this meaning, what the first of them took.
    part_of: number of the last call, of the others.
    """

    what: tuple[Operation, ...] = ()
    reads: tuple[int, ...] = ()
    part_of: int | None = None

    def _first(self, kind: Any) -> Any:
        if self.part_of is not None:
            return None
        return next((each for each in self.what if isinstance(each, kind)), None)

    @cached_property
    def map(self) -> Linear | Conv | None:
        """The linear map or convolution that it is."""
        return self._first(Linear | Conv)

    @cached_property
    def norm(self) -> Norm | None:
        """The norm that it is, whether or not all of its statistics and its gain are known."""
        return self._first(Norm)

    @cached_property
    def phi(self) -> Activation | None:
        """The activation that it is."""
        elementwise = self._first(Elementwise)
        return None if elementwise is None else activation(elementwise.activation)


@dataclass(frozen=True)
class WrittenOut:
    """What several calls are together. / meaning: of the last call; inside: numbers of the
    others."""

    meaning: Meaning
    inside: frozenset[int]


def scale_of(mean_square: float) -> list[Operation]:
    """A gain that is known by its mean square; nothing for 1, but for the rounding of a float32
    that was squared."""
    is_one = isclose(mean_square, 1.0, rel_tol=1e-5)
    return [] if is_one else [Affine(mean_square**0.5, 0.0)]
