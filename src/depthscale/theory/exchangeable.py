"""The walk in its smallest form: samples that are alike, so that a few numbers hold a batch's second moments.

Forward, a `Signal` at every operation's output; backward, a `Gradient`. Every rule is local: what passes one operation depends on
that operation and on the law of its input. Weights are fresh, so branches that meet are uncorrelated and their gradients add.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf, log2, nan, prod, sqrt
from typing import Any

from depthscale.activations import Phi, activation
from depthscale.errors import DepthscaleError, NoTheory
from depthscale.graph import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Graph,
    Input,
    Linear,
    Norm,
    Op,
    Operation,
    Part,
    Pool,
    Unknown,
)
from depthscale.theory import borders, channels, norms, positions
from depthscale.theory.laws import Gaussian, Law, Sampled, Spherical, moved
from depthscale.theory.moments import mean_slope, slopes, values, weighted_slopes
from depthscale.theory.neurons import CLOSE
from depthscale.theory.states import NOTHING, UNKNOWN, Gradient, Signal, Source, Weighted, log2_of, product_of, sum_of

_BEYOND = 400.0  # |log2| of a variance from which a homogeneous activation is asked at variance 1 instead
_MANY = 200  # values of a norm from which its output counts as Gaussian in a sum, within 1 %
_STAND_IN = Gradient(0.0, 0.0)  # for a gradient that is not known, where a factor is asked for
_UNKNOWN_GRADIENT = Gradient(nan, nan)
_STOPS = (DepthscaleError, ArithmeticError)
_PLACED = (Conv, Pool)


def forward(graph: Graph) -> tuple[list[Signal], dict[int, str]]:
    """The signal at every operation's output, in order; and at those without a rule what is missing.

    Behind such an operation a signal is UNKNOWN, until a norm makes it known again.
    """
    signals: list[Signal] = []
    missing: dict[int, str] = {}
    rule = _forward
    for i, op in enumerate(graph.ops):
        inputs = tuple([signals[j] for j in op.inputs])
        try:
            if isinstance(op.what, Add) and not _are_uncorrelated(graph, *op.inputs):
                raise NoTheory("neither side ends in a linear layer of its own, so the two are correlated")
            if op.what.__class__ in _PLACED:
                rule = _elsewhere
            signals.append(rule(op.what, inputs))
            if op.what.__class__ is Add and signals[-1].is_sampled:
                rule = _elsewhere
        except _STOPS as reason:
            places = max((x.positions for x in inputs), default=1)
            signals.append(replace(UNKNOWN, positions=places, near=nan if places > 1 else None))
            if all(_is_known(x) for x in inputs):
                missing[i] = _stop(op, reason)
    return signals, missing


def _elsewhere(what: Operation, inputs: tuple[Signal, ...]) -> Signal:
    """An operation where positions may differ, or signals be known by channels, which no cache should keep."""
    rule = _forward.__wrapped__ if any(x.is_sampled for x in inputs) else _forward
    uneven = what.__class__ in _PLACED or any(x.profile or x.common for x in inputs)
    return borders.forward(what, inputs, rule(what, inputs)) if uneven else rule(what, inputs)


def backward(
    graph: Graph, signals: list[Signal], ratio: float, outputs: Sequence[int] = ()
) -> tuple[list[Gradient], list[tuple[float, ...]], dict[int, str]]:
    """The gradient at every operation's output, of mean square 1 at the outputs (by default the last).

    ratio: of the product between samples to the mean square, for the loss's gradient at an output.
    returns: gradients, nan below an operation without a rule; for each operation log2 of (mean square of what it sends to each
    input / of its own gradient), for one that samples do not share where the gradient is not known; and what is missing.
    """
    gradients = [NOTHING] * len(graph.ops)
    gains: list[tuple[float, ...]] = [()] * len(graph.ops)
    missing: dict[int, str] = {}
    for i in outputs or (len(graph.ops) - 1,):
        gradients[i] = _at_output(signals[i].positions, ratio)
    for i in range(len(graph.ops) - 1, -1, -1):
        op, above = graph.ops[i], gradients[i]
        inputs = [signals[j] for j in op.inputs]
        if above is NOTHING or above.log2_ms == -inf:
            gains[i] = (nan,) * len(inputs)
            continue
        known = above.log2_ms == above.log2_ms
        asked = above if known else _STAND_IN
        try:
            below = _backward(op, inputs, asked)
            if op.what.__class__ in _PLACED or asked.profile or (inputs and inputs[0].profile):
                below = tuple(borders.backward(op.what, x, asked, each) for x, each in zip(inputs, below, strict=True))
        except _STOPS as reason:
            below = (_UNKNOWN_GRADIENT,) * len(inputs)
            if known and all(_is_known(x) for x in inputs):
                missing[i] = _stop(op, reason)
        unit = asked.log2_ms
        gains[i] = (below[0].log2_ms - unit,) if len(below) == 1 else tuple([each.log2_ms - unit for each in below])
        if not known:
            below = (_UNKNOWN_GRADIENT,) * len(inputs)
        for j, gradient in zip(op.inputs, below, strict=True):
            gradients[j] = gradient if gradients[j] is NOTHING else gradients[j].plus(gradient)
    return gradients, gains, missing


def _are_uncorrelated(graph: Graph, a: int, b: int) -> bool:
    """Whether one of two operations ends in fresh weights that the other has not seen."""
    for one, other in ((b, a), (a, b)):
        linear = _fresh_weights(graph, one)
        if linear is not None and (other < linear or not _descends(graph, other, linear)):
            return True
    return False


def _fresh_weights(graph: Graph, i: int) -> int | None:
    """The linear map whose output, odd in its weights, is passed on to here; an input or an embedding is as fresh."""
    while isinstance(graph.ops[i].what, Norm | Affine | Dropout):
        i = graph.ops[i].inputs[0]
    return i if isinstance(graph.ops[i].what, Linear | Conv | Input | Embedding) else None


def _descends(graph: Graph, i: int, ancestor: int) -> bool:
    """Whether operation i has read the ancestor, or is it; operations stand in the order in which they run."""
    seen, rest = set[int](), [i]
    while rest:
        at = rest.pop()
        if at == ancestor:
            return True
        if at > ancestor and at not in seen:
            seen.add(at)
            rest += graph.ops[at].inputs
    return False


def _at_output(positions: int, ratio: float) -> Gradient:
    """The loss's gradient; a vector that all samples share has entries of its own at every position."""
    return Gradient(0.0, ratio) if positions == 1 or not ratio else Gradient(0.0, ratio / positions, near=0.0)


def _is_known(x: Signal) -> bool:
    return x.log2_ms == x.log2_ms and x.ratio == x.ratio


def _stop(op: Op, reason: Exception) -> str:
    said = str(reason) if isinstance(reason, DepthscaleError) else "its numbers leave float64's range"
    return f"{op.name}: {said}"


@lru_cache(maxsize=1 << 14)
def _forward(what: Operation, inputs: tuple[Signal, ...]) -> Signal:
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


def _backward(op: Op, inputs: list[Signal], g: Gradient) -> tuple[Gradient, ...]:
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
                return channels.below_sum(stream, branch, scale, _law_of_sum(stream, branch, scale).get("law"), g)
            if stream.normalized or branch.normalized:  # a norm below sees slopes that depend on its output
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
    return Signal(log2_ms, correlation, spread, positions=size, near=near, **_gaussian(log2_ms, correlation))


def _linear(linear: Linear | Conv, x: Signal, seen: float = 0.0, points: int = 0) -> Signal:
    """Weights see x's second moments, or what is left of them without the mean over entries; biases are common to all samples.

    seen: log2 of the share of the weights that meet an entry; points: positions of the output, by default x's.
    """
    x = x.without_mean() if linear.rows == "standardized" else x
    weights, bias = log2_of(linear.sigma_w2) + seen, log2_of(linear.sigma_b2)
    log2_ms = sum_of(x.log2_ms + weights, bias)
    if log2_ms == -inf:
        return Signal(-inf, 0.0, -inf, law=Gaussian(0.0, 0.0), error=x.error, positions=points or x.positions)
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
        return Signal(scaled, x.ratio, x.log2_spread + scale, x.mean if gain > 0 else -x.mean, **rest)
    if scaled > _BEYOND:
        raise NoTheory(f"a gain of {gain:g} on values of mean square 2^{x.log2_ms:.0f}")
    root = 2.0 ** (scaled / 2)
    mean = (x.mean if gain > 0 else -x.mean) * root
    square, product = root**2 + 2 * mean * shift + shift**2, root**2 * x.ratio + 2 * mean * shift + shift**2
    if not 0 < square < inf:
        raise NoTheory(f"a shift of {shift:g} on values of mean square 2^{scaled:.0f}")
    if x.near is not None:
        rest["near"] = (root**2 * x.near + 2 * mean * shift + shift**2) / square
    return Signal(log2_of(square), product / square, x.log2_spread + scale, (mean + shift) / sqrt(square), **rest)


def _elementwise(name: Phi, x: Signal) -> Signal:
    law, unit = _received(name, x)
    if isinstance(law, Sampled):
        return channels.activated(name, x)
    found = values(name, law)
    if not found.square:
        return Signal(-inf, 0.0, -inf, error=x.error, positions=x.positions)
    product, near = found.product, None
    if x.near is not None and isinstance(law, Gaussian):
        near = _at_most_1(values(name, replace(law, correlation=x.received_near)).product / found.square)
    elif x.near is not None:  # an instance norm's output: samples are independent, positions on one sphere
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
    return Gradient(log2_ms, g.ratio * product / found.square, g.error + found.error, weighted, near=near)


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
    mean = stream.mean * sqrt(share) + (branch.mean * sqrt(1 - share) if scale > 0 else -branch.mean * sqrt(1 - share))
    sampled = max(stream.spread_error, branch.spread_error)
    return Signal(log2_ms, ratio, spread, mean, error=error, positions=stream.positions, near=near, spread_error=sampled, **law)


def _law_of_sum(stream: Signal, branch: Signal, scale: float) -> dict[str, Any]:
    """Law and unit of stream + scale * branch, as far as they are known: Gaussian where both are, or nearly, else sampled."""
    if any(x.law is None or isinstance(x.law, Sampled) or _sphere_of(x) < _MANY for x in (stream, branch)):
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
    return {"law": Gaussian(total, (v * c + scale**2 * w * d) / total, shift=m + scale * n), "unit": 0.0}


def _gaussian_part(x: Signal) -> tuple[float, float, float]:
    """Variance, correlation between samples, and mean of what is Gaussian, or nearly."""
    law = x.law
    if isinstance(law, Gaussian):
        return law.gain**2 * law.variance, law.correlation, law.shift
    assert isinstance(law, Spherical)
    variance = law.gain**2 * sum(w * r**2 for w, r in zip(law.weights, law.radii, strict=True))
    return variance, law.correlation if law.correlation is not None else -1 / (law.size - 1), law.shift


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
    )
