"""predict: walk a Graph forward and backward with the second moments of an exchangeable batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2, nan

import numpy as np

from depthscale.errors import NoTheory
from depthscale.graph import Elementwise, Graph, Input, Linear, Norm, Op
from depthscale.profile import Profile, Quantity
from depthscale.spec import NetSpec
from depthscale.theory import batch_norm
from depthscale.theory.moments import Moments, moments

BETWEEN_SAMPLES = {"independent": 0.0, "shared": 1.0}  # product of dE/dx_L between two samples, over its mean square
_ROUNDING = 1e-13  # a factor this much smaller than its terms is 0: what is left is their rounding


@dataclass(frozen=True, slots=True)
class _State:
    """Second moments over the batch. / log2_ms: log2 of the mean square; ratio: product between two samples over it."""

    log2_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer, seen from its preactivation y. / log2_spread: log2 of y's variance between samples; z_variance: the norm's."""

    linear: Linear
    norm: Norm | None
    moments: Moments
    log2_spread: float
    z_variance: float


def predict(spec: NetSpec, loss: str = "independent") -> Profile:
    """What theory says of a random network of infinite width: the means that `simulate` estimates.

    spec: batch may be inf. loss: "independent" or "shared".
    returns: Profile over layers 0..depth, boundary layers included; error: rounding. Where a mean is exactly 0 or infinite the
    profile says so, and a note says why (Batch Norm over 2 or 3 samples).
    raises: NoTheory, naming the setting for which there is no formula.
    source: arXiv:1611.01232 (without norm), arXiv:1902.08129 (Batch Norm).
    """
    if loss not in BETWEEN_SAMPLES:
        raise NoTheory(f"theory knows the losses {' and '.join(BETWEEN_SAMPLES)}, not {loss!r}; simulate takes any")
    layers, activation = _forward(spec.graph())
    gradient = _backward(layers, BETWEEN_SAMPLES[loss])
    seen = log2(1 - 1 / spec.batch) if spec.batch > 1 else -inf  # the batch's own mean takes its share of the variance
    return Profile(
        gradient=Quantity.exact(np.array(gradient)),
        activation=Quantity.exact(np.array(activation)),
        preactivation_batch_variance=Quantity.exact(np.array([nan, *(each.log2_spread + seen for each in layers)])),
        source="theory",
        spec=spec.record(),
        loss=loss,
        notes=_notes(spec),
    )


def _forward(graph: Graph) -> tuple[list[_Layer], list[float]]:
    """The layers, and log2 of the activations' mean square from the input on."""
    source, *rest = graph.layers()
    inputs = source[0].what
    assert isinstance(inputs, Input)
    state = _State(_log2(inputs.variance), 0.0)
    layers, activation = [], [state.log2_ms]
    for ops in rest:
        layer, state = _through(ops, state)
        layers.append(layer)
        activation.append(state.log2_ms)
    return layers, activation


def _through(ops: Sequence[Op], x: _State) -> tuple[_Layer, _State]:
    """One layer's forward pass: linear, perhaps a norm, activation."""
    linear, norm, activation = _parts(ops)
    y = _affine(linear, x)
    log2_spread = y.log2_ms + _log2(1 - y.ratio)
    if norm is None:
        m = moments(activation, y.ratio)
        return _Layer(linear, None, m, log2_spread, 1.0), _State(y.log2_ms + _log2(m.square), m.product / m.square)
    variance = batch_norm.output_variance(norm, log2_spread)
    m = moments(activation, batch_norm.correlation(norm))
    after = _State(_log2(norm.gamma**2 * variance * m.square), m.product / m.square)
    return _Layer(linear, norm, m, log2_spread, variance), after


def _affine(linear: Linear, x: _State) -> _State:
    """y = W x + b."""
    weighted, bias = x.log2_ms + _log2(linear.sigma_w2), _log2(linear.sigma_b2)
    log2_ms = float(np.logaddexp2(weighted, bias))
    if log2_ms == -inf:
        return _State(-inf, 0.0)
    return _State(log2_ms, min(1.0, 2.0 ** (weighted - log2_ms) * x.ratio + 2.0 ** (bias - log2_ms)))


def _backward(layers: Sequence[_Layer], ratio: float) -> list[float]:
    """log2 of the gradient's mean square from layer 0 to the last, where it is 1. / ratio: the loss's, between samples."""
    state = _State(0.0, ratio)
    found = [state.log2_ms]
    for layer in reversed(layers):
        state = _back_through(layer, state)
        found.append(state.log2_ms)
    return found[::-1]


def _back_through(layer: _Layer, x: _State) -> _State:
    """Gradient at a layer's input from that at its output."""
    m, norm = layer.moments, layer.norm
    weights = _log2(layer.linear.sigma_w2 * layer.linear.fan_out / layer.linear.fan_in)
    if norm is None:
        return _State(x.log2_ms + _log2(m.slope_square) + weights, x.ratio * m.slope_product / m.slope_square)
    sigma = batch_norm.log2_inverse_variance(norm, layer.log2_spread) + _log2(norm.gamma**2)
    if norm.statistics == "frozen":
        return _State(x.log2_ms + _log2(m.slope_square) + weights + sigma, x.ratio * m.slope_product / m.slope_square)
    alone, together = batch_norm.gradient_factors(norm, m, layer.z_variance)
    factor = (1 - x.ratio) * alone + x.ratio * together
    log2_factor = _log2(factor) if factor > _ROUNDING * m.slope_square else -inf
    log2_ms = -inf if -inf in (log2_factor, x.log2_ms) else x.log2_ms + log2_factor + weights + sigma
    return _State(log2_ms, batch_norm.correlation(norm))


def _parts(ops: Sequence[Op]) -> tuple[Linear, Norm | None, str]:
    linear, norm, activation = ops[0].what, ops[1].what if len(ops) == 3 else None, ops[-1].what
    assert isinstance(linear, Linear)
    assert isinstance(activation, Elementwise)
    assert norm is None or isinstance(norm, Norm)
    if norm and norm.beta:
        raise NoTheory(f"no closed form for beta = {norm.beta:g} after a norm; take beta 0, or simulate")
    return linear, norm, activation.activation


def _log2(value: float) -> float:
    return log2(value) if value > 0 else -inf


def _notes(spec: NetSpec) -> tuple[str, ...]:
    if spec.norm != "batch" or spec.batch > 5:
        return ()
    if spec.batch == 2 and spec.statistics == "batch":
        return (
            "over 2 samples Batch Norm gives only +1 and -1, so the gradient below the last norm is exactly 0: no rate exists",
        )
    if spec.batch <= 3:
        return (
            f"over {spec.batch} samples the mean of 1/sigma^2 is infinite, and with it the gradient's mean square: no rate exists",
        )
    return (f"over {spec.batch} samples the variance of 1/sigma^2 is infinite: simulated means converge slowly",)
