"""Moments: what is known in closed form of an activation under a Gaussian."""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial, pi

import numpy as np
from numpy.typing import ArrayLike

from depthscale.numerics.values import Array


@dataclass(frozen=True)
class Moments:
    """Of phi(u) phi(v) for Gaussian u, v of mean 0, variance q >= 0 each and correlation c;
    functions of arrays or floats.

    mean: q -> E phi. / kernel: (q, c) -> E phi phi, at c = 1 E phi^2. / slopes: (q, c) -> E phi'
    phi'.
    """

    mean: Callable[[ArrayLike], Array]
    kernel: Callable[[ArrayLike, ArrayLike], Array]
    slopes: Callable[[ArrayLike, ArrayLike], Array]


def arc_cosine(c: ArrayLike) -> Array:
    """J(c): 2 / q times E relu(u) relu(v). / c: in [-1, 1]. / source: Cho & Saul 2009, order 1."""
    angle = np.arccos(-np.asarray(c, float))  # pi - arccos c, without its cancellation near c = -1
    near = np.minimum(angle, 0.5)
    series = sum(
        (-1) ** (k + 1) * 2 * k / factorial(2 * k + 1) * near ** (2 * k + 1) for k in range(1, 9)
    )
    return np.where(angle < 0.5, series, np.sin(angle) - angle * np.cos(angle)) / pi


def arc_cosine_slope(c: ArrayLike) -> Array:
    """J'(c): twice the probability that u > 0 and v > 0. / c: in [-1, 1]. / source: Cho & Saul
    2009, order 0."""
    return np.arccos(-np.asarray(c, float)) / pi


def leaky(slope: float) -> Moments:
    """Of x above 0, slope x below: linear is slope 1, relu 0, abs -1. / source: arXiv:1606.05340
    with the kernel above."""
    kinked = (1.0 - slope) ** 2 / 2.0
    return Moments(
        lambda q: (1.0 - slope) * np.sqrt(np.asarray(q, float) / (2 * pi)),
        lambda q, c: np.asarray(q, float) * (slope * np.asarray(c, float) + kinked * arc_cosine(c)),
        lambda q, c: slope + kinked * arc_cosine_slope(c) + 0.0 * np.asarray(q, float),
    )


def _erf_root(q: ArrayLike, c: ArrayLike) -> Array:
    """sqrt((1 + 2 q)^2 - (2 q c)^2)."""
    q, c = np.asarray(q, float), np.asarray(c, float)
    return np.sqrt(1.0 + 2.0 * q * (1.0 - c)) * np.sqrt(1.0 + 2.0 * q * (1.0 + c))


def _erf_kernel(q: ArrayLike, c: ArrayLike) -> Array:
    return 2.0 / pi * np.arctan2(2.0 * np.asarray(q, float) * np.asarray(c, float), _erf_root(q, c))


def _sin_kernel(q: ArrayLike, c: ArrayLike) -> Array:
    """exp(-q) sinh(q c)."""
    q, c = np.asarray(q, float), np.asarray(c, float)
    return -np.sign(c) * np.exp(-q * (1.0 - np.abs(c))) * np.expm1(-2.0 * q * np.abs(c)) / 2.0


def _sin_slopes(q: ArrayLike, c: ArrayLike) -> Array:
    """exp(-q) cosh(q c)."""
    q, c = np.asarray(q, float), np.asarray(c, float)
    return (np.exp(-q * (1.0 - c)) + np.exp(-q * (1.0 + c))) / 2.0


def _none(q: ArrayLike) -> Array:
    return np.zeros_like(np.asarray(q, float))


ERF = Moments(_none, _erf_kernel, lambda q, c: 4.0 / pi / _erf_root(q, c))  # Williams 1997
SIN = Moments(_none, _sin_kernel, _sin_slopes)
