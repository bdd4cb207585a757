"""A circuit: values computed by named nodes, and the walk back through them, which is the chain
rule and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Node:
    """out = value(*inputs), entry by entry or as a mean. / inputs: names of leaves or of earlier
    nodes.

    local: for each input d out / d input, a function of (out, *inputs) that gives a number or a
    tensor to multiply by.
    """

    name: str
    inputs: tuple[str, ...]
    value: Callable[..., Tensor]
    local: tuple[Callable[..., Tensor | float], ...]


class NodeStep(NamedTuple):
    """One node on the way back: dE/d out as it arrives, the local gradients, and what flows on to
    each input."""

    node: Node
    arriving: Tensor
    local: tuple[Tensor | float, ...]
    flows: tuple[Tensor, ...]


class Backprop(NamedTuple):
    """The steps from the last node to the first, and dE/d value of every leaf and node."""

    steps: list[NodeStep]
    gradients: dict[str, Tensor]


Circuit = Sequence[Node]


def forward(circuit: Circuit, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The value of every leaf and node. / leaves: all of one number of dimensions, so that they
    broadcast as they stand."""
    values = dict(leaves)
    for node in circuit:
        values[node.name] = node.value(*(values[name] for name in node.inputs))
    return values


def backward(circuit: Circuit, values: Mapping[str, Tensor], gradient: Tensor) -> Backprop:
    """Walk the circuit in reverse. / values: of `forward`; gradient: dE/d out of the last node.

    What a value receives from several nodes adds up: they run later than its own, so the sum is
    whole when it is read.
    """
    gradients, steps = {circuit[-1].name: gradient}, []
    for node in reversed(circuit):
        arriving = gradients[node.name]
        inputs = [values[name] for name in node.inputs]
        local = tuple(slope(values[node.name], *inputs) for slope in node.local)
        flows = tuple(
            _in_shape_of(x, arriving * slope) for x, slope in zip(inputs, local, strict=True)
        )
        for name, flow in zip(node.inputs, flows, strict=True):
            gradients[name] = gradients[name] + flow if name in gradients else flow
        steps.append(NodeStep(node, arriving, local, flows))
    return Backprop(steps, gradients)


def _in_shape_of(x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient at x: summed where x was spread over entries, spread where x was averaged over
    them."""
    spread = [d for d in range(x.ndim) if x.shape[d] < gradient.shape[d]]
    return (gradient.sum(spread, keepdim=True) if spread else gradient).expand_as(x)
