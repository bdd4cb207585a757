"""Integrate many functions at once, each over its own panels, halving the panels that are not yet
resolved."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import Divergent
from depthscale.numerics.estimate import Estimates
from depthscale.numerics.kronrod import kronrod
from depthscale.numerics.values import Array

Integrand = Callable[[Array, NDArray[np.intp]], tuple[Array, Array | None]]

ROUNDING = (
    2.0**-49
    # of the integral of |f|: a few units in the last place in f, in its argument, in the density,
    # in the sum
)
# a panel whose two rules differ by less, relative to the integral of |f|, is not halved
RESOLVED = 2.0**-50
UNDERFLOW = 2.0**-1021
_MAX_HALVINGS = 60
_MAX_PANELS = 60_000

NODES, FINE, COARSE = kronrod()
_GAP = FINE - COARSE


def integrate(
    integrand: Integrand, left: Array, right: Array, owner: NDArray[np.intp], count: int
) -> Estimates:
    """Integral number i, over the panels [left, right] that it owns, for i < count.

    integrand: (points [p, 31], owner [p]) -> (heights [p, 31], error of the heights or None).
    left, right, owner: [p]. / returns: Estimates [count], error = |Kronrod - Gauss| over the last
    panels + rounding + heights'.
    raises: Divergent where a height is not finite.
    """
    value, error, size = np.zeros(count), np.full(count, UNDERFLOW), np.zeros(count)
    for halvings in range(_MAX_HALVINGS + 1):
        fine, gap, noise, mass = _panel_sums(integrand, left, right, owner)
        total = size + np.bincount(owner, mass, count)
        rough = gap > RESOLVED * total[owner]
        if halvings == _MAX_HALVINGS or rough.sum() > _MAX_PANELS:
            rough[:] = False
        done, at = ~rough, owner[~rough]
        value += np.bincount(at, fine[done], count)
        error += np.bincount(at, (gap + noise)[done], count)
        size += np.bincount(at, mass[done], count)
        if not rough.any():
            break
        left, right, owner = _halved(left[rough], right[rough], owner[rough])
    return Estimates(value, error)


def panels(edges: Array) -> tuple[Array, Array, NDArray[np.intp]]:
    """Panels between the edges of each row, in any order, repeated or NaN: left, right, owner. /
    edges: [rows, e]."""
    edges = np.sort(edges, axis=1)
    left, right = edges[:, :-1], edges[:, 1:]
    kept = right > left
    return left[kept], right[kept], np.nonzero(kept)[0]


def weighed(heights: Array, weights: Array) -> Array:
    """Sum of each row. / heights: [rows, n]; weights: [n]. Not `@`: its threads cost more than so
    small a sum."""
    return np.einsum("rn,n->r", heights, weights)


def _panel_sums(
    integrand: Integrand, left: Array, right: Array, owner: NDArray[np.intp]
) -> tuple[Array, Array, Array, Array]:
    """Per panel: Kronrod's sum, its distance from Gauss's, the error from heights and rounding, the
    integral of |f|."""
    half = (right - left) / 2
    points = ((left + right) / 2)[:, None] + half[:, None] * NODES
    with np.errstate(all="ignore"):
        heights, slack = integrand(points, owner)
        fine, gap = half * weighed(heights, FINE), np.abs(half * weighed(heights, _GAP))
        mass = half * weighed(np.abs(heights), FINE)
        noise = ROUNDING * mass
        if slack is not None:
            noise += half * weighed(slack, FINE)
            mass = noise / ROUNDING  # what rounding inside the heights is relative to
    if not np.isfinite(mass).all():
        raise Divergent("the integrand is not finite everywhere, or its sum overflows")
    return fine, gap, noise, mass


def _halved(
    left: Array, right: Array, owner: NDArray[np.intp]
) -> tuple[Array, Array, NDArray[np.intp]]:
    middle = (left + right) / 2
    return (
        np.concatenate([left, middle]),
        np.concatenate([middle, right]),
        np.concatenate([owner, owner]),
    )
