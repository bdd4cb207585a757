"""Expectations over one coordinate, or two, of a uniform point on a sphere, each with its error.

A normalized vector is such a point: on the sphere of radius sqrt(B) in the hyperplane orthogonal to
the ones (batch norm over B samples, group norm over B channels), or on the whole sphere of radius
sqrt(m) in R^m (RMS norm over m units). On both, a coordinate is sqrt(d) sin(theta), of variance 1,
with weight cos^(d-2)(theta); they differ in d and in the correlation of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import acos, asin, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import Divergent, InvalidSpec
from depthscale.numerics.estimate import Estimate, Estimates
from depthscale.numerics.gaussian import CUTS
from depthscale.numerics.panels import Integrand, integrate, panels
from depthscale.numerics.values import Array, Function

PairFunction = Callable[[Array, Array], NDArray[Any]]


@dataclass(frozen=True)
class Sphere:
    """The sphere of radius sqrt(dimension), seen through directions of which any two have that
    correlation.

    dimension: d of the space that the sphere spans. / correlation: of two coordinates, in (-1, 1).
    """

    dimension: int
    correlation: float

    @classmethod
    def centred(cls, batch: int) -> "Sphere":
        """Vectors in R^batch of mean 0 and mean square 1: d = batch - 1, correlation -1 / (batch -
        1)."""
        _require(
            batch >= 3,
            f"a centred sphere needs batch >= 3, got {batch}; at 2 every coordinate is 1 or -1",
        )
        return cls(batch - 1, -1.0 / (batch - 1))

    @classmethod
    def whole(cls, size: int) -> "Sphere":
        """Vectors in R^size of mean square 1: d = size, correlation 0."""
        _require(size >= 2, f"a sphere needs size >= 2, got {size}; at 1 the coordinate is 1 or -1")
        return cls(size, 0.0)


def expect(f: Function, batch: int | Sphere, kinks: Sequence[float] = ()) -> Estimate:
    """E f(z1) for z uniform on the sphere.

    f: elementwise function of float64 arrays of any shape. / batch: B >= 3, for
    `Sphere.centred(B)`, or a Sphere.
    kinks: where f or its derivatives jump, and where a smooth f bends over lengths below 0.01.
    error: |31 vs 15 nodes per panel| plus 2^-49 E|f| for rounding. / raises: Divergent where f is
    not finite; InvalidSpec.
    source: arXiv:1902.08129, the spherical coordinates of its appendix.
    """
    sphere = _sphere(batch)
    reach, power = sqrt(sphere.dimension), sphere.dimension - 2

    def integrand(theta: Array, _: NDArray[np.intp]) -> tuple[Array, None]:
        return np.asarray(f(reach * np.sin(theta)), float) * _weight(theta, power), None

    edges = np.concatenate([_cuts(power), [asin(k / reach) for k in kinks if abs(k) < reach]])
    return _normalized(integrand, edges, power, f"E f over a coordinate of {sphere}")


def expect_pair(h: PairFunction, batch: int | Sphere, kinks: Sequence[float] = ()) -> Estimate:
    """E h(z1, z2) for z uniform on the sphere; B >= 4, or a Sphere of dimension >= 3.

    h: elementwise function of two float64 arrays of one shape; in each argument it may jump or bend
    at `kinks`.
    error, raises, source: as `expect`.
    """
    sphere = _sphere(batch)
    _require(
        sphere.dimension >= 3,
        f"two coordinates need a batch >= 4, or a sphere of dimension >= 3; got {sphere}",
    )
    reach, rho, power = sqrt(sphere.dimension), sphere.correlation, sphere.dimension - 2
    rest = sqrt((1.0 - rho) * (1.0 + rho))
    scale = 1.0 / _mass(power - 1)

    def inner(theta: Array) -> Estimates:
        z1, middle, swing = (
            reach * np.sin(theta),
            reach * rho * np.sin(theta),
            reach * rest * np.cos(theta),
        )

        def integrand(psi: Array, owner: NDArray[np.intp]) -> tuple[Array, None]:
            z2 = middle[owner, None] + swing[owner, None] * np.sin(psi)
            return np.asarray(h(np.broadcast_to(z1[owner, None], z2.shape), z2), float) * (
                scale * _weight(psi, power - 1)
            ), None

        crossings = [
            np.arcsin((k - middle) / swing)[:, None] for k in kinks
        ]  # nan where z2 does not reach the kink
        cuts = np.broadcast_to(_cuts(power - 1), (len(theta), len(_cuts(power - 1))))
        return integrate(integrand, *panels(np.concatenate([cuts, *crossings], axis=1)), len(theta))

    def outer(theta: Array, _: NDArray[np.intp]) -> tuple[Array, Array]:
        given, weight = inner(theta.ravel()), _weight(theta, power)
        return given.value.reshape(theta.shape) * weight, given.error.reshape(theta.shape) * weight

    places = [asin(k / reach) for k in kinks if abs(k) < reach]
    edges = np.concatenate([_cuts(power), places, *(_touches(place, rho) for place in places)])
    return _normalized(outer, edges, power, f"E h over two coordinates of {sphere}")


def _normalized(integrand: Integrand, edges: Array, power: int, what: str) -> Estimate:
    """The integral over theta, between the outermost cuts, divided by that of the weight."""
    cuts = _cuts(power)
    edges = edges[(edges >= cuts[0]) & (edges <= cuts[-1])]
    try:
        found = integrate(integrand, *panels(edges[None, :]), 1)[0]
    except Divergent as reason:
        raise Divergent(f"{what}: {reason}; scale f or its argument down") from None
    mass = _mass(power)
    return Estimate(found.value / mass, found.error / mass)


def _weight(theta: Array, power: int) -> Array:
    """cos^power; also where the power is 1e12 and the angle 1e-6."""
    return np.exp(0.5 * power * np.log1p(-(np.sin(theta) ** 2))) if power else np.ones_like(theta)


def _cuts(power: int) -> Array:
    """Where cos^power falls as the Gaussian does at its cuts, within [-pi/2, pi/2]."""
    cuts = CUTS / sqrt(power + 1)
    cuts = np.append(cuts[cuts < 0.9 * pi / 2], min(pi / 2, cuts[-1]))
    return np.concatenate([-cuts[:0:-1], cuts])


def _mass(power: int) -> float:
    """Integral of cos^power over its cuts."""
    return integrate(
        lambda theta, _: (_weight(theta, power), None), *panels(_cuts(power)[None, :]), 1
    )[0].value


def _touches(place: float, rho: float) -> list[float]:
    """The theta at which the range of z2 begins or ceases to hold the kink at reach sin(place)."""
    turns = [s * acos(rho) + t for s in (1, -1) for t in (place, pi - place)]
    return [(t + pi) % (2 * pi) - pi for t in turns]


def _sphere(batch: int | Sphere) -> Sphere:
    return batch if isinstance(batch, Sphere) else Sphere.centred(batch)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidSpec(otherwise)
