"""Small rules of what passes one operation, forward and backward, where samples are alike; a
norm's, a convolution's and those of virtual channels have files of their own."""

from dataclasses import replace
from functools import lru_cache
from math import inf, log2, prod, sqrt
from typing import Any

from depthscale.errors import NoTheory
from depthscale.network import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Input,
    Linear,
    Norm,
    Op,
    Operation,
    Part,
    Phi,
    Pool,
    Unknown,
    activation,
)
from depthscale.theory import channels, norms, positions
from depthscale.theory.laws import Gaussian, Law, Sampled, Spherical, moved
from depthscale.theory.moments import mean_slope, slopes, values, weighted_slopes
from depthscale.theory.neurons import CLOSE
from depthscale.theory.states import Gradient, Signal, Source, Weighted, log2_of, product_of, sum_of

# |log2| of a variance from which a homogeneous activation is asked at variance 1 instead
_BEYOND = 400.0
_MANY = 200  # values of a norm from which its output counts as Gaussian in a sum, within 1 %


@lru_cache(maxsize=1 << 14)
def forward_rule(what: Operation, inputs: tuple[Signal, ...]) -> Signal:
    match what:
        case Input(variance, correlation, size, near):
            return _source(variance, correlation, prod(size), near)
        case Embedding(variance, vocabulary, size):
            return replace(_source(variance, 1 / vocabulary, prod(size)), law=None)
        case Linear():
            return _linear(what, inputs[0])
        case Conv():
            return _linear(what, *positions.convolved(what, inputs[0]))
        case Norm():
            return norms.forward(what, inputs[0])
        case Affine(gain, shift):
            return _affine(gain, shift, inputs[0])
        case Elementwise(name):
            return _elementwise(name, inputs[0])
        case Add(scale):
            return _add(scale, *inputs)
        case Dropout(keep):
            return _dropout(keep, inputs[0])
        case Pool():
            return positions.pooled(what, inputs[0])
        case Flatten():
            return positions.flattened(inputs[0])
        case Attention():
            q, k, v = inputs
            return positions.attended(what, q, k, v)
        case Part():
            return positions.part(what, inputs[0])
        case Unknown(name):
            raise NoTheory(f"theory has no rule for {name}")


def backward_rule(op: Op, inputs: list[Signal], g: Gradient) -> tuple[Gradient, ...]:
    match op.what:  # the commonest first: a thousand layers ask
        case Linear():
            weights = log2_of(op.what.sigma_w2) + log2_of(op.what.fan_out / op.what.fan_in)
            return (Gradient(product_of(g.log2_ms, weights), g.ratio, g.error, near=g.near),)
        case Elementwise(name):
            return (g.below or _through_slopes(name, inputs[0], g),)
        case Norm():
            return (norms.backward(op.what, inputs[0], g),)
        case Add(scale):
            stream, branch = inputs
            if g.channels:
                return channels.below_sum(
                    stream, branch, scale, _law_of_sum(stream, branch, scale).get("law"), g
                )
            if (
                stream.normalized or branch.normalized
            ):  # a norm below sees slopes that depend on its output
                g = g._replace(error=g.error + abs(g.ratio))
            return g, g.times(2 * log2_of(abs(scale)))
        case Affine(gain, _):
            return (g.times(2 * log2_of(abs(gain))),)
        case Conv():
            return (positions.below_conv(op.what, g),)
        case Input() | Embedding():
            return ()
        case Dropout(keep):
            near = None if g.near is None else g.near * keep
            return (Gradient(g.log2_ms - log2(keep), g.ratio * keep, g.error, near=near),)
        case Pool():
            return (positions.below_pool(op.what, inputs[0], g),)
        case Flatten():
            return (positions.below_flatten(inputs[0], g),)
        case Attention():
            q, k, v = inputs
            return positions.below_attention(op.what, q, k, v, g)
        case Part():
            return (positions.below_part(op.what, inputs[0], g),)
        case Unknown(name):
            raise NoTheory(f"theory has no rule for {name}")


def _source(variance: float, correlation: float, size: int, near: float | None = None) -> Signal:
    log2_ms = log2_of(variance)
    spread = log2_ms + log2_of(1 - correlation)
    return Signal(
        log2_ms, correlation, spread, positions=size, near=near, **_gaussian(log2_ms, correlation)
    )


def _linear(linear: Linear | Conv, x: Signal, seen: float = 0.0, points: int = 0) -> Signal:
    """Weights see x's second moments, or what is left of them without the mean over entries; biases
    are common to all samples.

    seen: log2 of the share of the weights that meet an entry; points: positions of the output, by
    default x's.
    """
    x = x.without_mean() if linear.rows == "standardized" else x
    weights, bias = log2_of(linear.sigma_w2) + seen, log2_of(linear.sigma_b2)
    log2_ms = sum_of(x.log2_ms + weights, bias)
    if log2_ms == -inf:
        return Signal(
            -inf, 0.0, -inf, law=Gaussian(0.0, 0.0), error=x.error, positions=points or x.positions
        )
    ours, theirs = 2.0 ** (x.log2_ms + weights - log2_ms), 2.0 ** (bias - log2_ms)
    ratio = _at_most_1(ours * x.ratio + theirs)
    near = None if x.near is None else _at_most_1(ours * x.near + theirs)
    return Signal(
        log2_ms,
        ratio,
        x.log2_spread + weights,
        error=x.error,
        positions=points or x.positions,
        near=near if (points or x.positions) > 1 else None,
        spread_error=x.spread_error,
        **_gaussian(log2_ms, ratio),
    )


def _at_most_1(ratio: float) -> float:
    """What rounding may have led past 1; nan stays."""
    return 1.0 if ratio > 1 else ratio


def _gaussian(log2_ms: float, ratio: float) -> dict[str, Any]:
    """Law and unit of a Gaussian signal."""
    if abs(log2_ms) < _BEYOND or log2_ms != log2_ms:
        return {"law": Gaussian(2.0**log2_ms, ratio), "unit": 0.0}
    return {"law": Gaussian(1.0, ratio), "unit": log2_ms}


def _affine(gain: float, shift: float, x: Signal) -> Signal:
    scaled, scale = x.log2_ms + 2 * log2_of(abs(gain)), 2 * log2_of(abs(gain))
    law = moved(x.law, gain, shift) if x.law else None
    rest: dict[str, Any] = {
        "law": law,
        "unit": x.unit,
        "normalized": x.normalized,
        "error": x.error,
        "positions": x.positions,
        "near": x.near,
        "spread_error": x.spread_error,
    }
    if not shift:
        return Signal(
            scaled, x.ratio, x.log2_spread + scale, x.mean if gain > 0 else -x.mean, **rest
        )
    if scaled > _BEYOND:
        raise NoTheory(f"a gain of {gain:g} on values of mean square 2^{x.log2_ms:.0f}")
    root = 2.0 ** (scaled / 2)
    mean = (x.mean if gain > 0 else -x.mean) * root
    square, product = (
        root**2 + 2 * mean * shift + shift**2,
        root**2 * x.ratio + 2 * mean * shift + shift**2,
    )
    if not 0 < square < inf:
        raise NoTheory(f"a shift of {shift:g} on values of mean square 2^{scaled:.0f}")
    if x.near is not None:
        rest["near"] = (root**2 * x.near + 2 * mean * shift + shift**2) / square
    return Signal(
        log2_of(square),
        product / square,
        x.log2_spread + scale,
        (mean + shift) / sqrt(square),
        **rest,
    )


def _elementwise(name: Phi, x: Signal) -> Signal:
    law, unit = _received(name, x)
    if isinstance(law, Sampled):
        return channels.activated(name, x)
    found = values(name, law)
    if not found.square:
        return Signal(-inf, 0.0, -inf, error=x.error, positions=x.positions)
    product, near = found.product, None
    if x.near is not None and isinstance(law, Gaussian):
        near = _at_most_1(
            values(name, replace(law, correlation=x.received_near)).product / found.square
        )
    elif (
        x.near is not None
    ):  # an instance norm's output: samples are independent, positions on one sphere
        product, near = found.mean**2, found.product / found.square
    ratio = _at_most_1(product / found.square)
    log2_ms = log2_of(found.square) + unit
    log2_spread = log2_ms + log2_of(1 - ratio)
    if 1 - x.ratio < CLOSE:
        log2_spread = x.log2_spread + log2_of(slopes(name, law).square)
    source = Source(name, law, unit, None if x.near is None else x.received_near, x.normalized)
    return Signal(
        log2_ms,
        ratio,
        log2_spread,
        found.mean / sqrt(found.square),
        source=source,
        error=x.error + found.error,
        positions=x.positions,
        near=near,
        spread_error=x.spread_error + found.spread_error,
    )


def _through_slopes(name: Phi, x: Signal, g: Gradient) -> Gradient:
    """Below an activation, whose slopes are independent of the gradient above it."""
    law, _ = _received(name, x)
    if g.channels or isinstance(law, Sampled):
        return channels.through(name, x, g)
    found = slopes(name, law, not g.ratio and g.near is None)
    if not found.square:
        return Gradient(-inf, 0.0, g.error)
    product, nearby, near_law = found.product, found.product, law
    if x.near is not None and isinstance(law, Gaussian):
        near_law = replace(law, correlation=x.received_near)
        nearby = slopes(name, near_law).product
    elif x.near is not None and g.ratio:
        product = mean_slope(name, law) ** 2
    near = None if x.near is None and g.near is None else g.within * nearby / found.square
    weighted = None
    if x.normalized:
        near_slopes = weighted_slopes(name, near_law) if near_law is not law else None
        weighted = Weighted(weighted_slopes(name, law), g.ratio, g.log2_ms, g.near, near_slopes)
    log2_ms = product_of(g.log2_ms, log2_of(found.square))
    return Gradient(
        log2_ms, g.ratio * product / found.square, g.error + found.error, weighted, near=near
    )


def _received(name: Phi, x: Signal) -> tuple[Law | Sampled, float]:
    """The law that an activation receives, and log2 of what its square stands for."""
    if not x.log2_ms < inf:
        raise NoTheory("the mean square of its input is not known")
    if x.law is None:
        raise NoTheory("its input is neither Gaussian nor a norm's output, so its law is not known")
    if x.unit and not activation(name).homogeneous:
        raise NoTheory(f"{name} of values of mean square 2^{x.log2_ms:.0f}")
    return x.law, x.unit


def _add(scale: float, stream: Signal, branch: Signal) -> Signal:
    """Two uncorrelated signals."""
    if stream.mean and branch.mean:
        raise NoTheory("both sides have a mean over entries")
    weight = 2 * log2_of(abs(scale))
    log2_ms = sum_of(stream.log2_ms, branch.log2_ms + weight)
    if log2_ms == -inf:
        return Signal(-inf, 0.0, -inf, law=Gaussian(0.0, 0.0), positions=stream.positions)
    share = 2.0 ** (stream.log2_ms - log2_ms)
    ratio = share * stream.ratio + (1 - share) * branch.ratio
    near = None
    if stream.near is not None or branch.near is not None:
        near = share * stream.within + (1 - share) * branch.within
    spread = sum_of(stream.log2_spread, branch.log2_spread + weight)
    law = _law_of_sum(stream, branch, scale)
    error = max(stream.error, branch.error)
    if law:  # what is sampled comes from the sphere itself where that is small
        error += sum(2 / n for n in map(_sphere_of, (stream, branch)) if n >= _MANY)
    mean = stream.mean * sqrt(share) + (
        branch.mean * sqrt(1 - share) if scale > 0 else -branch.mean * sqrt(1 - share)
    )
    sampled = max(stream.spread_error, branch.spread_error)
    return Signal(
        log2_ms,
        ratio,
        spread,
        mean,
        error=error,
        positions=stream.positions,
        near=near,
        spread_error=sampled,
        **law,
    )


def _law_of_sum(stream: Signal, branch: Signal, scale: float) -> dict[str, Any]:
    """Law and unit of stream + scale * branch, as far as they are known: Gaussian where both are,
    or nearly, else sampled."""
    if any(
        x.law is None or isinstance(x.law, Sampled) or _sphere_of(x) < _MANY
        for x in (stream, branch)
    ):
        law = channels.sampled_sum(stream, branch, scale)
        return {"law": law} if law else {}
    if not (stream.mean or branch.mean):
        log2_ms = sum_of(stream.log2_ms, branch.log2_ms + 2 * log2_of(abs(scale)))
        share = 2.0 ** (stream.log2_ms - log2_ms)
        return _gaussian(log2_ms, share * stream.ratio + (1 - share) * branch.ratio)
    if stream.unit or branch.unit:
        return {}
    (v, c, m), (w, d, n) = (_gaussian_part(x) for x in (stream, branch))
    total = v + scale**2 * w
    if not 0 < total < inf:
        return {}
    return {
        "law": Gaussian(total, (v * c + scale**2 * w * d) / total, shift=m + scale * n),
        "unit": 0.0,
    }


def _gaussian_part(x: Signal) -> tuple[float, float, float]:
    """Variance, correlation between samples, and mean of what is Gaussian, or nearly."""
    law = x.law
    if isinstance(law, Gaussian):
        return law.gain**2 * law.variance, law.correlation, law.shift
    assert isinstance(law, Spherical)
    variance = law.gain**2 * sum(w * r**2 for w, r in zip(law.weights, law.radii, strict=True))
    return (
        variance,
        law.correlation if law.correlation is not None else -1 / (law.size - 1),
        law.shift,
    )


def _sphere_of(x: Signal) -> float:
    return x.law.size if isinstance(x.law, Spherical) else inf


def _dropout(keep: float, x: Signal) -> Signal:
    spread = x.log2_ms + log2_of(1 / keep - x.ratio)
    near = None if x.near is None else x.near * keep
    return Signal(
        x.log2_ms - log2(keep),
        x.ratio * keep,
        spread,
        x.mean * sqrt(keep),
        error=x.error,
        positions=x.positions,
        near=near,
        spread_error=x.spread_error,
    )
