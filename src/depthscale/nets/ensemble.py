"""Networks that share their weights, over several seeds, run side by side: one matrix product per
linear map and direction for all of them.

Only activations' gradients are computed. Networks with the same norm share their forward pass,
whatever their gradient does. Numbers that would leave float32's range are carried as v 2^k, with
one k for a tensor of a seed.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthscale.errors import Undefined
from depthscale.nets.apply import Pull, apply
from depthscale.nets.draw import Loss, draw_bias, draw_input, draw_weights, output_gradient
from depthscale.nets.scaled import Scaled, power_of
from depthscale.nets.seen import See, Seen
from depthscale.network import Elementwise, Graph, Linear, NetSpec, activation
from depthscale.sketch import Sketch

_LOST = -200.0  # log2 of a mean square from which float32 may lose all of an activation
# bytes of weights kept for the backward pass; the other layers are drawn again
_KEEP_WEIGHTS = 1 << 30

# One network on its way: it asks for the product of a tensor with the next weights, and is given
# it; the last that it yields is its output, or its input's gradient.
Way = Generator[Scaled, Scaled, None]
Tell = Callable[..., None]  # takes the fields of Seen, but its seeds


def are_paired(a: NetSpec, b: NetSpec) -> bool:
    """Whether two networks differ in norm and statistics alone, so that they can run side by
    side."""
    free = a.normalizer.rows == b.normalizer.rows == "free"
    return free and a.residual is None and replace(a, norm=b.norm, statistics=b.statistics) == b


@torch.no_grad()
def run(
    specs: Sequence[NetSpec],
    seeds: Sequence[int],
    loss: Loss,
    see: See,
    inputs: Tensor | None = None,
) -> None:
    """Forward and backward pass of paired networks on the weights, inputs and cotangents of some
    seeds.

    see: is called with all that is measured. / inputs: [batch, width] in place of those of the
    seeds.
    """

    def tell(*measured: Any) -> None:
        see(Seen(seeds, *measured))

    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        forwards = [_as_forward(spec) for spec in specs]
        weights, x = _Weights(specs[0], seeds), _inputs(specs[0], seeds, inputs)
        passes = {
            each: _Forward(each, [net for net, own in enumerate(forwards) if own == each], tell)
            for each in dict.fromkeys(forwards)
        }
        ways = [each.way(x, seeds) for each in passes.values()]
        outputs = dict(zip(passes, _side_by_side(ways, weights.upwards()), strict=True))
        ways = [
            _backward(
                spec.graph(),
                net,
                list(passes[own].pulls),
                _cotangents(spec, seeds, loss, outputs[own]),
                tell,
            )
            for net, (spec, own) in enumerate(zip(specs, forwards, strict=True))
        ]
        passes.clear()  # each way lets go of a layer as it passes
        _side_by_side(ways, weights.downwards())


def _as_forward(spec: NetSpec) -> NetSpec:
    """The network whose forward pass is the same."""
    return replace(spec, statistics="batch") if spec.statistics == "frozen" else spec


def _side_by_side(ways: list[Way], matrices: Iterable[tuple[Tensor, int]]) -> list[Scaled]:
    """What ways end with. / matrices: [seeds, in, out] and the power of two that they are over."""
    at = [next(way) for way in ways]
    for matrix, power in matrices:
        at = _multiply(at, matrix, power)  # what is asked for is let go before a way goes on
        at = [way.send(at.pop(0)) for way in ways]
    return at


def _multiply(rows: list[Scaled], matrix: Tensor, power: int) -> list[Scaled]:
    """rows[i] @ matrix for every i, in one product; those that are the same tensor enter once."""
    distinct = list({id(each.tensor): each.tensor for each in rows}.values())
    joined = torch.cat(distinct, 1) if len(distinct) > 1 else distinct[0]
    parts = torch.bmm(joined, matrix).chunk(len(distinct), 1)
    products = {id(x): y.contiguous() for x, y in zip(distinct, parts, strict=True)}
    return [Scaled(products[id(each.tensor)], each.power + power) for each in rows]


class _Weights:
    """The weights of several seeds by the number of their linear map: the last are kept, as far as
    memory is set aside."""

    def __init__(self, spec: NetSpec, seeds: Sequence[int]):
        self._seeds = seeds
        self._maps = [op.what for op in spec.graph().ops if isinstance(op.what, Linear)]
        largest = 4 * len(seeds) * max(each.fan_in * each.fan_out for each in self._maps)
        self._first_kept = len(self._maps) - max(1, _KEEP_WEIGHTS // largest) + 1
        self._kept: dict[int, Tensor] = {}

    def upwards(self) -> Iterator[tuple[Tensor, int]]:
        """[seeds, fan_in, fan_out] of each linear map in turn, and the power of two over which
        they are."""
        return ((w.mT, power) for w, power in map(self._of, range(1, len(self._maps) + 1)))

    def downwards(self) -> Iterator[tuple[Tensor, int]]:
        """[seeds, fan_out, fan_in] from the last to the first."""
        return map(self._of, range(len(self._maps), 0, -1))

    def _of(self, number: int) -> tuple[Tensor, int]:
        linear = self._maps[number - 1]
        power = power_of(sqrt(linear.sigma_w2))  # float32's squares would not hold the weights
        if number in self._kept:
            return self._kept[number], power
        if power:
            linear = replace(linear, sigma_w2=linear.sigma_w2 * 4.0**-power)
        weights = draw_weights(linear, self._seeds, number)
        if number >= self._first_kept:
            self._kept[number] = weights
        return weights, power


def _inputs(spec: NetSpec, seeds: Sequence[int], given: Tensor | None) -> Scaled:
    if given is not None:
        return Scaled.of(given.expand(len(seeds), *given.shape))
    power = power_of(sqrt(spec.input_variance))
    white = replace(spec, input_variance=spec.input_variance * 4.0**-power)
    drawn = torch.stack([draw_input(white, seed) for seed in seeds])
    return Scaled(drawn, np.full(len(seeds), power))


def _cotangents(spec: NetSpec, seeds: Sequence[int], loss: Loss, output: Scaled) -> Scaled:
    each = zip(seeds, output.tensor, output.power.tolist(), strict=True)
    return Scaled.of(
        torch.stack([output_gradient(spec, seed, loss, x, power) for seed, x, power in each])
    )


class _Forward:
    """The forward pass of one network, or of several whose gradients alone differ.

    Attributes:
        pulls: of each operation, what takes a gradient through it; None for linear maps.
    """

    def __init__(self, spec: NetSpec, nets: list[int], tell: Tell):
        self._spec, self._graph, self._nets, self._tell = spec, spec.graph(), nets, tell
        self._places = set(self._graph.places)
        receivers = (op for op in self._graph.ops if isinstance(op.what, Elementwise))
        self._received = {op.inputs[0] for op in receivers}
        self._homogeneous = activation(spec.activation).homogeneous
        self._below = np.zeros(0)  # log2 of the mean squares at the last place
        self.pulls: list[Pull | None] = []

    def way(self, x: Scaled, seeds: Sequence[int]) -> Way:
        """From the inputs of some seeds to the output; lets go of what no operation reads again."""
        outputs = {0: self._read(0, x)}
        unread, linears = list(self._graph.consumers), 0
        self.pulls.append(None)
        for i, op in enumerate(self._graph.ops[1:], 1):
            inputs, pull = [], None
            for j in op.inputs:
                unread[j] -= 1
                inputs.append(outputs[j] if unread[j] else outputs.pop(j))
            if isinstance(op.what, Linear):
                linears += 1
                x = _with_bias(op.what, (yield inputs.pop()), seeds, linears)
            else:
                x, pull = apply(op.what, inputs)
            self.pulls.append(pull)
            outputs[i] = self._read(i, x)
            del x
        yield outputs.popitem()[1]

    def _read(self, i: int, x: Scaled) -> Scaled:
        """Measure an operation's output. / returns: it, as the next can take it."""
        op, received = self._graph.ops[i], i in self._received
        if received and not self._homogeneous:
            x = x.plain()
        log2_ms, sketch = x.log2_mean_square(), x.sketch() if received else None
        if sketch is not None:
            _require_numbers(sketch, self._spec, op.layer)
        for net in self._nets:
            self._tell("activation", net, i, op.layer, log2_ms, x, sketch)
            if isinstance(op.what, Linear):
                self._tell("batch_variance", net, i, op.layer, x.over_batch[2])
        if i not in self._places:
            return x
        if self._homogeneous:
            return x.recentred(log2_ms)
        if i and (np.isneginf(log2_ms) & (self._below < _LOST)).any():
            raise Undefined(
                f"layer {op.layer}: the activations fell below float32's range; raise sigma_w2 or "
                "lower the depth"
            )
        self._below = log2_ms
        return x


def _with_bias(linear: Linear, y: Scaled, seeds: Sequence[int], number: int) -> Scaled:
    if not linear.sigma_b2:
        return y
    biases = [draw_bias(linear.fan_out, linear.sigma_b2, seed, number) for seed in seeds]
    return y + Scaled(torch.stack(biases)[:, None], np.zeros_like(y.power))


def _backward(
    graph: Graph, net: int, pulls: list[Pull | None], gradient: Scaled, tell: Tell
) -> Way:
    """From the gradient at the output to the input's. / pulls: used up."""
    places, arrived = set(graph.places), {len(graph.ops) - 1: gradient}
    for i in reversed(range(len(graph.ops))):
        op, pull, gradient = graph.ops[i], pulls.pop(), arrived.pop(i)
        log2_ms, sketch = gradient.log2_mean_square(), None
        if i in places:
            sketch = gradient.sketch()
            _require_finite(sketch, op.layer)
        tell("gradient", net, i, op.layer, log2_ms, gradient, sketch)
        if i in places:
            gradient = gradient.recentred(log2_ms)
        if isinstance(op.what, Linear):
            parts = [(yield gradient)]
        else:
            parts = pull(op.what, gradient) if pull else []
        for k, (source, part) in enumerate(zip(op.inputs, parts, strict=True)):
            if graph.consumers[source] > 1:
                edge = graph.first_edges[i] + k
                tell("edge", net, edge, 0, part.log2_mean_square())
            arrived[source] = arrived[source] + part if source in arrived else part
    yield gradient


def _require_finite(gradient: Sketch, layer: int) -> None:
    if gradient.nans or gradient.infs:
        raise Undefined(
            f"layer {layer}: {gradient.nans:,} entries of the gradient are NaN and "
            f"{gradient.infs:,} infinite"
        )


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
