"""Rules of the normalizers.

Over B exchangeable samples: z is uniform on the sphere of radius sqrt(B) orthogonal to the ones and
independent of sigma, and B sigma^2 over the variance between samples is chi-squared with B - 1
degrees of freedom; the infinite batch is the limit. Over the many entries of one sample (layer,
rms) sigma is a constant; over m of them (group) the sphere returns, with m for B.
source: arXiv:1902.08129 (Yang et al. 2019), Theorems 3.5 to 3.10, rederived; the others by the same
steps.
"""

from dataclasses import replace
from functools import lru_cache
from math import inf, log2, nan
from typing import NoReturn

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory import self_averaging
from depthscale.theory.laws import Gaussian, Spherical, WeightedSlopes, moved, variance_rule
from depthscale.theory.neurons import (
    CLOSE,
    factor_of_group_after,
    norm_after_activation,
    spread_of_group,
)
from depthscale.theory.states import Gradient, Signal, Source, Weighted, log2_of, product_of, sum_of

_MOST_SAMPLED = 2000  # values of a norm, for each of which virtual neurons take a dimension
_MANY = 200  # entries whose mean square counts as constant where their law is not known
_FAR = 1000.0  # |log2| past which float64 holds no variance
_ROUNDING = 1e-13  # a factor this much smaller than its terms is 0: what is left is their rounding


def forward(norm: Norm, y: Signal) -> Signal:
    """The norm's output. / raises: NoTheory where its input has no variance."""
    if norm.statistics == "running":
        return _divided(y, log2(1 + norm.eps))
    if y.log2_ms != y.log2_ms or (y.within != y.within and not over_many_entries(norm, y)):
        return _of_unknown(norm, y)
    if over_many_entries(norm, y):
        return _divided(_centred(norm, y), log2_variance(norm, y))
    spread = log2_seen(norm, y)
    if spread == -inf:
        raise NoTheory("its input does not vary, so there is nothing to divide by")
    if self_averages(norm, y):
        return self_averaging.forward(norm, y)
    if norm.size == inf:
        log2_z2 = spread - log2_variance(norm, y)
        law = Gaussian(2.0**log2_z2, 0.0) if isinstance(y.law, Gaussian) else None
        error = y.error * share_of_eps(norm, spread)
        return Signal(
            log2_z2, 0.0, log2_z2, law=law, normalized=True, error=error, positions=y.positions
        )
    if not isinstance(y.law, Gaussian):
        return _without_law(norm, y)
    radii, weights, _, _ = mixture(norm, spread)
    log2_ms = log2_of(float(np.dot(weights, np.square(radii))))
    near, sampled = None, 0.0
    if norm.kind in ("batch", "instance"):
        law, between = Spherical(int(norm.size), None, radii, tuple(weights)), -1 / (norm.size - 1)
        log2_spread = log2_ms + log2_of(1 - between)
        if (
            norm.kind == "instance"
        ):  # two samples are independent once each is centred over its positions
            between, near, log2_spread = 0.0, between, log2_ms
    else:
        law = Spherical(
            int(norm.size),
            y.ratio,
            radii,
            tuple(weights),
            norm.eps * 2.0**-spread,
            centred=norm.kind != "rms",
        )
        found, sampled = spread_of_group("linear", law)
        log2_spread = y.log2_spread - spread + log2_of(found / max(1 - y.ratio, CLOSE))
        between = 1 - 2.0 ** (log2_spread - log2_ms)
    return Signal(
        log2_ms,
        between,
        log2_spread,
        law=law,
        normalized=True,
        error=(y.error + y.spread_error) * share_of_eps(norm, spread),
        positions=y.positions,
        near=near,
        spread_error=y.spread_error + sampled if norm.kind in ("group", "rms") else 0.0,
    )


def _of_unknown(norm: Norm, y: Signal) -> Signal:
    """What a norm makes known of values of unknown size, next to which eps counts as 0; sigma stays
    unknown."""
    gaussian = isinstance(y.law, Gaussian)
    if norm.kind == "batch" and y.near is None and norm.size < inf:
        between = -1 / (norm.size - 1)
        law = Spherical(int(norm.size)) if gaussian else None
        return Signal(
            0.0, between, log2_of(1 - between), law=law, normalized=True, positions=y.positions
        )
    mean = y.mean if norm.kind == "rms" else 0.0
    many = over_many_entries(norm, y) or norm.size >= _MANY
    law, near = (
        Gaussian(1.0, y.ratio) if gaussian and many else None,
        None if y.near is None else nan,
    )
    return Signal(
        0.0,
        nan,
        nan,
        mean,
        law,
        normalized=not over_many_entries(norm, y),
        positions=y.positions,
        near=near,
    )


def self_averages(norm: Norm, y: Signal) -> bool:
    """Whether the values are neither alike Gaussians nor an activation's output, so that only their
    number helps."""
    if norm.kind == "instance":
        return False
    several = y.positions > 1 and (y.near is not None or norm.kind == "group")
    return several or (
        norm.size < inf and not isinstance(y.law, Gaussian) and not _is_sampled(norm, y)
    )


def _is_sampled(norm: Norm, y: Signal) -> bool:
    """Whether values are an activation's output, sampled together with its slopes."""
    return (
        y.source is not None
        and isinstance(y.source.received, Gaussian)
        and norm.size <= _MOST_SAMPLED
    )


def _without_law(norm: Norm, y: Signal) -> Signal:
    """The output of a norm over finitely many values that are not Gaussian."""
    if norm.kind == "instance":
        raise NoTheory("no rule for an instance norm of values that are not Gaussian")
    of_batch = norm.kind == "batch"
    log2_ms, error = 0.0, 0.0
    if norm.eps:
        source, received = _sampled(norm, y)
        after = norm_after_activation(
            source.activation, received, int(norm.size), of_batch, _eps(norm, source)
        )
        log2_ms, error = log2(after.square), y.error + after.error
    if of_batch:
        between = -1 / (norm.size - 1)
        return Signal(
            log2_ms, between, log2_ms + log2_of(1 - between), error=error, positions=y.positions
        )
    source, received = _sampled(norm, y)
    factor, spread_error = factor_of_group_after(
        source.activation, received, int(norm.size), _eps(norm, source)
    )
    log2_spread = y.log2_spread - source.unit + log2(factor)
    ratio, sampled = 1 - 2.0 ** (log2_spread - log2_ms), y.spread_error + spread_error
    return Signal(
        log2_ms, ratio, log2_spread, error=error, positions=y.positions, spread_error=sampled
    )


def _eps(norm: Norm, source: Source) -> float:
    """Over the unit in which an activation's output is sampled."""
    return norm.eps * 2.0**-source.unit


def backward(norm: Norm, y: Signal, g: Gradient) -> Gradient:
    """The gradient at the norm's input."""
    if norm.statistics == "running":
        return g.times(-log2(1 + norm.eps))
    if y.log2_ms != y.log2_ms:  # and neither is sigma known
        return Gradient(nan, nan)
    if over_many_entries(norm, y):
        return g.times(-log2_variance(norm, y))
    if self_averages(norm, y):
        return self_averaging.backward(norm, y, g)
    if norm.size == inf or isinstance(y.law, Gaussian):
        return _below(norm, y, g)
    return _below_activation(norm, y, g)


def _below(norm: Norm, y: Signal, g: Gradient) -> Gradient:
    """Below a norm whose input is Gaussian, or whose batch is infinite."""
    spread = log2_seen(norm, y)
    w = g.weighted or Weighted(unweighted(norm, spread, y.ratio), g.ratio, g.log2_ms, g.near)
    rule = _infinite_batch if norm.size == inf else _sphere
    slopes, over_pairs = _over_pairs(norm, y, w)
    if over_pairs != over_pairs:
        return Gradient(nan, nan)
    log2_factor, ratio = rule(norm, spread, slopes, over_pairs)
    error = g.error + y.error
    if norm.kind == "instance":
        return Gradient(
            product_of(log2_factor, w.log2_unit), 0.0, error + y.spread_error, near=ratio
        )
    if norm.kind != "batch":
        return Gradient(product_of(log2_factor, w.log2_unit), ratio, error)
    error = g.error + y.spread_error + y.wavering
    # E 1/s = (1 + var s) / E s, to first order
    log2_inverse = log2(1 + y.wavering) if y.wavering else 0.0
    return Gradient(product_of(log2_factor + log2_inverse, w.log2_unit), ratio, error)


def _over_pairs(norm: Norm, y: Signal, w: Weighted) -> tuple[WeightedSlopes, float]:
    """Slopes, and the gradient's ratio above them, of the mean pair of the norm's values."""
    if norm.kind == "instance" and w.near is not None:
        return w.near_slopes or w.slopes, w.near
    if w.near is None or norm.size == inf:
        return w.slopes, w.ratio
    near, ratio = (
        (y.positions - 1) / (norm.size - 1) * w.near,
        (norm.size - y.positions) / (norm.size - 1) * w.ratio,
    )
    if w.near_slopes is None:
        return w.slopes, near + ratio
    a, b = w.near_slopes, w.slopes
    product, z_product = (
        near * a.product + ratio * b.product,
        near * a.z_product + ratio * b.z_product,
    )
    return replace(b, product=product, z_product=z_product), 1.0


@lru_cache(maxsize=1 << 12)
def _infinite_batch(
    norm: Norm, spread: float, w: WeightedSlopes, ratio: float
) -> tuple[float, float]:
    """dE/dy = (1/sigma) (g - <g> - z <z g>), the batch's means being what two samples share. /
    returns: log2 factor, its ratio."""
    variance = sum_of(spread, log2_of(norm.eps))
    square, product, z_product = (
        float(w.square[0]),
        ratio * float(w.product[0]),
        ratio * float(w.z_product[0]),
    )
    if norm.statistics == "frozen":
        return log2_of(square) - variance, product / square if square else 0.0
    left = square - product - (2 - 2.0 ** (spread - variance)) * z_product
    return (log2_of(left) - variance if left > _ROUNDING * square else -inf), 0.0


@lru_cache(maxsize=1 << 12)
def _sphere(norm: Norm, spread: float, w: WeightedSlopes, ratio: float) -> tuple[float, float]:
    """The same over finitely many values: <g>^2 and <z g>^2 keep each value's own share, 1 /
    size."""
    n = norm.size
    radii, _, weights, log2_inverse = mixture(norm, spread)
    square, product, z_product = w.square, ratio * w.product, ratio * w.z_product
    total = float(weights @ square)
    if norm.statistics == "frozen":
        return log2_of(total) + log2_inverse, float(weights @ product) / total if total else 0.0
    if norm.kind in ("group", "rms"):  # the entries of a sample share no gradient
        product, z_product = 0.0 * product, 0.0 * z_product
    kept_mean = 1.0 if norm.kind == "rms" else 1 - 1 / n
    left = kept_mean * (square - product) - (2 - np.square(radii)) * (
        w.z_square / n + (1 - 1 / n) * z_product
    )
    kept = float(weights @ np.where(left > _ROUNDING * square, left, 0.0))
    if not kept:
        return -inf, 0.0
    shared = (
        -1 / (n - 1)
        if norm.kind in ("batch", "instance")
        else ratio * float(weights @ w.product) / total
    )
    return log2_of(kept) + log2_inverse, shared


@lru_cache(maxsize=1 << 12)
def unweighted(norm: Norm, spread: float, ratio: float) -> WeightedSlopes:
    """Slopes of no activation at all: the gradient above does not depend on z. / ratio: of y
    between samples."""
    if norm.size == inf:
        z2, between = np.array([2.0 ** (spread - sum_of(spread, log2_of(norm.eps)))]), 0.0
    else:
        z2 = np.square(mixture(norm, spread)[0])
        between = ratio if norm.kind in ("group", "rms") else -1 / (norm.size - 1)
    one = np.ones_like(z2)
    return WeightedSlopes(one, one, z2, between * z2, 0.0)


def _below_activation(norm: Norm, y: Signal, g: Gradient) -> Gradient:
    """Below a norm and the activation that it normalizes, whose slopes and sigma depend on each
    other."""
    source, received = _sampled(norm, y)
    of_batch = norm.kind == "batch"
    if of_batch and 1 - received.correlation < CLOSE:
        raise NoTheory(
            "its samples agree to ten digits, too closely for sampled neurons to tell them apart"
        )
    after = norm_after_activation(
        source.activation,
        received,
        int(norm.size),
        of_batch,
        _eps(norm, source),
        g.ratio if of_batch else 0.0,
        norm.statistics == "frozen",
    )
    error = g.error + after.error
    below = Gradient(
        product_of(g.log2_ms, log2_of(after.slopes) - source.unit), after.slopes_ratio, error
    )
    between = -1 / (norm.size - 1) if of_batch and norm.statistics != "frozen" else g.ratio
    return Gradient(
        product_of(g.log2_ms, log2_of(after.at) - source.unit), between, error, below=below
    )


def _sampled(norm: Norm, y: Signal) -> tuple[Source, Gaussian]:
    """The activation whose output a norm divides, and what that received. / raises: NoTheory."""
    if y.source is None or not isinstance(y.source.received, Gaussian):
        _no_rule(norm)
    return y.source, y.source.received


def mixture(
    norm: Norm, log2_spread: float
) -> tuple[tuple[float, ...], np.ndarray, np.ndarray, float]:
    """The law of sigma, as radii of z: forward weights, whose sum is 1, and backward ones, which
    times 2^log2 sum to E 1/sigma^2.

    Without eps the radius is 1 and independent of sigma. / returns: radii, weights [k], weights
    [k], log2.
    """
    degrees = norm.size - (norm.kind != "rms")
    if not norm.eps:
        mean_inverse = log2(norm.size / (degrees - 2)) if degrees > 2 else inf
        return (1.0,), np.ones(1), np.ones(1), mean_inverse - log2_spread
    variances, weights = (np.array(each) for each in variance_rule(int(norm.size), int(degrees)))
    inverse = 1 / (variances + norm.eps * 2.0**-log2_spread)
    return tuple(np.sqrt(variances * inverse).tolist()), weights, weights * inverse, -log2_spread


def over_many_entries(norm: Norm, y: Signal) -> bool:
    """Whether sigma is a constant because a sample has many entries."""
    if norm.kind == "rms" and norm.size < inf and not isinstance(y.law, Gaussian):
        if norm.size < _MANY:
            _no_rule(norm)
        return True
    return norm.kind == "layer" or (norm.kind in ("rms", "group") and norm.size == inf)


def _centred(norm: Norm, y: Signal) -> Signal:
    """What a norm over a sample's entries divides; its law is Gaussian if y's is, whose entries
    have mean 0."""
    return y if norm.kind == "rms" or not y.mean else y.without_mean()


def log2_seen(norm: Norm, y: Signal) -> float:
    """log2 of the variance that the norm sees: between samples, between positions, or between
    entries."""
    if norm.kind == "instance":
        return y.log2_spread if y.near is None else y.log2_ms + log2_of(1 - y.near)
    if norm.kind == "rms":
        return y.log2_ms
    return y.log2_spread if norm.kind == "batch" else y.without_mean().log2_ms


def log2_variance(norm: Norm, y: Signal) -> float:
    """log2 of sigma^2 where it is a constant."""
    seen = y.log2_ms if norm.kind == "rms" else log2_seen(norm, y)
    found = sum_of(seen, log2_of(norm.eps))
    if found == -inf:
        raise NoTheory("its input does not vary, so there is nothing to divide by")
    return found


def _divided(y: Signal, log2_variance: float) -> Signal:
    """y over a constant sigma; what was Gaussian stays so."""
    log2_ms = y.log2_ms - log2_variance
    gaussian = isinstance(y.law, Gaussian) and not y.normalized and log2_ms > -_FAR
    law = None
    if gaussian:
        assert isinstance(y.law, Gaussian)
        law = (
            moved(y.law, 2.0 ** (-log2_variance / 2), 0.0)
            if y.law.shift
            else Gaussian(2.0**log2_ms, y.ratio)
        )
    spread = y.log2_spread - log2_variance
    return Signal(
        log2_ms,
        y.ratio,
        spread,
        y.mean,
        law,
        error=y.error,
        positions=y.positions,
        near=y.near,
        spread_error=y.spread_error,
    )


def share_of_eps(norm: Norm, log2_spread: float) -> float:
    """Of sigma^2: by as much of a variance's relative error the output's mean square is wrong."""
    return 1 / (1 + 2.0 ** min(log2_spread - log2_of(norm.eps), _FAR)) if norm.eps else 0.0


def _no_rule(norm: Norm) -> NoReturn:
    raise NoTheory(
        f"no rule for a {norm.kind} norm over {norm.size} values that are neither Gaussian nor an "
        "activation's output"
    )
