"""Networks that share their weights, run side by side: one matrix product per layer and direction
for all of them.

Only activations' gradients are computed. Networks with the same norm share their forward pass,
whatever their gradient does. Numbers that would leave float32's range are carried as v 2^k, with
one k for a tensor: exact, since k is a whole number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, ldexp, log2, nan

import torch
from torch import Tensor

from depthscale.errors import Undefined
from depthscale.nets.draw import Loss, draw_bias, draw_input, draw_weight, output_gradient
from depthscale.nets.elementwise import elementwise
from depthscale.nets.seen import Seen
from depthscale.network import NetSpec, activation
from depthscale.norms import batch_norm
from depthscale.sketch import Sketch
from depthscale.sketch.counting import log2_mean_square

_SQUARES_FIT = 100.0  # |log2| of a mean square up to which float32 holds the squares
_RESCALE_BEYOND = 24.0  # |log2 rms| past which a tensor is divided by a power of two
# bytes of weights kept for the backward pass; the other layers are drawn again
_KEEP_WEIGHTS = 1 << 30


@dataclass(slots=True)
class _Scaled:
    """values 2^scale. / values: [batch, width]."""

    values: Tensor
    scale: int = 0

    def plain(self) -> Tensor:
        """The numbers themselves; infinite or 0 where float32 does not hold them."""
        return torch.ldexp(self.values, torch.tensor(self.scale)) if self.scale else self.values

    def recentred(self, log2_rms: float) -> "_Scaled":
        """The same numbers with an rms near 1, if theirs is far from it. / log2_rms: of the values
        2^scale."""
        if not _RESCALE_BEYOND < abs(log2_rms - self.scale) < inf:
            return self
        power = round(log2_rms) - self.scale
        return _Scaled(self.values * 2.0**-power, self.scale + power)


@dataclass(slots=True)
class _Layer:
    """What the backward pass of one network needs of one layer. / z: before gamma and beta; scale:
    of 1 / sigma; log2_z: log2 of z's mean square, where gain or shift follow."""

    z: Tensor
    inverse_std: Tensor | None = None
    scale: int = 0
    log2_z: float | None = None


def is_fast(spec: NetSpec) -> bool:
    """Whether a network is of the kind that runs here: plain layers, and no norm but Batch Norm
    before the activation."""
    plain = (
        spec.residual is None and spec.widths is None and spec.weights in ("gaussian", "orthogonal")
    )
    norm = spec.normalizer
    if norm.kind is None:
        return plain and norm.rows == "free"
    moves = norm.mixes_samples and spec.statistics != "running"
    return plain and moves and spec.position == "before"


def are_paired(a: NetSpec, b: NetSpec) -> bool:
    """Whether two networks differ in norm and statistics alone, so that they can run side by
    side."""
    return is_fast(a) and is_fast(b) and replace(a, norm=b.norm, statistics=b.statistics) == b


@torch.no_grad()
def run(
    specs: Sequence[NetSpec], seed: int, loss: Loss, inputs: Tensor | None = None
) -> Iterator[Seen]:
    """Forward and backward pass of paired networks on the weights, inputs and cotangent of one
    seed; all that is measured.

    inputs: [batch, width] in place of those of the seed.
    """
    forwards = list(dict.fromkeys(spec.norm for spec in specs))
    nets = [[n for n, spec in enumerate(specs) if spec.norm == norm] for norm in forwards]
    weights = _Weights(specs[0], seed)
    layers, outputs = yield from _forward(
        [specs[members[0]] for members in nets], nets, weights, seed, inputs
    )
    forward_of = [forwards.index(spec.norm) for spec in specs]
    gradients = [
        _in_float32(output_gradient(spec, seed, loss, *outputs[f]))
        for spec, f in zip(specs, forward_of, strict=True)
    ]
    yield from _backward(specs, forward_of, weights, layers, gradients)


class _Weights:
    """The weights of one network by layer, over 2^scale: the last layers are kept, as far as memory
    is set aside.

    scale: 0 but for weights that float32's squares would not hold.
    """

    def __init__(self, spec: NetSpec, seed: int):
        self._seed = seed
        self.scale = _power(spec.sigma_w2)
        self._spec = replace(spec, sigma_w2=spec.sigma_w2 * 4.0**-self.scale)
        self._first_kept = spec.depth - max(1, _KEEP_WEIGHTS // (4 * spec.width**2)) + 1
        self._kept: dict[int, Tensor] = {}
        self._spare: Tensor | None = None

    def __getitem__(self, layer: int) -> Tensor:
        if layer in self._kept:
            return self._kept[layer]
        if layer >= self._first_kept:
            return self._kept.setdefault(layer, draw_weight(self._spec, self._seed, layer))
        self._spare = draw_weight(self._spec, self._seed, layer, out=self._spare)
        return self._spare


def _in_float32(gradient: Tensor) -> _Scaled:
    """A gradient of either type, over a power of two if float32 is strained."""
    largest = float(gradient.abs().max())
    power = _power(largest**2)
    return (
        _Scaled(torch.ldexp(gradient, torch.tensor(-power)).float(), power)
        if power
        else _Scaled(gradient.float())
    )


def _over_power(value: float, power: int) -> float:
    """value 2^-power, infinite where float64 does not hold it."""
    try:
        return ldexp(value, -power)
    except OverflowError:
        return inf


def _power(variance: float) -> int:
    """The power of two to take out of numbers of that variance: 0 unless float32 is strained."""
    half = log2(variance) / 2 if variance else 0.0
    return round(half) if abs(half) > _RESCALE_BEYOND else 0


def _forward(
    specs: Sequence[NetSpec],
    nets: list[list[int]],
    weights: _Weights,
    seed: int,
    given: Tensor | None,
) -> Iterator[Seen]:
    """One forward pass per norm. / specs: one for each norm; nets: which networks each stands for.

    returns: for each layer what each norm's backward pass needs, and each norm's output [batch,
    width].
    """
    spec = specs[0]
    homogeneous, phi = activation(spec.activation).homogeneous, elementwise(spec.activation).phi
    power = 0 if given is not None else _power(spec.input_variance)
    white = replace(spec, input_variance=spec.input_variance * 4.0**-power)
    inputs = draw_input(white, seed) if given is None else given
    states = [_Scaled(inputs, power) for _ in specs]
    layers: list[list[_Layer]] = [[]]
    places = [_positions(this) for this in specs]
    yield from (
        Seen("activation", net, 0, 0, log2_mean_square(inputs, power))
        for members in nets
        for net in members
    )
    for layer in range(1, spec.depth + 1):
        products = _multiply([state.values for state in states], weights[layer].T)
        bias = draw_bias(spec.width, spec.sigma_b2, seed, layer) if spec.sigma_b2 else None
        layers.append([])
        for f, (this, y) in enumerate(zip(specs, products, strict=True)):
            y = _with_bias(_Scaled(y, states[f].scale + weights.scale), bias)
            y = y if homogeneous or this.normalizer.kind else _Scaled(y.plain())
            kept, z, log2_y, log2_variance = _normalize(this, y)
            sketch = Sketch.of(z.values, z.scale)
            _require_numbers(sketch, this, layer)
            x = _Scaled(phi(z.values), z.scale)
            log2_ms = log2_mean_square(x.values, x.scale)
            at = places[f].of(layer)
            for net in nets[f]:
                yield Seen("batch_variance", net, at.linear, layer, log2_variance)
                yield Seen("activation", net, at.linear, layer, log2_y)
                if kept.log2_z is not None:
                    yield Seen("activation", net, at.norm, layer, kept.log2_z)
                level = sketch.log2_mean_square()
                yield Seen("activation", net, at.received, layer, level, z.values, sketch)
                yield Seen("activation", net, at.output, layer, log2_ms, x.values)
            _require_held(log2_ms, states[f], layer, homogeneous)
            states[f] = x.recentred(log2_ms / 2) if homogeneous else x
            layers[layer].append(kept)
    return layers, [(state.values, state.scale) for state in states]


@dataclass(frozen=True, slots=True)
class _Positions:
    """Where the operations of a layer stand in the graph: its linear map, its norm, what its
    activation receives, and its output."""

    linear: int
    norm: int
    received: int
    output: int

    def of(self, layer: int) -> "_Positions":
        """Of a later layer, from those of the first one."""
        past = (layer - 1) * self.output
        return _Positions(
            self.linear + past, self.norm + past, self.received + past, self.output + past
        )


def _positions(spec: NetSpec) -> _Positions:
    """Of the first layer."""
    layer = [type(op.what) for op in spec.graph().ops if op.layer == 1]
    return _Positions(1, 2, len(layer) - 1, len(layer))


def _with_bias(y: _Scaled, bias: Tensor | None) -> _Scaled:
    return (
        y
        if bias is None
        else _Scaled(y.values + torch.ldexp(bias, torch.tensor(-y.scale)), y.scale)
    )


def _normalize(spec: NetSpec, y: _Scaled) -> tuple[_Layer, _Scaled, float, float]:
    """What to keep, what the activation receives, log2 of y's mean square, and of the mean over
    neurons of its variance over the batch."""
    means = y.values.mean(0, keepdim=True)
    centred = y.values - means
    variance = centred.square().mean(0, keepdim=True)
    log2_variance = float(variance.mean(dtype=torch.float64).log2()) + 2 * y.scale
    if not abs(log2_variance - 2 * y.scale) < _SQUARES_FIT:
        log2_variance = log2_mean_square(centred.double()) + 2 * y.scale
    if spec.norm == "none":
        return _Layer(y.values), y, nan, log2_variance
    log2_y = float((variance + means.square()).mean(dtype=torch.float64).log2()) + 2 * y.scale
    if not abs(log2_y - 2 * y.scale) < _SQUARES_FIT:
        log2_y = log2_mean_square(y.values.double()) + 2 * y.scale
    z, inverse_std = batch_norm.normalize(centred, variance, _over_power(spec.eps, 2 * y.scale))
    scaled = (spec.gamma, spec.beta) != (1, 0)  # else what the activation receives is z itself
    kept = _Layer(z, inverse_std, -y.scale, log2_mean_square(z) if scaled else None)
    return kept, _Scaled(_affine(spec, z)), log2_y, log2_variance


def _affine(spec: NetSpec, z: Tensor) -> Tensor:
    return z if (spec.gamma, spec.beta) == (1, 0) else spec.gamma * z + spec.beta


def _backward(
    specs: Sequence[NetSpec],
    forward_of: list[int],
    weights: _Weights,
    layers: list[list[_Layer]],
    gradients: list[_Scaled],
) -> Iterator[Seen]:
    """gradients: at the outputs, one for each network; layers are let go as they are passed."""
    places = [_positions(spec) for spec in specs]
    for layer in range(specs[0].depth, -1, -1):
        for net, gradient in enumerate(gradients):
            sketch = Sketch.of(gradient.values, gradient.scale)
            if sketch.nans or sketch.infs:
                raise Undefined(
                    f"layer {layer}: {sketch.nans:,} entries of the gradient are NaN and "
                    f"{sketch.infs:,} infinite"
                )
            level, op = sketch.log2_mean_square(), layer * places[net].output
            yield Seen("gradient", net, op, layer, level, gradient.values, sketch)
            gradients[net] = gradient.recentred(level / 2)
        if layer == 0:
            return
        kept = [layers[layer][f] for f in forward_of]
        at_y = []
        for net, (spec, gradient, k) in enumerate(zip(specs, gradients, kept, strict=True)):
            inside = _through_layer(spec, gradient.values, k)
            at = places[net].of(layer)
            ops = (at.received, at.norm)[: len(inside) - 1]
            for op, values in zip(ops, inside, strict=False):
                yield Seen("gradient", net, op, layer, log2_mean_square(values, gradient.scale))
            scale = gradient.scale + k.scale
            yield Seen("gradient", net, at.linear, layer, log2_mean_square(inside[-1], scale))
            at_y.append(inside[-1])
        at_x = _multiply(at_y, weights[layer])
        gradients = [
            _Scaled(v, g.scale + k.scale + weights.scale)
            for v, g, k in zip(at_x, gradients, kept, strict=True)
        ]
        layers[layer] = []


def _through_layer(spec: NetSpec, gradient: Tensor, kept: _Layer) -> list[Tensor]:
    """Gradients at what the activation receives, at the norm's output before gain and shift, and
    at the preactivation y, from that at x = phi(norm(y)): as many as there are operations.

    Args:
        gradient: [batch, width].
    """
    phi = elementwise(spec.activation)
    if kept.inverse_std is None:
        return [phi.backward(gradient, kept.z)]
    at_received = phi.backward(gradient, _affine(spec, kept.z))
    at_z = at_received if spec.gamma == 1 else at_received * spec.gamma
    plain = (spec.gamma, spec.beta) == (1, 0)
    inside = [at_z] if plain else [at_received, at_z]
    if spec.statistics == "frozen":
        return [*inside, batch_norm.frozen_backward(at_z, kept.inverse_std)]
    return [*inside, batch_norm.backward(at_z, kept.z, kept.inverse_std)]


def _multiply(rows: list[Tensor], matrix: Tensor) -> list[Tensor]:
    """rows[i] @ matrix for every i, in one product; those that are the same tensor enter once."""
    distinct = list({id(each): each for each in rows}.values())
    products = dict(
        zip(map(id, distinct), (torch.cat(distinct) @ matrix).chunk(len(distinct)), strict=True)
    )
    return [products[id(each)] for each in rows]


def _require_numbers(sketch: Sketch, spec: NetSpec, layer: int) -> None:
    if sketch.infs:
        raise Undefined(
            f"layer {layer}: {sketch.infs:,} preactivations left float32's range; lower sigma_w2, "
            "gamma or beta"
        )
    if sketch.nans:
        zero = (
            "a neuron's preactivations are equal over the batch, so their variance is 0; give "
            "eps > 0, and gamma other than 0"
        )
        why = zero if spec.normalizer.kind else "they left float32's range; lower sigma_w2"
        raise Undefined(f"layer {layer}: {sketch.nans:,} preactivations are NaN: {why}")


def _require_held(log2_ms: float, before: _Scaled, layer: int, homogeneous: bool) -> None:
    """An activation that is 0 throughout is one thing; one that float32 cannot hold is another."""
    if (
        log2_ms == -inf
        and not homogeneous
        and log2_mean_square(before.values, before.scale) < -2 * _SQUARES_FIT
    ):
        raise Undefined(
            f"layer {layer}: the activations fell below float32's range; raise sigma_w2 or lower "
            "the depth"
        )
