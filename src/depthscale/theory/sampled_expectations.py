"""Virtual neurons: expectations over what one neuron sees on a whole batch, by quasi-random
sampling, with their error."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from scipy.special import gammaincinv, ndtri

from depthscale.errors import NoTheory
from depthscale.network import Activation, Phi, activation, shifted
from depthscale.theory.laws import Gaussian, Law, Spherical, WeightedSlopes

# 1 - c below which a spread falls in proportion to it, and a difference of moments has lost its
# digits
CLOSE = 1e-10
_REPLICATES = 8  # independent scramblings, whose spread is the error
_LOG2_POINTS = 12  # points of each


@dataclass(frozen=True)
class After:
    """A norm above an activation, x = norm(phi(y)), over the law of y. / square: E x^2.

    slopes: mean square of dE/dy over that of g = dE/dx; slopes_ratio: its ratio between samples;
    at: mean square of the gradient at phi(y), over that of g; error: relative, of each.
    """

    square: float
    slopes: float
    slopes_ratio: float
    at: float
    error: float


@lru_cache(maxsize=256)
def norm_after_activation(
    name: Phi,
    law: Gaussian,
    size: int,
    of_batch: bool,
    eps: float,
    ratio: float = 0.0,
    frozen: bool = False,
) -> After:
    """Of a norm over `size` values of phi(y). / law: of y; between samples for a norm over a batch,
    whose gradients g have `ratio`.

    A sample's entries are independent. eps: over the unit of phi(y)^2. frozen: no gradient through
    the statistics. dE/dy = phi'(y) (1/sigma) (g - <g> - x <x g>), averaged over g in closed form
    and over y by sampling.
    """
    a = shifted(activation(name), law.gain, law.shift)
    found = np.array(
        [
            _replicate(a, law, size, of_batch, eps, ratio, frozen, seed)
            for seed in range(_REPLICATES)
        ]
    )
    square, slopes, product, at = found.mean(axis=0).tolist()
    error = float(found[:, 1].std(ddof=1) / sqrt(_REPLICATES) / slopes) if slopes else 0.0
    return After(square, slopes, product / slopes if slopes else 0.0, at, error)


@lru_cache(maxsize=1 << 12)
def spread_of_group(name: Phi, law: Spherical) -> tuple[float, float]:
    """E (phi(u) - phi(u'))^2 / 2 for one entry of two samples, each normalized over its own group.
    / returns: it, relative error.

    Where 1 - c < CLOSE, the spread is that at CLOSE. The entry and what the others add to either
    sum of squares suffice: five numbers, the sums being a Wishart matrix of one degree of freedom
    fewer than the sphere's dimension (Bartlett's decomposition).
    """
    assert law.correlation is not None
    c = min(law.correlation, 1 - CLOSE)
    s, m, phi = sqrt((1 - c) * (1 + c)), law.size, activation(name).phi
    found = np.empty(_REPLICATES)
    for seed in range(_REPLICATES):
        x, across, own, tilt, rest = _group_points(law.dimension, seed)
        other = c * x + s * across
        z = x / np.sqrt((x**2 + own**2) / m + law.eps)
        z_other = other / np.sqrt(
            (other**2 + (c * own + s * tilt) ** 2 + (s * rest) ** 2) / m + law.eps
        )
        gain = law.gain * sqrt(law.dimension / m)  # a centred entry has less
        found[seed] = (
            np.square(phi(gain * z + law.shift) - phi(gain * z_other + law.shift)).mean() / 2
        )
    return _with_error(found)


@lru_cache(maxsize=64)
def _group_points(dimension: int, seed: int) -> tuple[np.ndarray, ...]:
    """Three standard Gaussians, and chis of 1 and 2 degrees of freedom fewer than the dimension (0
    for none), as columns."""
    unit = uniform(5, _LOG2_POINTS, seed)
    chis = [
        np.sqrt(2 * gammaincinv(k / 2, unit[:, i])) if k > 0 else np.zeros(len(unit))
        for i, k in ((3, dimension - 1), (4, dimension - 2))
    ]
    x, across, tilt = ndtri(unit[:, :3]).T
    return x, across, chis[0], tilt if dimension > 1 else np.zeros(len(unit)), chis[1]


@lru_cache(maxsize=256)
def factor_of_group_after(name: Phi, law: Gaussian, size: int, eps: float) -> tuple[float, float]:
    """Spread between samples of x = norm(phi(y)) over that of phi(y), the norm over `size` entries
    of one sample. / law: of y.

    returns: factor, relative error.
    """
    a, c = shifted(activation(name), law.gain, law.shift), min(law.correlation, 1 - CLOSE)
    root, found = sqrt(law.variance), np.empty(_REPLICATES)
    for seed in range(_REPLICATES):
        points = gaussians(2 * size, _LOG2_POINTS, seed)
        y, across = root * points[:, :size], root * points[:, size:]
        x, other = (a.phi(each) for each in (y, c * y + sqrt((1 - c) * (1 + c)) * across))
        found[seed] = (
            np.square(_standardized(x, eps) - _standardized(other, eps)).mean()
            / np.square(x - other).mean()
        )
    return _with_error(found)


def _standardized(x: np.ndarray, eps: float) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + eps)


def _with_error(found: np.ndarray) -> tuple[float, float]:
    """Mean over replicates and its relative standard error."""
    mean = float(found.mean())
    return mean, float(found.std(ddof=1) / sqrt(len(found)) / mean) if mean else 0.0


def _replicate(
    a: Activation,
    law: Gaussian,
    size: int,
    of_batch: bool,
    eps: float,
    ratio: float,
    frozen: bool,
    seed: int,
) -> tuple[float, float, float, float]:
    """E x^2, E of dE/dy's square and of its product between samples, E of the square at phi(y);
    from one set of points."""
    points = gaussians(size + 1, _LOG2_POINTS, seed)
    shared = law.correlation if of_batch else 0.0
    y = sqrt(law.variance) * _correlated(points, shared)
    x, slope = a.phi(y), a.derivative(y)
    centred = x - x.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    if not eps and not variance.all():  # ReLU of values that are all negative
        raise NoTheory(
            f"{a.name} gives {size} equal values now and then, so the mean of 1/sigma^2 is infinite"
        )
    inverse = 1 / (variance + eps)
    r2 = variance * inverse
    if frozen:
        square, product = (inverse * slope**2).mean(), ratio * _off_diagonal(slope, slope, inverse)
        return float(r2.mean()), float(square), float(product), float(inverse.mean())
    kept = (1 - ratio) * inverse * (1 - 1 / size - (2 - r2) * centred**2 * inverse / size)
    z_slope = centred * np.sqrt(inverse * (2 - r2)) * slope
    product = (
        -(1 - ratio)
        / size
        * (_off_diagonal(slope, slope, inverse) + _off_diagonal(z_slope, z_slope, inverse))
    )
    return float(r2.mean()), float((kept * slope**2).mean()), product, float(kept.mean())


def _correlated(points: np.ndarray, correlation: float) -> np.ndarray:
    """Unit Gaussians with one correlation between all columns, also a negative one. / points: [n,
    columns + 1]."""
    own, common = points[:, 1:], points[:, :1]
    columns = own.shape[1]
    mean = own.mean(axis=1, keepdims=True)
    spread = sqrt(1 - correlation) * (own - mean)
    return spread + sqrt(max(0.0, (1 - correlation) / columns + correlation)) * common


def _off_diagonal(u: np.ndarray, v: np.ndarray, weight: np.ndarray) -> float:
    """E weight u_i v_j over i != j."""
    n = u.shape[1]
    pairs = (u.sum(axis=1) * v.sum(axis=1) - (u * v).sum(axis=1)) / (n * (n - 1))
    return float((weight[:, 0] * pairs).mean())


def gaussians(dimensions: int, log2_points: int, seed: int) -> np.ndarray:
    """Quasi-random standard Gaussians. / returns: [2^log2_points, dimensions]."""
    return ndtri(uniform(dimensions, log2_points, seed))


def uniform(dimensions: int, log2_points: int, seed: int) -> np.ndarray:
    from scipy.stats import qmc  # loads for longer than most predictions take

    return np.clip(qmc.Sobol(dimensions, rng=seed).random_base2(log2_points), 1e-16, 1 - 1e-16)


@dataclass(frozen=True, eq=False)
class Largest:
    """Of phi(u), u where phi is largest in a window. / mean, square: E phi, E phi^2.

    product, near: E phi phi between two samples' windows, and between two of one sample.
    slopes, near_slopes: at u, between two samples' windows and one's; error: relative.
    """

    mean: float
    square: float
    product: float
    near: float
    slopes: WeightedSlopes
    near_slopes: WeightedSlopes
    error: float


@lru_cache(maxsize=256)
def largest(name: Phi, law: Law, near: float | None, taps: int) -> Largest:
    """Of windows of `taps` positions. / law: of what the activation received; near: its correlation
    in a sample, None as the law's.

    A sphere of more values than two windows hold is sampled as it is; its eps moves phi's argument
    by its mean alone.
    """
    a = activation(name)
    found = []
    for seed in range(_REPLICATES):
        if isinstance(law, Spherical):
            radius = float(np.sqrt(np.dot(law.weights, np.square(law.radii))))
            pair = _windows_on_sphere(law.size, taps, seed) * radius
            found.append([_at_largest(a, law, pair)] * 2)
        else:
            inner, std = law.correlation if near is None else near, sqrt(law.variance)
            pairs = [std * _windows(taps, inner, cross, seed) for cross in (law.correlation, inner)]
            found.append([_at_largest(a, law, each) for each in pairs])
    table = np.array(found)  # [replicates, of two samples or of one, moments]
    (mean, square, product, *between), (_, _, in_sample, *within) = table.mean(axis=0).tolist()
    error = float(table[:, 0, 1].std(ddof=1) / sqrt(_REPLICATES) / square) if square else 0.0
    radii2 = (
        np.square(law.radii) / np.dot(law.weights, np.square(law.radii))
        if isinstance(law, Spherical)
        else np.ones(1)
    )
    return Largest(
        mean,
        square,
        product,
        in_sample,
        _slopes(between, radii2, error),
        _slopes(within, radii2, error),
        error,
    )


def mean_of(found: Sequence[Largest], weights: np.ndarray) -> Largest:
    """Over windows of several sizes."""

    def mean(name: str) -> float:
        return float(sum(w * getattr(each, name) for w, each in zip(weights, found, strict=True)))

    def slopes(name: str) -> WeightedSlopes:
        parts = [getattr(each, name) for each in found]

        def column(of: str) -> np.ndarray:
            return np.sum(
                [w * getattr(each, of) for w, each in zip(weights, parts, strict=True)], axis=0
            )

        error = max(each.error for each in parts)
        return WeightedSlopes(
            column("square"), column("product"), column("z_square"), column("z_product"), error
        )

    error = max(each.error for each in found)
    return Largest(
        mean("mean"),
        mean("square"),
        mean("product"),
        mean("near"),
        slopes("slopes"),
        slopes("near_slopes"),
        error,
    )


def _slopes(moments: list[float], radii2: np.ndarray, error: float) -> WeightedSlopes:
    square, product, z_square, z_product = moments
    one = np.ones_like(radii2)
    return WeightedSlopes(square * one, product * one, z_square * radii2, z_product * radii2, error)


def _at_largest(a: Activation, law: Law, z: np.ndarray) -> list[float]:
    """Moments over pairs of windows. / z: [n, 2, taps]."""
    u = law.gain * z + law.shift
    x = a.phi(u)
    place = x.argmax(axis=2, keepdims=True)
    at, best, slope = (
        np.take_along_axis(each, place, 2)[:, :, 0] for each in (z, x, a.derivative(u))
    )
    z_slope = at * slope
    firsts = [
        best.mean(),
        (best**2).mean(),
        best.prod(axis=1).mean(),
        (slope**2).mean(),
        slope.prod(axis=1).mean(),
    ]
    return [float(each) for each in (*firsts, (z_slope**2).mean(), z_slope.prod(axis=1).mean())]


def _windows(taps: int, inner: float, cross: float, seed: int) -> np.ndarray:
    """Two windows of unit Gaussians, of correlation `inner` within and `cross` between; negative
    ones count as 0."""
    points = gaussians(2 * taps + 3, _LOG2_POINTS, seed)
    cross = max(0.0, cross)
    inner = min(1.0, max(inner, cross))
    own = points[:, 3:].reshape(-1, 2, taps)
    return (
        sqrt(1 - inner) * own
        + sqrt(inner - cross) * points[:, 1:3, None]
        + sqrt(cross) * points[:, :1, None]
    )


def _windows_on_sphere(size: int, taps: int, seed: int) -> np.ndarray:
    """Two windows of coordinates of one uniform point of mean 0 and mean square 1 in R^size."""
    rest = size - 2 * taps
    if rest < 2:
        raise NoTheory(
            f"max pooling after a norm over {size} values, which two windows of {taps} fill"
        )
    unit = uniform(2 * taps + 2, _LOG2_POINTS, seed)
    g, common = ndtri(unit[:, : 2 * taps]), ndtri(unit[:, -2])
    mean = (g.sum(axis=1) + sqrt(rest) * common) / size
    squares = (g**2).sum(axis=1) + common**2 + 2 * gammaincinv((rest - 1) / 2, unit[:, -1])
    std = np.sqrt(squares / size - mean**2)
    return ((g - mean[:, None]) / std[:, None]).reshape(-1, 2, taps)
