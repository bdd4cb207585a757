"""Normalization as a circuit of nine nodes, each with its value and its local gradient.

    mean, centre = x - mean, square, variance = mean square, square root = sqrt(variance + eps),
    inverse, normalize = centre * inverse, scale = gamma * normalize, shift = scale + beta

source: Kratzert 2016, "Understanding the backward pass through Batch Normalization Layer";
arXiv:1502.03167, algorithm 1.
"""

import torch
from torch import Tensor

from depthscale.norms.circuit import Circuit, Node

STATISTICS = ("mean", "square", "variance")  # the nodes that frozen statistics take the place of


def normalization(over: tuple[int, ...], *, centred: bool = True) -> Circuit:
    """The nodes over the leaves x, gamma, beta and eps. / over: dimensions that share a mean and a
    variance.

    centred: False leaves out mean and centre, so that "variance" is the mean square (RMS norm).
    """

    def first_and_mean(x: Tensor) -> Tensor:
        # The mean seen from one of its values: exact where all are equal, so that their variance is
        # 0 and not rounding.
        first = x[tuple(slice(0, 1) if d in over else slice(None) for d in range(x.ndim))]
        return first + (x - first).mean(over, keepdim=True)

    def mean(x: Tensor) -> Tensor:
        return x.mean(over, keepdim=True)

    y = "centre" if centred else "x"
    centring = (
        Node("mean", ("x",), first_and_mean, (_share,)),
        Node("centre", ("x", "mean"), torch.sub, (_one, lambda out, x, mean: -1.0)),
    )
    return (
        *(centring if centred else ()),
        Node("square", (y,), torch.square, (lambda out, x: 2 * x,)),
        Node("variance", ("square",), mean, (_share,)),
        Node(
            "square root",
            ("variance", "eps"),
            lambda variance, eps: (variance + eps).sqrt(),
            (_half_inverse, _half_inverse),
        ),
        Node("inverse", ("square root",), torch.reciprocal, (lambda out, x: -1 / x**2,)),
        Node(
            "normalize",
            (y, "inverse"),
            torch.mul,
            (lambda out, x, inverse: inverse, lambda out, x, inverse: x),
        ),
        Node(
            "scale",
            ("gamma", "normalize"),
            torch.mul,
            (lambda out, gamma, z: z, lambda out, gamma, z: gamma),
        ),
        Node("shift", ("scale", "beta"), torch.add, (_one, _one)),
    )


def frozen(circuit: Circuit) -> Circuit:
    """The same circuit with mean and variance as leaves: eval mode, or statistics that take no
    gradient."""
    return tuple(node for node in circuit if node.name not in STATISTICS)


def _share(out: Tensor, x: Tensor) -> float:
    return out.numel() / x.numel()


def _one(out: Tensor, *inputs: Tensor) -> float:
    return 1.0


def _half_inverse(out: Tensor, *inputs: Tensor) -> Tensor:
    return 1 / (2 * out)
