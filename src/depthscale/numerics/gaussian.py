"""Expectations over a Gaussian variable, and over a pair of correlated ones, each with its error.

The line is cut at the kinks, where the density falls, and ever closer to kinks and origin where the
Gaussian is wide: a function may bend over a length of order 1 however large the variance. What is
still unresolved is halved (see `panels`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, copysign, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthscale.errors import Divergent, InvalidSpec
from depthscale.numerics.estimate import Estimate, Estimates
from depthscale.numerics.panels import (
    COARSE,
    FINE,
    NODES,
    ROUNDING,
    UNDERFLOW,
    integrate,
    panels,
    weighed,
)
from depthscale.numerics.values import Array, Function

CUTS = np.array([0.0, 2.0, 4.5, 9.0, 38.0])  # in standard deviations; at 38 the density is 1e-314
_EDGES = np.concatenate([-CUTS[:0:-1], CUTS])
# a panel may be this long next to a bend of length 1, and grow threefold from there: Gauss's 15
# nodes give 1e-16
_BEND = 2.0
_SAFE = 1e-13  # a common rule whose error is more, relative to E|f|, is replaced by halved panels
_OUTGROWS = 1e100  # growth of f from 19 to 38 standard deviations that is no power of x
_NEAR_ORIGIN, _FALLEN = (
    np.linspace(-_BEND, _BEND, 9),
    1e-3,
)  # where a local f is large; its share a standard deviation away
_CHUNK = 1 << 16  # points handled at once, so that they stay in the cache


def expect(
    f: Function, variance: float = 1.0, kinks: Sequence[float] = (), mean: float = 0.0
) -> Estimate:
    """E f(mean + sqrt(variance) g), g ~ N(0, 1).

    f: elementwise function of float64 arrays of any shape. / variance: >= 0. / kinks: where f or
    its derivatives jump, and where a smooth f bends over lengths below 0.01.
    error: |31 vs 15 nodes per panel| plus 2^-49 E|f| for rounding, f being right to a few units in
    the last place; with kinks that were not given, the truth may lie up to 10 times that far.
    raises: Divergent where f is not finite or outgrows the density; InvalidSpec for a variance
    below 0.
    """
    variance, mean = float(variance), float(mean)
    if mean == 0.0 and 0.0 < variance < np.inf and not any(kinks):
        estimate = _by_common_rule(f, sqrt(variance))
        if estimate is not None:
            return estimate
    return expect_each(f, np.array([variance]), kinks, np.array([mean]))[0]


def expect_each(
    f: Function, variances: ArrayLike, kinks: Sequence[float] = (), means: ArrayLike = 0.0
) -> Estimates:
    """`expect` at n settings in a few calls of f. / variances, means: [n] or scalar. / returns:
    Estimates [n]."""
    variances, means = np.broadcast_arrays(
        np.atleast_1d(np.asarray(variances, float)), np.asarray(means, float)
    )
    _require_variances(variances)
    spread = np.flatnonzero(variances > 0)
    with np.errstate(all="ignore"):
        value = np.array(f(means), float)
    _require_finite(value[variances == 0], means[variances == 0])
    error = ROUNDING * np.abs(value) + UNDERFLOW
    if _in_common(tuple(kinks), variances, means):
        value[spread], error[spread] = _by_common_rules(
            f, np.sqrt(variances[spread]), means[spread]
        )
        spread = spread[~(error[spread] < np.inf)]
    for some in np.array_split(spread, 1 + spread.size * 256 // _CHUNK):
        if some.size:
            found = _over_the_line(f, np.sqrt(variances[some]), means[some], kinks)
            value[some], error[some] = found.value, found.error
    return Estimates(value, error)


def expect_pair(
    f: Function,
    g: Function,
    variance_a: float,
    variance_b: float,
    correlation: float,
    kinks_f: Sequence[float] = (),
    kinks_g: Sequence[float] = (),
) -> Estimate:
    """E f(u) g(v) for Gaussian u, v of mean 0, the variances given (>= 0), and a correlation in
    [-1, 1].

    f, g, kinks, error, raises: as `expect`.
    """
    _require_variances(np.array([variance_a, variance_b], float))
    if not -1.0 <= correlation <= 1.0:
        raise InvalidSpec(
            f"a correlation must lie in [-1, 1], got {correlation}; clip it if it is rounding"
        )
    if correlation == 0.0 or variance_a == 0.0 or variance_b == 0.0:
        return expect(f, variance_a, kinks_f) * expect(g, variance_b, kinks_g)
    if variance_a < variance_b:
        f, g, variance_a, variance_b, kinks_f, kinks_g = (
            g,
            f,
            variance_b,
            variance_a,
            kinks_g,
            kinks_f,
        )
    std_a, std_b = sqrt(variance_a), sqrt(variance_b)
    if abs(correlation) == 1.0:
        ratio = correlation * std_b / std_a
        return expect(
            lambda u: f(u) * g(ratio * u), variance_a, [*kinks_f, *(k / ratio for k in kinks_g)]
        )
    return _over_the_plane(f, g, std_a, std_b, correlation, kinks_f, kinks_g)


def expect_pair_each(
    f: Function,
    g: Function,
    variance_a: float,
    variance_b: float,
    correlations: ArrayLike,
    kinks_f: Sequence[float] = (),
    kinks_g: Sequence[float] = (),
) -> Estimates:
    """`expect_pair` at n correlations. / correlations: [n]. / returns: Estimates [n]."""
    pairs = [
        expect_pair(f, g, variance_a, variance_b, c, kinks_f, kinks_g)
        for c in np.asarray(correlations, float).ravel()
    ]
    return Estimates(np.array([p.value for p in pairs]), np.array([p.error for p in pairs]))


def density(g: Array) -> Array:
    """The standard normal density."""
    return np.exp(-0.5 * g * g) / sqrt(2 * np.pi)


# ---- one rule for many settings


def _in_common(kinks: tuple[float, ...], variances: Array, means: Array) -> bool:
    """Whether one set of points serves all settings: f is smooth but at the mean, or smooth and the
    Gaussian narrow."""
    smooth_but_at_the_mean = not any(kinks) and not means.any()
    return smooth_but_at_the_mean or (
        not kinks and bool(variances.max(initial=0.0) <= (_BEND / CUTS[1]) ** 2)
    )


class _CommonRule(NamedTuple):
    """points [n] in standard deviations; weights [n], with the density; gaps [p, 31]: per panel,
    fine - coarse weights."""

    points: Array
    weights: Array
    gaps: Array


@lru_cache(maxsize=64)
def _common_rule(levels: int) -> _CommonRule:
    """The rule on panels graded towards 0 down to 2 / 3^levels."""
    graded = CUTS[1] / 3.0 ** np.arange(levels, 0, -1)
    edges = np.concatenate([_EDGES, graded, -graded])
    left, right, _ = panels(edges[None, :])
    half = (right - left)[:, None] / 2
    points = (left + right)[:, None] / 2 + half * NODES
    heights = half * density(points)
    return _CommonRule(points.ravel(), (heights * FINE).ravel(), heights * (FINE - COARSE))


def _levels(length: float) -> int:
    """How many threefold steps lead from a panel of that length, in bends, down to one bend."""
    return max(0, ceil(log(length) / log(3.0) - 1e-9)) if length > 0 else 0


def _by_common_rule(f: Function, std: float) -> Estimate | None:
    """E f(std g), or None where the common rule does not resolve it."""
    value, error = _by_common_rules(f, np.array([std]), np.zeros(1))
    return Estimate(float(value[0]), float(error[0])) if error[0] < np.inf else None


def _by_common_rules(f: Function, std: Array, mean: Array) -> tuple[Array, Array]:
    """E f(mean + std g) and its error, which is inf where the common rule does not resolve it. /
    std: [n], > 0; mean: [n]."""
    rule = _common_rule(_levels(float(std.max(initial=0.0)) * CUTS[1] / _BEND))
    rows = max(1, _CHUNK // len(rule.points))
    if len(std) > rows:
        parts = [
            _by_common_rules(f, std[i : i + rows], mean[i : i + rows])
            for i in range(0, len(std), rows)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    with np.errstate(all="ignore"):
        heights = np.asarray(f(mean[:, None] + std[:, None] * rule.points), float)
        value = weighed(heights, rule.weights)
        size = weighed(np.abs(heights), rule.weights)
        gap = np.abs(np.einsum("vpn,pn->vp", heights.reshape(-1, *rule.gaps.shape), rule.gaps)).sum(
            axis=1
        )
        ends = np.abs(heights[:, [0, -1]]).sum(axis=1) * density(CUTS[-1:])
    resolved = np.isfinite(size) & (gap <= _SAFE * size) & (ends <= ROUNDING * size)
    return value, np.where(resolved, gap + ROUNDING * size + UNDERFLOW, np.inf)


# ---- panels of its own for each setting


def _over_the_line(f: Function, std: Array, mean: Array, kinks: Sequence[float]) -> Estimates:
    """E f(mean + std g). / std, mean: [n], std > 0."""

    def integrand(g: Array, owner: NDArray[np.intp]) -> tuple[Array, None]:
        return np.asarray(f(mean[owner, None] + std[owner, None] * g), float) * density(g), None

    places = [((k - mean) / std)[:, None] for k in {0.0, *map(float, kinks)}]
    edges = np.concatenate([_edges(p, _BEND / std) for p in places], axis=1)
    try:
        found = integrate(integrand, *panels(edges), len(std))
    except Divergent:
        raise Divergent(_where_not_finite(f, std, mean)) from None
    tails = _tails(
        lambda g: np.asarray(f(mean[:, None] + std[:, None] * g), float),
        found,
        lambda i: f"E f over a Gaussian of variance {std[i] ** 2:.3g}",
    )
    return Estimates(found.value, found.error + tails)


def _edges(place: Array, length: Array) -> Array:
    """Edges for functions that bend at a place over a length. / place, [n, 1], length, [n] or [1]:
    in standard deviations."""
    levels = 1 + _levels(float(CUTS[-2] / length.min())) if length.min() < CUTS[1] else 0
    steps = length[:, None] * 3.0 ** np.arange(levels)
    edges = np.concatenate([place, place - steps, place + steps], axis=1)
    edges[np.abs(edges) > CUTS[-2]] = np.nan
    place_in_tail = np.where((np.abs(place) > CUTS[-2]) & (np.abs(place) < CUTS[-1]), place, np.nan)
    return np.concatenate(
        [np.broadcast_to(_EDGES, (len(edges), len(_EDGES))), edges, place_in_tail], axis=1
    )


def _over_the_plane(
    f: Function,
    g: Function,
    std_a: float,
    std_b: float,
    c: float,
    kinks_f: Sequence[float],
    kinks_g: Sequence[float],
) -> Estimate:
    """E E[f(u) | w] E[g(v) | w], w being what u and v share: u = std_a (share_a w + rest_a a), v
    likewise, share_a share_b = c.

    With equal shares a bend has the length of the rest in w, so that only the inner expectations
    resolve it. What is local is integrated over itself: next to a large mean its argument would
    lose its digits.
    """
    what = f"E f(u) g(v) at standard deviations {std_a:.3g} and {std_b:.3g}, correlation {c:.3g}"
    if _is_local(f, std_a) or _is_local(g, std_b):
        shares, rests = (1.0, c), (0.0, sqrt((1.0 - c) * (1.0 + c)))
    else:
        shares, rests = (sqrt(abs(c)), copysign(sqrt(abs(c)), c)), (sqrt(1.0 - abs(c)),) * 2
    alike = f is g and std_a == std_b and shares[0] == shares[1]

    def given(
        h: Function, std: float, kinks: Sequence[float], share: float, rest: float, w: Array
    ) -> Estimates:
        found = expect_each(h, (std * rest) ** 2, kinks, std * share * w.ravel())
        return Estimates(found.value.reshape(w.shape), found.error.reshape(w.shape))

    def both(w: Array) -> tuple[Array, Array]:
        of_f = given(f, std_a, kinks_f, shares[0], rests[0], w)
        of_g = of_f if alike else given(g, std_b, kinks_g, shares[1], rests[1], w)
        return of_f.value * of_g.value, np.abs(of_f.value) * of_g.error + np.abs(
            of_g.value
        ) * of_f.error

    def integrand(w: Array, _: NDArray[np.intp]) -> tuple[Array, Array]:
        value, error = both(w)
        return value * density(w), error * density(w)

    bends = set[tuple[float, float]]()
    for std, kinks, share, rest in zip(
        (std_a, std_b), (kinks_f, kinks_g), shares, rests, strict=True
    ):
        bends.add((0.0, _BEND * max(1.0 / std, rest) / abs(share)))
        bends |= {(k / (std * share), _BEND * (rest or 1.0 / std) / abs(share)) for k in kinks}
    edges = np.concatenate(
        [_edges(np.array([[place]]), np.array([length])) for place, length in bends], axis=1
    )
    try:
        found = integrate(integrand, *panels(edges), 1)
    except Divergent as reason:
        raise Divergent(f"{what}: {reason}") from None
    tails = _tails(lambda w: both(w)[0][None, :], found, lambda _: what)
    return Estimates(found.value, found.error + tails)[0]


def _is_local(f: Function, std: float) -> bool:
    """Whether f is smaller a standard deviation away than within a bend of the origin, by more than
    it falls over a few bends."""
    with np.errstate(all="ignore"):
        near, far = (
            float(np.abs(np.asarray(f(at), float)).max())
            for at in (_NEAR_ORIGIN, np.array([-std, std]))
        )
    return far < _FALLEN * near


# ---- refusals


def _require_variances(variances: Array) -> None:
    if not ((variances >= 0) & (variances < np.inf)).all():
        bad = variances[~((variances >= 0) & (variances < np.inf))][0]
        raise InvalidSpec(f"a variance must be >= 0 and finite, got {bad}")


def _require_finite(values: Array, means: Array) -> None:
    if not np.isfinite(values).all():
        at = int(np.argmax(~np.isfinite(values)))
        raise Divergent(
            f"E f at variance 0 is f at the mean, and f({means[at]:.6g}) is {values[at]}"
        )


def _where_not_finite(f: Function, std: Array, mean: Array) -> str:
    """Where f is not finite, in words."""
    x = (mean[:, None] + std[:, None] * np.linspace(-CUTS[-1], CUTS[-1], 1025)).ravel()
    with np.errstate(all="ignore"):
        y = np.asarray(f(x), float)
    bad = np.flatnonzero(~np.isfinite(y))
    if bad.size:
        at = bad[np.argmin(np.abs(x[bad]))]
        fact = f"f({x[at]:.6g}) is {y[at]}"
    else:
        fact = "the sum overflows float64, or f is not finite at a point"
    return (
        f"E f over a Gaussian of variance up to {std.max() ** 2:.3g}: {fact}; scale f or its "
        "argument down"
    )


def _tails(at: Function, found: Estimates, what: Callable[[int], str]) -> Array:
    """About what lies beyond the last cut. / at: what multiplies the density, [n, 2] for [2]
    standard deviations.

    raises: Divergent where it is still not small against the density there.
    """
    ends = np.array([-CUTS[-1], CUTS[-1]])
    with np.errstate(all="ignore"):
        last, half_way = np.abs(at(ends)), np.abs(at(ends / 2))
        tails = (last * density(ends)).sum(axis=1)
        grows = ((half_way > 0) & (last > _OUTGROWS * half_way)).any(axis=1)
    open_ended = grows & ~(tails <= ROUNDING * np.abs(found.value) + found.error)
    if open_ended.any():
        raise Divergent(
            f"{what(int(np.argmax(open_ended)))}: the integrand outgrows the density, which is "
            "not yet small against it at "
            f"{CUTS[-1]:.0f} standard deviations; the expectation is infinite or lies out there"
        )
    return tails
