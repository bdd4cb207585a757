"""Fixed points of the q map and of the c map: what variance and correlation settle at with
depth."""

from collections.abc import Callable
from functools import partial
from math import cos, inf, pi

import numpy as np

from depthscale.errors import Divergent
from depthscale.network import Activation, activation
from depthscale.numerics import Estimate
from depthscale.theory.classical import maps
from depthscale.theory.classical.maps import Given

_STEPS = np.exp2(
    np.arange(0.5, 120.5, 0.5)
)  # from q0 up or down to 2^120 times it; roots closer than sqrt(2) are one
_NARROWEST = 1e-300
_ROUNDING = 2.0**-51
_GAUSS = np.polynomial.legendre.leggauss(24)


def q_star(given: Given, sigma_w2: float, sigma_b2: float, q0: float = 1.0) -> Estimate:
    """The variance that depth leads to from q0: the fixed point of the q map on the side to which
    it moves q0.

    q0: variance of the first preactivations, > 0. / sigma_w2, sigma_b2: as `maps.q_map`.
    returns: value 0 where the signal vanishes, inf where no fixed point lies within 2^120 times q0
    above it.
    error: (|q_map(q) - q| + the expectation's error) / |1 - chi_q|. / raises: InvalidSpec;
    Divergent if q_map(q0) is.
    source: arXiv:1606.05340, q_star.
    """
    a = activation(given)
    maps.require(q0=q0, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    if a.homogeneous:
        return _q_star_of_a_straight_map(a, sigma_w2, sigma_b2, q0)
    drift = partial(_drift, a, sigma_w2, sigma_b2)
    start = drift(q0)
    if abs(start.value) <= start.error:
        return _with_error(a, q0, sigma_w2, sigma_b2)
    bracket = _bracket(drift, q0, start.value > 0)
    if bracket is None:
        return Estimate(inf, 0.0) if start.value > 0 else Estimate(0.0, 0.0)
    return _with_error(a, root(lambda q: drift(q).value, *bracket), sigma_w2, sigma_b2)


def c_star(given: Given, q: float, sigma_w2: float, sigma_b2: float) -> Estimate:
    """The correlation that depth leads to from any below 1, at variance q: the c map is convex, so
    it is 1 unless its slope there is above 1, and else the one fixed point below.

    arguments: as `maps.c_map`. / raises: as `maps.c_map`.
    error: |c_map(c) - c| and the expectation's error, over 1 - slope; the root itself is that of (1
    - c_map(c)) / (1 - c) = 1, which loses no digits near the critical line. / source:
    arXiv:1606.05340, c_star.
    """
    a = activation(given)
    scale = _slope_scale(a, q, sigma_w2, sigma_b2)
    top = maps.affine(maps.slope_pair(a, q, 1.0), scale)
    if top.value <= 1 + top.error:
        return Estimate(1.0, 0.0)
    mean_slope = _mean_slope(a, q, scale)
    if mean_slope(pi / 2) >= 1:
        return _c_with_error(a, 0.0, q, sigma_w2, sigma_b2)
    angle = root(lambda t: mean_slope(t) - 1, 1e-12, pi / 2)
    return _c_with_error(a, cos(angle), q, sigma_w2, sigma_b2)


# ---- variance


def _q_star_of_a_straight_map(
    a: Activation, sigma_w2: float, sigma_b2: float, q0: float
) -> Estimate:
    """Of a homogeneous activation, q' = s q + sigma_b2: a geometric series."""
    slope = maps.affine(maps.square(a, 1.0), sigma_w2)
    if abs(slope.value - 1) <= slope.error and not sigma_b2:
        return Estimate(q0, 0.0)  # every variance stays as it is
    if slope.value >= 1 - slope.error:
        return Estimate(inf, 0.0)
    q = sigma_b2 / (1 - slope.value)
    return Estimate(q, q * (slope.error / (1 - slope.value) + _ROUNDING))


def _drift(a: Activation, sigma_w2: float, sigma_b2: float, q: float) -> Estimate:
    """q_map(q) - q."""
    found = maps.q_map(a, q, sigma_w2, sigma_b2)
    return Estimate(found.value - q, found.error)


def _bracket(
    drift: Callable[[float], Estimate], q0: float, upwards: bool
) -> tuple[float, float] | None:
    """Two variances between which the drift vanishes for the first time, or None; 0 itself does not
    count."""
    last = q0
    for step in _STEPS:
        q = q0 * step if upwards else q0 / step
        try:
            there = drift(q)
        except Divergent:
            return None
        if there.value * (-1 if upwards else 1) > there.error:
            return last, q
        last = q if abs(there.value) > there.error else last
    return (last, 0.0) if not upwards and drift(0.0).value > 0 else None


def _with_error(a: Activation, q: float, sigma_w2: float, sigma_b2: float) -> Estimate:
    left, slope = _drift(a, sigma_w2, sigma_b2, q), maps.chi_q(a, q, sigma_w2)
    distance = abs(1 - slope.value) - slope.error
    return Estimate(
        q, (abs(left.value) + left.error) / distance + _ROUNDING * q if distance > 0 else inf
    )


# ---- correlation


def _slope_scale(a: Activation, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """What E phi' phi' is multiplied by in the slope of the c map: sigma_w2 at a fixed point."""
    variance = maps.q_map(a, q, sigma_w2, sigma_b2).value
    if not variance:
        raise Divergent(
            f"the next layer of {a.name} at q = {q:.6g}, sigma_w2 = {sigma_w2:g} is 0: it has no "
            "correlation"
        )
    return sigma_w2 * q / variance


def _mean_slope(a: Activation, q: float, scale: float) -> Callable[[float], float]:
    """angle -> mean slope of the c map between cos(angle) and 1, an integral over angles, in which
    kinks are smooth."""
    slope = slopes_by_angle(a, q)
    return lambda angle: scale * mean_over_the_cap(slope, angle)


def slopes_by_angle(a: Activation, q: float, nodes: int = 32) -> Callable[[np.ndarray], np.ndarray]:
    """angle in [0, pi/2] -> E phi'(u) phi'(v) at correlation cos(angle), by a Chebyshev series."""
    if a.moments:
        closed = a.moments.slopes
        return lambda angle: closed(q, np.cos(angle))
    at = [
        maps.slope_pair(a, q, cos(t)).value
        for t in (np.polynomial.chebyshev.chebpts1(nodes) + 1) * (pi / 4)
    ]
    series = np.polynomial.Chebyshev.fit(
        np.polynomial.chebyshev.chebpts1(nodes), at, nodes - 1, domain=[-1, 1]
    )
    return lambda angle: series(angle * (4 / pi) - 1)


def mean_over_the_cap(slope: Callable[[np.ndarray], np.ndarray], angle: float) -> float:
    """Mean of a function of the correlation between cos(angle) and 1."""
    t = (_GAUSS[0] + 1) * (angle / 2)
    weights = _GAUSS[1] * np.sin(t)
    return float(np.sum(weights * slope(t)) / np.sum(weights))


def _c_with_error(a: Activation, c: float, q: float, sigma_w2: float, sigma_b2: float) -> Estimate:
    found = maps.c_map(a, c, q, sigma_w2, sigma_b2)
    slope = maps.affine(maps.slope_pair(a, q, c), _slope_scale(a, q, sigma_w2, sigma_b2))
    distance = 1 - slope.value - slope.error
    return Estimate(
        c, (abs(found.value - c) + found.error) / distance + _ROUNDING if distance > 0 else inf
    )


def root(f: Callable[[float], float], a: float, b: float) -> float:
    """By Brent's method, which never leaves the bracket."""
    from scipy.optimize import brentq  # loads for longer than most predictions take

    exact = {"xtol": _NARROWEST, "rtol": 4 * np.finfo(float).eps, "maxiter": 2000}
    return float(brentq(f, a, b, **exact))  # pyright: ignore[reportArgumentType]
