"""The activations: phi, its derivative and its kinks, in one table, as functions of numpy arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import InvalidSpec

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Activation:
    """phi, derivative: elementwise functions of float64 arrays; the derivative at a kink is torch's.

    kinks: points at which phi or its derivative is not smooth, ascending.
    homogeneous: whether phi(s x) = s phi(x) for every s > 0.
    """

    name: str
    phi: Function
    derivative: Function
    kinks: tuple[float, ...] = ()
    homogeneous: bool = False


ACTIVATIONS = {
    a.name: a
    for a in (
        Activation("linear", lambda x: x, np.ones_like, homogeneous=True),
        Activation("relu", lambda x: np.maximum(x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0), (0.0,), homogeneous=True),
    )
}


def activation(name: str) -> Activation:
    """The activation of that name. / raises: InvalidSpec, listing the names there are."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise InvalidSpec(f"unknown activation {name!r}; choose one of {', '.join(sorted(ACTIVATIONS))}") from None
