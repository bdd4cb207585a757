"""Norms over so many values that their variance hardly varies, though the values are no independent
Gaussians.

Batch Norm over positions that are alike within a sample, group norm over channels and positions,
and either over what is not Gaussian. sigma is then a constant, and z of the kind that y was. What
is left out is of the order of 1 / n, where n is how many independent values of one variance
fluctuate as much as these do (their participation ratio); the error says so.
"""

from math import inf, log2

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.laws import Gaussian, WeightedSlopes
from depthscale.theory.states import Gradient, Signal, Weighted, log2_of, product_of, sum_of

_FEWEST = {
    True: 20,
    False: 200,
}  # independent values, by whether positions of a sample are told apart
_ROUNDING = 1e-13


def shares(norm: Norm, positions: int) -> tuple[float, float, float]:
    """Of a mean over the norm's pairs of values: those of one value with itself, of two positions,
    of two samples."""
    if norm.size == inf:
        return (0.0, 0.0, 1.0) if norm.kind == "batch" else (0.0, 0.0, 0.0)
    own, near = 1 / norm.size, (positions - 1) / norm.size
    return own, near, (1 - own - near) if norm.kind == "batch" else 0.0


def forward(norm: Norm, y: Signal) -> Signal:
    """The norm's output. / raises: NoTheory where too few values take part."""
    own, near, ratio = shares(norm, y.positions)
    mean2 = own + near * y.within + ratio * y.ratio + _square_of_mean(norm, y)
    spread, many = y.log2_ms + log2_of(1 - mean2), independent(norm, y)
    if spread == -inf:
        raise NoTheory("its input does not vary, so there is nothing to divide by")
    variance = sum_of(spread, log2_of(norm.eps))
    log2_ms, left = spread - variance, 1 - mean2
    if norm.kind == "batch":
        between = (y.ratio - mean2) / left
    else:  # two samples' group means share 1 / channels of what their entries do
        between = (y.ratio - _square_of_mean(norm, y)) * (1 - y.positions / norm.size) / left
    within = None if y.near is None else (y.near - mean2) / left
    law = Gaussian(2.0**log2_ms, between) if isinstance(y.law, Gaussian) else None
    log2_spread = y.log2_spread - variance
    return Signal(
        log2_ms,
        between,
        log2_spread,
        law=law,
        normalized=True,
        error=y.error + 2 / many,
        positions=y.positions,
        near=within,
    )


def backward(norm: Norm, y: Signal, g: Gradient) -> Gradient:
    """dE/dy = (1/sigma) (g - <g> - z <z g>), <> over the norm's values, with E 1/sigma^2 to the
    first order in 1 / n."""
    out, many = forward(norm, y), independent(norm, y)
    variance = y.log2_ms + log2_of(1 - _mean2(norm, y)) - out.log2_ms
    w, square, mean_g, of_sigma = taken(norm, y, g)
    at, nearby = w.slopes, w.near_slopes or w.slopes
    w_near = w.ratio if w.near is None else w.near
    error = g.error + y.error + 2 / many + (y.spread_error if norm.kind == "batch" else 0.0)
    left = square - mean_g - of_sigma
    if not left > _ROUNDING * square:
        return Gradient(left if left != left else -inf, 0.0, error)
    factor = log2(left * (1 + 2 / many + (y.wavering if norm.kind == "batch" else 0.0))) - variance
    # the parts taken away are common to all values, so that each pair keeps its product less the
    # same
    pairs = (
        (w_near * float(nearby.product.mean()) - mean_g) / left,
        (w.ratio * float(at.product.mean()) - mean_g) / left,
    )
    between = pairs[1] if norm.kind == "batch" else w.ratio * float(at.product.mean()) / left
    alike = y.near is None and w.near is None
    return Gradient(
        product_of(factor, w.log2_unit), between, error, near=None if alike else pairs[0]
    )


def taken(norm: Norm, y: Signal, g: Gradient) -> tuple[Weighted, float, float, float]:
    """The slopes above, their mean square, and what of it the terms through the mean and through
    sigma take away."""
    out = forward(norm, y)
    w = g.weighted or Weighted(
        _plain(out.ratio, out.log2_ms), g.ratio, g.log2_ms, g.near, _plain(out.within, out.log2_ms)
    )
    square = float(w.slopes.square.mean())
    if norm.statistics == "frozen":
        return w, square, 0.0, 0.0
    own, near, ratio = shares(norm, y.positions)
    at, nearby = w.slopes, w.near_slopes or w.slopes
    w_near = w.ratio if w.near is None else w.near

    def mean(own_value: np.ndarray, near_value: np.ndarray, ratio_value: np.ndarray) -> float:
        terms = own * own_value + near * w_near * near_value + ratio * w.ratio * ratio_value
        return float(terms.mean())

    mean_g, mean_zg = (
        mean(at.square, nearby.product, at.product),
        mean(at.z_square, nearby.z_product, at.z_product),
    )
    return w, square, mean_g, (2 - 2.0**out.log2_ms) * mean_zg


def deviation(norm: Norm, y: Signal) -> tuple[float, float]:
    """Mean of sigma^2, and its variance over the square of its mean, to the first order in 1 /
    n."""
    variance = 2.0 ** (y.log2_ms + log2_of(1 - _mean2(norm, y)))
    return variance + norm.eps, 2 / independent(norm, y) * (variance / (variance + norm.eps)) ** 2


def _mean2(norm: Norm, y: Signal) -> float:
    own, near, ratio = shares(norm, y.positions)
    return own + near * y.within + ratio * y.ratio + _square_of_mean(norm, y)


def _square_of_mean(norm: Norm, y: Signal) -> float:
    """What the entries of a group have in common beside a channel's positions."""
    if norm.kind == "batch" or not y.mean:
        return 0.0
    own, near, _ = shares(norm, y.positions)
    return y.mean**2 * (1 - own - near)


def independent(norm: Norm, y: Signal) -> float:
    """(sum of eigenvalues)^2 / sum of their squares, of the covariance of the norm's values about
    their mean."""
    if norm.size == inf:
        return inf
    p, samples = y.positions, norm.size / y.positions
    alone, together = (
        1 - y.within,
        1 - y.within + p * (y.within - (y.ratio if norm.kind == "batch" else y.mean**2)),
    )
    total = samples * (p - 1) * alone + (samples - 1) * together
    squares = samples * (p - 1) * alone**2 + (samples - 1) * together**2
    many = total**2 / squares if squares else 0.0
    fewest = _FEWEST[y.near is not None or norm.kind == "group"]
    if not many >= fewest and y.positions == 1:
        raise NoTheory(
            f"no rule for a {norm.kind} norm over {norm.size:g} values that are neither Gaussian "
            "nor an activation's output"
        )
    if not many >= fewest:
        raise NoTheory(
            f"its {norm.size:g} values vary as {many:.3g} independent ones do, too few for a "
            "variance that hardly varies"
        )
    return many


def _plain(correlation: float, log2_ms: float) -> WeightedSlopes:
    """Slopes of no activation, between z of that correlation."""
    one, z2 = np.ones(1), np.array([2.0**log2_ms])
    return WeightedSlopes(one, one, z2, correlation * z2, 0.0)
