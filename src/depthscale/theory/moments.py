"""Moments of an activation over the values of one neuron for two samples; a layer's factors follow from them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import acos, pi, sqrt

from depthscale.errors import NoTheory


@dataclass(frozen=True, slots=True)
class Moments:
    """Expectations over z1, z2 of unit variance, for phi with phi(s z) = s phi(z).

    square, product: E phi(z1)^2, E phi(z1) phi(z2); slope_square, slope_product: the same of phi';
    z_slope_square, z_slope_product: the same of z phi'(z).
    """

    square: float
    product: float
    slope_square: float
    slope_product: float
    z_slope_square: float
    z_slope_product: float


def arc_cosine_1(c: float) -> float:
    """J(c) = 2 E relu(z1) relu(z2) at correlation c; J(1) = 1. / source: Cho & Saul 2009, arc-cosine kernel, n = 1."""
    return (sqrt(1 - c * c) + (pi - acos(c)) * c) / pi


def arc_cosine_0(c: float) -> float:
    """J'(c) = 2 P(z1 > 0, z2 > 0); J'(1) = 1. / source: as `arc_cosine_1`, with n = 0."""
    return 1 - acos(c) / pi


@cache
def moments(activation: str, c: float) -> Moments:
    """Moments at correlation c. For these activations the Gaussian law and the sphere's agree: both know only the angle.

    error: rounding. / raises: NoTheory for an activation without closed form.
    """
    try:
        return _CLOSED_FORMS[activation](c)
    except KeyError:
        raise NoTheory(f"no closed form for activation {activation!r}; there is one for {', '.join(_CLOSED_FORMS)}") from None


def _linear(c: float) -> Moments:
    return Moments(1.0, c, 1.0, 1.0, 1.0, c)


def _relu(c: float) -> Moments:
    j1, j0 = arc_cosine_1(c), arc_cosine_0(c)
    return Moments(0.5, j1 / 2, 0.5, j0 / 2, 0.5, j1 / 2)


_CLOSED_FORMS: dict[str, Callable[[float], Moments]] = {"linear": _linear, "relu": _relu}
