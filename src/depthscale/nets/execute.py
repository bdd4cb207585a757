"""Any described network, run operation by operation as its Graph says, and differentiated by autograd."""

from collections.abc import Iterator

import torch
from torch import Tensor

from depthscale.errors import Undefined
from depthscale.graph import Add, Affine, Dropout, Elementwise, Graph, Input, Linear, Norm, Op
from depthscale.nets.draw import Loss, draw_bias, draw_input, draw_rows, output_gradient
from depthscale.nets.elementwise import elementwise
from depthscale.nets.seen import Seen
from depthscale.sketch import Sketch, log2_mean_square
from depthscale.spec import NetSpec


def run(spec: NetSpec, seed: int, loss: Loss, inputs: Tensor | None = None) -> Iterator[Seen]:
    """Forward and backward pass of one network, with the weights, inputs and cotangent of its seed; all that is measured.

    inputs: [batch, width] in place of those of the seed.
    """
    graph = spec.graph()
    with torch.enable_grad():
        outputs = execute(graph, (draw_input(spec, seed) if inputs is None else inputs.clone()).requires_grad_(), seed)
        layers = [outputs[layer[-1]] for layer in graph.layers()]
        gradients = torch.autograd.grad(layers[-1], layers, output_gradient(spec, seed, loss, layers[-1]).to(layers[-1].dtype))
    yield from _forward(graph, [each.detach() for each in outputs])
    for layer, gradient in enumerate(gradients):
        sketch = Sketch.of(gradient)
        if sketch.nans or sketch.infs:
            raise Undefined(f"layer {layer}: {sketch.nans:,} entries of the gradient are NaN and {sketch.infs:,} infinite")
        yield Seen("gradient", 0, layer, sketch.log2_mean_square(), gradient, sketch)


def execute(graph: Graph, inputs: Tensor, seed: int) -> list[Tensor]:
    """Every operation's output. / inputs: [samples, width]; the n-th linear map's weights are those of layer n of the seed."""
    outputs: list[Tensor] = []
    linears = 0
    for op in graph.ops:
        linears += isinstance(op.what, Linear)
        outputs.append(_apply(op, [outputs[i] for i in op.inputs], inputs, seed, linears))
    return outputs


def _apply(op: Op, args: list[Tensor], inputs: Tensor, seed: int, linears: int) -> Tensor:
    match op.what:
        case Input():
            return inputs
        case Linear():
            return _linear(op.what, args[0], seed, linears)
        case Norm():
            return normalize(op.what, args[0])
        case Affine(gain, shift):
            return gain * args[0] + shift
        case Elementwise(name):
            return elementwise(name).phi(args[0])
        case Add(scale):
            return args[0] + scale * args[1]
        case Dropout(keep):
            return torch.nn.functional.dropout(args[0], 1 - keep)


def _linear(linear: Linear, x: Tensor, seed: int, number: int) -> Tensor:
    y = x @ draw_rows(linear, seed, number).T
    return y + draw_bias(linear.fan_out, linear.sigma_b2, seed, number) if linear.sigma_b2 else y


def normalize(norm: Norm, y: Tensor) -> Tensor:
    """A norm with the biased variance; over the batch, a sample's entries, or groups of them. / y: [samples, width]."""
    if norm.statistics == "running":
        return y / (1 + norm.eps) ** 0.5
    if norm.kind == "rms":
        return y / (y.square().mean(1, keepdim=True) + norm.eps).sqrt()
    shaped = y.view(len(y), -1, int(norm.size)) if norm.kind == "group" else y
    dim = 0 if norm.kind == "batch" else -1
    still = shaped.detach() if norm.statistics == "frozen" else shaped
    centred = shaped - still.mean(dim, keepdim=True)
    return (centred / (still.var(dim, correction=0, keepdim=True) + norm.eps).sqrt()).view_as(y)


def _forward(graph: Graph, outputs: list[Tensor]) -> Iterator[Seen]:
    for number, layer in enumerate(graph.layers()):
        x = outputs[layer[-1]]
        yield Seen("activation", 0, number, log2_mean_square(x), x)
        received = [graph.ops[i].inputs[0] for i in layer if isinstance(graph.ops[i].what, Elementwise)]
        for z in (outputs[i] for i in received[:1]):
            sketch = Sketch.of(z)
            yield Seen("preactivation", 0, number, sketch.log2_mean_square(), z, sketch)
        for y in (outputs[i] for i in layer if isinstance(graph.ops[i].what, Linear)):
            variance = y.var(0, correction=0).mean(dtype=torch.float64)
            yield Seen("preactivation_batch_variance", 0, number, float(variance.log2()))
            break
