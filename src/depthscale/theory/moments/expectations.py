"""Moments of an activation over what it receives for two samples: a layer's forward and backward
factors follow from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import nan, sqrt

import numpy as np

from depthscale.errors import Divergent, NoTheory
from depthscale.network import Activation, Phi, activation, shifted
from depthscale.numerics import Estimate, expect_at, expect_pair_at, gaussian, sphere, together_at
from depthscale.theory.moments.laws import Gaussian, Law, Spherical, WeightedSlopes
from depthscale.theory.moments.sampled_expectations import spread_of_group

_ROUNDING = 2.0**-50
_CIRCLE = 1 << 16  # points on a circle; with kinks the error falls as their number


@dataclass(frozen=True, slots=True)
class Values:
    """Of phi(u), u = gain z + shift. / mean: E phi; square: E phi^2; product: E phi phi between two
    samples; error: relative.

    spread_error: of square - product, relative, where that is sampled.
    """

    mean: float
    square: float
    product: float
    error: float
    spread_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Slopes:
    """Of phi'(u). / square, product: E phi'^2, and between two samples; error: relative to the
    square."""

    square: float
    product: float
    error: float


@lru_cache(maxsize=1 << 16)
def values(name: Phi, law: Law) -> Values:
    """Values of an activation under a law. / raises: NoTheory where they are infinite."""
    with _told(name):
        if not law.gain:
            at = float(activation(name).phi(np.array([law.shift]))[0])
            return Values(at, at * at, at * at, 0.0)
        if isinstance(law, Spherical):
            return _spherical_values(name, law)
        if law.correlation != law.correlation:  # not known, and so is what two samples share
            return replace(_gaussian_values(name, replace(law, correlation=0.0)), product=nan)
        return _gaussian_values(name, law)


@lru_cache(maxsize=1 << 16)
def slopes(name: Phi, law: Law, alone: bool = False) -> Slopes:
    """Slopes of an activation under a law. / alone: leave the product out, as 0; raises: NoTheory
    where they are infinite."""
    if not law.gain:
        at = float(activation(name).derivative(np.array([law.shift]))[0])
        return Slopes(at * at, at * at, 0.0)
    if isinstance(law, Gaussian) and law.correlation != law.correlation:
        return replace(slopes(name, replace(law, correlation=0.0)), product=nan)
    if isinstance(law, Spherical):
        w = weighted_slopes(name, law)
        weights = np.array(law.weights)
        return Slopes(float(weights @ w.square), float(weights @ w.product), w.error)
    with _told(name):
        a, q, c = activation(name), law.gain**2 * law.variance, law.correlation
        if a.moments and not law.shift:
            return Slopes(float(a.moments.slopes(q, 1.0)), float(a.moments.slopes(q, c)), _ROUNDING)
        table = _tables(name, law.gain, law.shift)
        square = table.slope_square(law.variance)
        product = Estimate(0.0, 0.0) if alone else table.slope_product(law.variance, c)
        scale = 1 / law.gain**2
        return Slopes(square.value * scale, product.value * scale, _relative(square, product))


@lru_cache(maxsize=1 << 12)
def powers(name: Phi, law: Law) -> tuple[tuple[float, float], tuple[float, float]]:
    """With which power of the variance E phi^2 goes, and E phi'^2, about a law; and how either
    changes with its logarithm."""
    if activation(name).homogeneous and not law.shift:
        return (1.0, 0.0), (0.0, 0.0)
    laws = [
        replace(law, gain=law.gain * 2.0 ** (k / 4)) for k in (-1, 0, 1)
    ]  # a factor of 2 in the variance from end to end
    found = (
        [values(name, each).square for each in laws],
        [slopes(name, each, True).square for each in laws],
    )
    logs = [np.log(each) if all(each) else np.zeros(3) for each in found]
    step = np.log(2) / 2
    first, second = (
        (float(y[2] - y[0]) / (2 * step), float(y[0] - 2 * y[1] + y[2]) / step**2) for y in logs
    )
    return first, second


@lru_cache(maxsize=1 << 12)
def mean_slope(name: Phi, law: Law) -> float:
    """E phi'(u), whose square is the product between points that are independent of each other."""
    with _told(name):
        s, unit = shifted(activation(name), law.gain, law.shift), 1 / law.gain
        if isinstance(law, Gaussian):
            return unit * gaussian.expect(s.derivative, law.variance, s.breaks).value
        on = _sphere(law)
        rows = [
            sphere.expect(lambda z, r=r: s.derivative(r * z), on, [k / r for k in s.breaks]).value
            for r in law.radii
        ]
        return unit * float(np.dot(law.weights, rows))


@lru_cache(maxsize=1 << 12)
def weighted_slopes(name: Phi, law: Law) -> WeightedSlopes:
    """Slopes with the norm's output as weight, for the backward pass of a norm below the
    activation."""
    with _told(name):
        if isinstance(law, Gaussian) and law.correlation != law.correlation:
            unknown = np.full(1, nan)
            return replace(
                _gaussian_weighted(name, replace(law, correlation=0.0)),
                product=unknown,
                z_product=unknown,
            )
        if isinstance(law, Gaussian):
            return _gaussian_weighted(name, law)
        return _spherical_weighted(name, law)


# ---- Gaussian


class _Tables:
    """Expectations of phi(gain z + shift) and its derivative in z, quick to ask again."""

    def __init__(self, name: Phi, gain: float, shift: float):
        a = shifted(activation(name), gain, shift)
        self.mean = expect_at(a.phi, a.breaks)
        self.square = expect_at(lambda z: a.phi(z) ** 2, a.breaks)
        self.slope_square = expect_at(lambda z: a.derivative(z) ** 2, a.breaks)
        self.product = _pairs(a.phi, a)
        self.slope_product = _pairs(a.derivative, a)


def _pairs(f: Callable, a: Activation) -> Callable[[float, float], Estimate]:
    """(variance, correlation) -> E f f: computed once or twice at a variance, and by a series for
    many correlations."""
    asked: dict[float, int] = {}
    table = cache(lambda variance: expect_pair_at(f, f, variance, variance, a.breaks, a.breaks))

    def at(variance: float, correlation: float) -> Estimate:
        asked[variance] = asked.get(variance, 0) + 1
        if asked[variance] > 8:
            return table(variance)(correlation)
        return gaussian.expect_pair(f, f, variance, variance, correlation, a.breaks, a.breaks)

    return at


@cache
def _tables(name: Phi, gain: float, shift: float) -> _Tables:
    return _Tables(name, gain, shift)


def _gaussian_values(name: Phi, law: Gaussian) -> Values:
    a, q, c = activation(name), law.gain**2 * law.variance, law.correlation
    if a.moments and not law.shift:
        closed = a.moments  # z is even, so a negative gain changes nothing
        return Values(
            float(closed.mean(q)),
            float(closed.kernel(q, 1.0)),
            float(closed.kernel(q, c)),
            _ROUNDING,
        )
    table = _tables(name, law.gain, law.shift)
    mean, square, product = (
        table.mean(law.variance),
        table.square(law.variance),
        table.product(law.variance, c),
    )
    return Values(mean.value, square.value, product.value, _relative(square, product, mean * mean))


def _gaussian_weighted(name: Phi, law: Gaussian) -> WeightedSlopes:
    """Products between two points of the law's correlation; at 0, as an infinite batch has it, they
    are squares of means."""
    a = activation(name)
    if not law.gain:
        zero = np.zeros(1)
        return WeightedSlopes(zero, zero, zero, zero, 0.0)
    s, unit = shifted(a, law.gain, law.shift), 1 / law.gain**2
    expect = [
        gaussian.expect(f, law.variance, s.breaks)
        for f in (
            lambda z: s.derivative(z) ** 2,
            s.derivative,
            lambda z: (z * s.derivative(z)) ** 2,
            lambda z: z * s.derivative(z),
        )
    ]
    square, mean, z_square, z_mean = expect
    product, z_product = mean * mean, z_mean * z_mean
    if law.correlation:
        pair = (law.variance, law.variance, law.correlation, s.breaks, s.breaks)
        product = gaussian.expect_pair(s.derivative, s.derivative, *pair)
        z_product = gaussian.expect_pair(
            lambda z: z * s.derivative(z), lambda z: z * s.derivative(z), *pair
        )
    columns = [np.array([e.value * unit]) for e in (square, product, z_square, z_product)]
    return WeightedSlopes(
        columns[0],
        columns[1],
        columns[2],
        columns[3],
        _relative(square, product, z_square, z_product),
    )


# ---- sphere


def _spherical_values(name: Phi, law: Spherical) -> Values:
    total, error, at = (
        np.zeros(3),
        0.0,
        _values_by_gain(name, _at_radius_1(law, None if law.correlation is None else 0.0)),
    )
    for radius, weight in zip(law.radii, law.weights, strict=True):
        mean, square, product = at(law.gain * radius)
        total += weight * np.array([mean.value, square.value, product.value])
        error += weight * _relative(square, product) * square.value
    mean, square, product = total.tolist()
    if law.correlation is not None:
        spread, sampled = spread_of_group(name, law)
        return Values(mean, square, square - spread, error / square if square else 0.0, sampled)
    return Values(mean, square, product, error / square if square else 0.0)


def _spherical_weighted(name: Phi, law: Spherical) -> WeightedSlopes:
    at, columns = _slopes_by_gain(name, _at_radius_1(law, law.correlation)), []
    for radius in law.radii:
        square, product, z_square, z_product = (
            at(law.gain * radius) if law.gain * radius else (_exact(0.0),) * 4
        )
        error, r2 = _relative(square, product, z_square, z_product), radius**2
        columns.append(
            (square.value, product.value, r2 * z_square.value, r2 * z_product.value, error)
        )
    rows = np.array(columns).T
    return WeightedSlopes(rows[0], rows[1], rows[2], rows[3], float(rows[4].max()))


def _at_radius_1(law: Spherical, correlation: float | None) -> Spherical:
    """What tells one sphere's expectations from another's, the gain apart."""
    return Spherical(law.size, correlation, shift=law.shift, centred=law.centred)


@lru_cache(maxsize=1 << 8)
def _values_by_gain(name: Phi, law: Spherical) -> Callable[[float], tuple[Estimate, ...]]:
    """t -> E phi, E phi^2, E phi phi of t z + shift. The sphere knows no sign, so neither does
    t."""
    if activation(name).homogeneous and not law.shift:
        mean, square, product = _spherical_values_at(name, law, 1.0)
        return lambda t: (_exact(abs(t)) * mean, _exact(t * t) * square, _exact(t * t) * product)
    at = together_at(lambda q: _spherical_values_at(name, law, sqrt(q)), 3)
    return lambda t: at(t * t)


@lru_cache(maxsize=1 << 8)
def _slopes_by_gain(name: Phi, law: Spherical) -> Callable[[float], tuple[Estimate, ...]]:
    """t -> E phi'^2, phi' phi', z^2 phi'^2, z z phi' phi' of t z + shift, z at radius 1."""
    if activation(name).homogeneous and not law.shift:
        at_1 = _spherical_slopes_at(name, law, 1.0)
        return lambda t: at_1
    at = together_at(lambda q: _spherical_slopes_at(name, law, sqrt(q)), 4)
    return lambda t: at(t * t)


def _spherical_values_at(name: Phi, law: Spherical, gain: float) -> tuple[Estimate, ...]:
    """E phi, E phi^2, E phi phi at one gain."""
    a = activation(name)
    if law.dimension <= 2 and law.centred:
        return _few_values(shifted(a, gain, law.shift), law.size)
    on = _sphere(law)
    if a.moments and a.homogeneous and not law.shift and law.correlation is None:
        mean = sphere.expect(lambda z: a.phi(gain * z), on, a.breaks)
        square, product = (
            _exact(float(a.moments.kernel(gain**2, c))) for c in (1.0, on.correlation)
        )
        return mean, square, product
    s = shifted(a, gain, law.shift)
    mean = sphere.expect(s.phi, on, s.breaks)
    square = sphere.expect(lambda z: s.phi(z) ** 2, on, s.breaks)
    if law.correlation is not None:  # another sample's sphere
        return mean, square, square
    return mean, square, sphere.expect_pair(lambda u, v: s.phi(u) * s.phi(v), on, s.breaks)


def _spherical_slopes_at(name: Phi, law: Spherical, gain: float) -> tuple[Estimate, ...]:
    """E phi'^2, phi' phi', z^2 phi'^2, z z phi' phi' at one gain."""
    a = activation(name)
    if law.dimension <= 2 and law.centred:
        return _few_slopes(shifted(a, gain, law.shift), law.size, gain)
    on = _sphere(law)
    if a.moments and a.homogeneous and not law.shift and law.correlation is None:
        slope, kernel, c = a.moments.slopes, a.moments.kernel, on.correlation
        return tuple(
            _exact(float(each))
            for each in (slope(1.0, 1.0), slope(1.0, c), kernel(1.0, 1.0), kernel(1.0, c))
        )
    s, unit = shifted(a, gain, law.shift), _exact(1 / gain**2)
    square = sphere.expect(lambda z: s.derivative(z) ** 2, on, s.breaks)
    z_square = sphere.expect(lambda z: (z * s.derivative(z)) ** 2, on, s.breaks)
    if law.correlation is not None:
        product = gaussian.expect_pair(
            s.derivative, s.derivative, 1.0, 1.0, law.correlation, s.breaks, s.breaks
        )
        z_product = Estimate(0.0, 0.0)  # a norm over one sample's entries does not ask for it
    else:
        product = sphere.expect_pair(lambda u, v: s.derivative(u) * s.derivative(v), on, s.breaks)
        z_product = sphere.expect_pair(
            lambda u, v: u * s.derivative(u) * v * s.derivative(v), on, s.breaks
        )
    return unit * square, unit * product, unit * z_square, unit * z_product


def _few(size: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of two or three values of mean 0 and mean square 1, evenly: two points, or a
    circle."""
    if size == 2:
        return np.array([1.0, -1.0]), np.array([-1.0, 1.0])
    angle = (np.arange(_CIRCLE) + 0.5) * (2 * np.pi / _CIRCLE)
    return np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.cos(angle + 2 * np.pi / 3)


def _few_values(s: Activation, size: int) -> tuple[Estimate, ...]:
    u, v = _few(size)
    return _averages(
        s.phi(u), s.phi(u) ** 2, s.phi(u) * s.phi(v), unit=float((s.phi(u) ** 2).mean())
    )


def _few_slopes(s: Activation, size: int, gain: float) -> tuple[Estimate, ...]:
    u, v = _few(size)
    du, dv = s.derivative(u) / gain, s.derivative(v) / gain
    return _averages(
        du * du, du * dv, u * u * du * du, u * v * du * dv, unit=float((du * du).mean())
    )


def _averages(*points: np.ndarray, unit: float) -> tuple[Estimate, ...]:
    """Means over the points. / unit: what their error is relative to."""
    return tuple(Estimate(float(each.mean()), unit / _CIRCLE) for each in points)


def _sphere(law: Spherical) -> sphere.Sphere:
    return sphere.Sphere(law.dimension, -1 / (law.size - 1) if law.centred else 0.0)


# ---- errors


def _exact(value: float) -> Estimate:
    return Estimate(value, _ROUNDING * abs(value))


def _relative(first: Estimate, *others: Estimate) -> float:
    """Largest error of several expectations, relative to the first, which bounds the others."""
    return max(e.error for e in (first, *others)) / first.value if first.value else 0.0


@contextmanager
def _told(name: Phi) -> Iterator[None]:
    try:
        yield
    except Divergent as reason:
        raise NoTheory(f"activation {activation(name).name!r}: {reason}") from None
