"""The walk in its smallest form: samples that are alike, so that a few numbers hold a batch's second moments.

Forward, a `Signal` at every operation's output; backward, a `Gradient`. Every rule is local: what passes one operation depends on
that operation and on the law of its input. Weights are fresh, so branches that meet are uncorrelated and their gradients add.
"""

from dataclasses import replace
from functools import lru_cache
from math import inf, log2, sqrt
from typing import Any

import numpy as np

from depthscale.activations import activation
from depthscale.errors import DepthscaleError, NoTheory
from depthscale.graph import Add, Affine, Dropout, Elementwise, Graph, Input, Linear, Norm, Op, Operation
from depthscale.theory import norms
from depthscale.theory.laws import Gaussian, Law, moved
from depthscale.theory.moments import slopes, values, weighted_slopes
from depthscale.theory.neurons import CLOSE
from depthscale.theory.states import NOTHING, Gradient, Signal, Source, Weighted, log2_of, product_of

_BEYOND = 400.0  # |log2| of a variance from which a homogeneous activation is asked at variance 1 instead
_STOPS = (DepthscaleError, ArithmeticError)


def forward(graph: Graph) -> tuple[list[Signal], str]:
    """The signal at every operation's output, in order, as far as there are rules; and what stopped it, or nothing."""
    signals: list[Signal] = []
    for op in graph.ops:
        try:
            signals.append(_forward(op.what, tuple(signals[i] for i in op.inputs)))
        except _STOPS as reason:
            return signals, _stop(op, reason)
    return signals, ""


def backward(graph: Graph, signals: list[Signal], ratio: float) -> tuple[list[Gradient | None], str]:
    """The gradient at every operation's output, None below the one that has no rule; and what stopped it, or nothing.

    Its mean square at the last output is 1.

    ratio: of the product between samples to the mean square, for the loss's gradient at the last output.
    """
    gradients = [NOTHING] * len(graph.ops)
    gradients[-1] = Gradient(0.0, ratio)
    for i in range(len(graph.ops) - 1, 0, -1):
        op = graph.ops[i]
        try:
            below = _backward(op, [signals[j] for j in op.inputs], gradients[i])
        except _STOPS as reason:
            return [None] * i + gradients[i:], _stop(op, reason)
        for j, gradient in zip(op.inputs, below, strict=True):
            gradients[j] = gradients[j] + gradient
    return [*gradients], ""


def _stop(op: Op, reason: Exception) -> str:
    said = str(reason) if isinstance(reason, DepthscaleError) else "its numbers leave float64's range"
    return f"{op.name}: {said}"


@lru_cache(maxsize=1 << 14)
def _forward(what: Operation, inputs: tuple[Signal, ...]) -> Signal:
    match what:
        case Input(variance):
            return Signal(log2_of(variance), 0.0, log2_of(variance), **_gaussian(log2_of(variance), 0.0))
        case Linear():
            return _linear(what, inputs[0])
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


def _backward(op: Op, inputs: list[Signal], g: Gradient) -> tuple[Gradient, ...]:
    match op.what:
        case Input():
            return ()
        case Linear():
            weights = log2_of(op.what.sigma_w2) + log2_of(op.what.fan_out / op.what.fan_in)
            return (Gradient(product_of(g.log2_ms, weights), g.ratio, g.error),)
        case Norm():
            return (norms.backward(op.what, inputs[0], g),)
        case Affine(gain, _):
            return (g.times(2 * log2_of(abs(gain))),)
        case Elementwise(name):
            return (g.below or _through_slopes(name, inputs[0], g),)
        case Add(scale):
            return g, g.times(2 * log2_of(abs(scale)))
        case Dropout(keep):
            return (Gradient(g.log2_ms - log2(keep), g.ratio * keep, g.error),)


def _linear(linear: Linear, x: Signal) -> Signal:
    """Weights see x's second moments, or what is left of them without the mean over entries; biases are common to all samples."""
    x = x.without_mean() if linear.rows == "standardized" else x
    weights, bias = log2_of(linear.sigma_w2), log2_of(linear.sigma_b2)
    log2_ms = float(np.logaddexp2(x.log2_ms + weights, bias))
    if log2_ms == -inf:
        return Signal(-inf, 0.0, -inf, law=Gaussian(0.0, 0.0), error=x.error)
    ratio = min(1.0, 2.0 ** (x.log2_ms + weights - log2_ms) * x.ratio + 2.0 ** (bias - log2_ms))
    return Signal(log2_ms, ratio, x.log2_spread + weights, error=x.error, **_gaussian(log2_ms, ratio))


def _gaussian(log2_ms: float, ratio: float) -> dict[str, Any]:
    """Law and unit of a Gaussian signal."""
    if abs(log2_ms) < _BEYOND:
        return {"law": Gaussian(2.0**log2_ms, ratio), "unit": 0.0}
    return {"law": Gaussian(1.0, ratio), "unit": log2_ms}


def _affine(gain: float, shift: float, x: Signal) -> Signal:
    scaled, scale = x.log2_ms + 2 * log2_of(abs(gain)), 2 * log2_of(abs(gain))
    law = moved(x.law, gain, shift) if x.law else None
    rest: dict[str, Any] = {"law": law, "unit": x.unit, "normalized": x.normalized, "error": x.error}
    if not shift:
        return Signal(scaled, x.ratio, x.log2_spread + scale, x.mean if gain > 0 else -x.mean, **rest)
    if scaled > _BEYOND:
        raise NoTheory(f"a gain of {gain:g} on values of mean square 2^{x.log2_ms:.0f}")
    root = 2.0 ** (scaled / 2)
    mean = (x.mean if gain > 0 else -x.mean) * root
    square, product = root**2 + 2 * mean * shift + shift**2, root**2 * x.ratio + 2 * mean * shift + shift**2
    if not 0 < square < inf:
        raise NoTheory(f"a shift of {shift:g} on values of mean square 2^{scaled:.0f}")
    return Signal(log2_of(square), product / square, x.log2_spread + scale, (mean + shift) / sqrt(square), **rest)


def _elementwise(name: str, x: Signal) -> Signal:
    law, unit = _received(name, x)
    found = values(name, law)
    if not found.square:
        return Signal(-inf, 0.0, -inf, error=x.error)
    ratio = min(1.0, found.product / found.square)
    log2_ms = log2_of(found.square) + unit
    log2_spread = log2_ms + log2_of(1 - ratio)
    if 1 - x.ratio < CLOSE:
        log2_spread = x.log2_spread + log2_of(slopes(name, law).square)
    source = Source(name, law, unit)
    return Signal(log2_ms, ratio, log2_spread, found.mean / sqrt(found.square), source=source, error=x.error + found.error)


def _through_slopes(name: str, x: Signal, g: Gradient) -> Gradient:
    """Below an activation, whose slopes are independent of the gradient above it."""
    law, _ = _received(name, x)
    found = slopes(name, law)
    if not found.square:
        return Gradient(-inf, 0.0, g.error)
    log2_ms = product_of(g.log2_ms, log2_of(found.square))
    below = Gradient(log2_ms, g.ratio * found.product / found.square, g.error + found.error)
    if x.normalized:
        return replace(below, weighted=Weighted(weighted_slopes(name, law), g.ratio, g.log2_ms))
    return below


def _received(name: str, x: Signal) -> tuple[Law, float]:
    """The law that an activation receives, and log2 of what its square stands for."""
    if x.law is None:
        raise NoTheory("its input is neither Gaussian nor a norm's output, so its law is not known")
    if x.unit and not activation(name).homogeneous:
        raise NoTheory(f"{name} of values of mean square 2^{x.log2_ms:.0f}")
    return x.law, x.unit


def _add(scale: float, stream: Signal, branch: Signal) -> Signal:
    """Two uncorrelated signals: the branch ends in fresh weights."""
    if not isinstance(branch.law, Gaussian) or branch.normalized:
        raise NoTheory("its branch does not end in a linear layer, so the two sides are correlated")
    weight = 2 * log2_of(abs(scale))
    log2_ms = float(np.logaddexp2(stream.log2_ms, branch.log2_ms + weight))
    if log2_ms == -inf:
        return Signal(-inf, 0.0, -inf, law=Gaussian(0.0, 0.0))
    share = 2.0 ** (stream.log2_ms - log2_ms)
    ratio = share * stream.ratio + (1 - share) * branch.ratio
    spread = float(np.logaddexp2(stream.log2_spread, branch.log2_spread + weight))
    gaussian = isinstance(stream.law, Gaussian) and not stream.mean and not stream.normalized
    law = _gaussian(log2_ms, ratio) if gaussian else {}
    return Signal(log2_ms, ratio, spread, stream.mean * sqrt(share), error=max(stream.error, branch.error), **law)


def _dropout(keep: float, x: Signal) -> Signal:
    return Signal(
        x.log2_ms - log2(keep), x.ratio * keep, x.log2_ms + log2_of(1 / keep - x.ratio), x.mean * sqrt(keep), error=x.error
    )
