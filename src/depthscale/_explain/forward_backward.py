"""Tape: every operation's value of one network, and the gradient that arrives there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from depthscale.errors import Undefined
from depthscale.nets import Loss, draw_input, evaluate, output_gradient
from depthscale.network import Affine, Elementwise, Graph, Linear, NetSpec, Norm


@dataclass(frozen=True, eq=False)
class Tape:
    """values, gradients: [batch, width] at the output of each of the graph's operations."""

    graph: Graph
    values: list[Tensor]
    gradients: list[Tensor]


@dataclass(frozen=True)
class LayerPlaces:
    """Where the operations of one layer stand in a graph; None for one that the layer does not
    have."""

    below: int
    linear: int
    norm: int | None
    affine: int | None
    activation: int
    output: int


def record(spec: NetSpec, seed: int, loss: Loss) -> Tape:
    """Forward and backward pass of the network of a seed. / raises: Undefined where a gradient is
    not a finite number."""
    graph = spec.graph()
    with torch.enable_grad():
        values = evaluate(graph, draw_input(spec, seed).requires_grad_(), seed)
        cotangent = output_gradient(spec, seed, loss, values[-1]).to(values[-1].dtype)
    return Tape(graph, [each.detach() for each in values], gradients(graph, values, cotangent))


def gradients(graph: Graph, values: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    """The gradient at every operation's output, by autograd. / cotangent: at the last. / raises:
    Undefined."""
    found = torch.autograd.grad(values[-1], values, cotangent)
    for op, gradient in zip(graph.ops, found, strict=True):
        if not gradient.isfinite().all():
            raise Undefined(
                f"{op.name}: the gradient is not finite there; take less depth, or a larger batch"
            )
    return list(found)


def places(graph: Graph) -> list[LayerPlaces]:
    """The layers of a plain network, from the first."""
    return [_places(graph, layer) for layer in list(graph.layers())[1:]]


def _places(graph: Graph, layer: tuple[int, ...]) -> LayerPlaces:
    at = {type(graph.ops[i].what): i for i in layer}
    return LayerPlaces(
        layer[0] - 1, at[Linear], at.get(Norm), at.get(Affine), at[Elementwise], layer[-1]
    )
