"""The maps of a network without norm: how one layer carries variance and correlation, and the
slopes of both, with errors.

u, v: Gaussian preactivations of one neuron for two samples, of variance q each and correlation c.
An activation is a name, an Activation or a callable. A variance of 0 stands for the limit from
above wherever that differs.
"""

from collections.abc import Callable
from math import inf, isfinite, sqrt
from typing import Any

from depthscale.errors import Divergent, InvalidSpec
from depthscale.network import Activation, activation
from depthscale.numerics import Estimate, gaussian

Given = str | Activation | Callable[..., Any]

_ROUNDING = 2.0**-50  # relative, of a closed form
# the variance at which the limit 0 is read off; its square root is what phi is then linear to
_SMALL = 1e-16


def q_map(given: Given, q: float, sigma_w2: float, sigma_b2: float) -> Estimate:
    """Variance of the next preactivation: sigma_w2 E phi(u)^2 + sigma_b2.

    q: variance, >= 0. / sigma_w2, sigma_b2: fan_in times the variance of a weight, and that of a
    bias, >= 0.
    error: of the expectation. / raises: Divergent where it is infinite; InvalidSpec. / source:
    arXiv:1606.05340, the length map.
    """
    require(q=q, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    return affine(square(activation(given), q), sigma_w2, sigma_b2)


def chi_q(given: Given, q: float, sigma_w2: float) -> Estimate:
    """Slope of the q map, dq'/dq = sigma_w2 E phi(u) phi'(u) u / q, by Stein's lemma without a
    second derivative.

    arguments, error, raises: as `q_map`. / source: arXiv:1611.01232, xi_q (its sum of two terms,
    integrated by parts).
    """
    require(q=q, sigma_w2=sigma_w2)
    a = activation(given)
    return _at_or_above_0(
        lambda v: affine(
            gaussian.expect(lambda u: a.phi(u) * a.derivative(u) * u / v, v, a.breaks), sigma_w2
        ),
        q,
    )


def chi_1(given: Given, q: float, sigma_w2: float) -> Estimate:
    """Gradient variance ratio per layer, sigma_w2 E phi'(u)^2; at q_star also the slope of the c
    map at c = 1.

    arguments, error, raises: as `q_map`. / source: arXiv:1611.01232, chi_1.
    """
    require(q=q, sigma_w2=sigma_w2)
    a = activation(given)
    return _at_or_above_0(lambda v: affine(_slope_square(a, v), sigma_w2), q)


def c_map(given: Given, c: float, q: float, sigma_w2: float, sigma_b2: float) -> Estimate:
    """Correlation of the next preactivations: (sigma_w2 E phi(u) phi(v) + sigma_b2) / q_map(q); 1
    at c = 1 for every q.

    c: in [-1, 1]. / q, sigma_w2, sigma_b2: as `q_map`, not all of them 0.
    error, raises: as `q_map`; Divergent where the next variance is 0. / source: arXiv:1606.05340,
    the correlation map.
    """
    require(q=q, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    a = activation(given)
    if not q and not q_map(a, q, sigma_w2, sigma_b2).value:
        q = _SMALL
    variance = q_map(a, q, sigma_w2, sigma_b2)
    if not variance.value:
        raise Divergent(
            f"the next layer of {a.name} at q = {q:.6g}, sigma_w2 = {sigma_w2:g} is 0: it has no "
            "correlation"
        )
    product = affine(pair(a, q, c), sigma_w2, sigma_b2)
    ratio = product.value / variance.value
    return Estimate(ratio, (product.error + abs(ratio) * variance.error) / variance.value)


def chi_c(given: Given, c: float, q: float, sigma_w2: float) -> Estimate:
    """Covariance of the gradients of two samples, per layer: sigma_w2 E phi'(u) phi'(v); at q_star
    the slope of the c map at c.

    arguments, error, raises: as `c_map`. / source: arXiv:1611.01232, xi_c.
    """
    require(q=q, sigma_w2=sigma_w2)
    a = activation(given)
    return _at_or_above_0(lambda v: affine(slope_pair(a, v, c), sigma_w2), q)


# ---- expectations, by closed form where there is one


def square(a: Activation, q: float) -> Estimate:
    """E phi(u)^2."""
    if a.moments:
        return _exact(a.moments.kernel(q, 1.0))
    return gaussian.expect(lambda u: a.phi(u) ** 2, q, a.breaks)


def pair(a: Activation, q: float, c: float) -> Estimate:
    """E phi(u) phi(v)."""
    _require_correlation(c)
    if a.moments:
        return _exact(a.moments.kernel(q, c))
    return gaussian.expect_pair(a.phi, a.phi, q, q, c, a.breaks, a.breaks)


def slope_pair(a: Activation, q: float, c: float) -> Estimate:
    """E phi'(u) phi'(v)."""
    _require_correlation(c)
    if a.moments:
        return _exact(a.moments.slopes(q, c))
    return gaussian.expect_pair(a.derivative, a.derivative, q, q, c, a.breaks, a.breaks)


def affine(e: Estimate, factor: float, shift: float = 0.0) -> Estimate:
    """factor e + shift, rounding included."""
    value = factor * e.value + shift
    return Estimate(value, abs(factor) * e.error + _ROUNDING * abs(value))


def require(**variances: float) -> None:
    """raises: InvalidSpec, naming the first argument that is no finite number >= 0."""
    for name, value in variances.items():
        if not 0 <= value < inf:
            raise InvalidSpec(f"{name} must be a finite number of at least 0, got {value}")


def _slope_square(a: Activation, q: float) -> Estimate:
    if a.moments:
        return _exact(a.moments.slopes(q, 1.0))
    return gaussian.expect(lambda u: a.derivative(u) ** 2, q, a.breaks)


def _exact(value: Any) -> Estimate:
    """raises: Divergent where a closed form leaves float64's range."""
    if not isfinite(value):
        raise Divergent(f"a closed form gives {float(value)}; scale its argument down")
    return Estimate(float(value), _ROUNDING * abs(float(value)))


def _at_or_above_0(f: Callable[[float], Estimate], q: float) -> Estimate:
    """f(q), or the limit at 0 with what the step from there can change."""
    if q:
        return f(q)
    near, further = f(_SMALL), f(4 * _SMALL)
    return Estimate(
        near.value, near.error + further.error + abs(further.value - near.value) / (sqrt(4.0) - 1)
    )


def _require_correlation(c: float) -> None:
    if not -1 <= c <= 1:
        raise InvalidSpec(f"a correlation must lie in [-1, 1], got {c}; clip it if it is rounding")
