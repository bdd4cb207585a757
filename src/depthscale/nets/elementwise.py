"""The activations as torch operations, forward and backward."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from depthscale.network import Activation, Function, name_and_parameter
from depthscale.network import activation as named

Phi = Callable[[Tensor], Tensor]


class Elementwise(NamedTuple):
    """phi: z -> phi(z); backward: (gradient at phi(z), z) -> gradient at z."""

    phi: Phi
    backward: Callable[[Tensor, Tensor], Tensor]


@cache
def elementwise(activation: str | Activation) -> Elementwise:
    """The activation of a name in the table of activations, as torch computes it; where torch has
    no function for it, and of a custom one, as numpy does in float64.

    raises: InvalidSpec for another name.
    """
    if isinstance(activation, Activation):
        return _by_autograd(partial(_Own.apply, activation))
    name, parameter = name_and_parameter(activation)
    if name in _WITH_BACKWARD:
        return _WITH_BACKWARD[name]
    if name in _FAMILIES:
        return _by_autograd(_FAMILIES[name](*([float(parameter)] if parameter else [])))
    if name in _PLAIN:
        return _by_autograd(_PLAIN[name])
    return elementwise(named(activation))


def _by_autograd(phi: Phi) -> Elementwise:
    def backward(gradient: Tensor, z: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            return torch.autograd.grad(phi(leaf), leaf, gradient)[0]

    return Elementwise(phi, backward)


class _Own(torch.autograd.Function):
    """phi and its derivative, which are functions of numpy arrays."""

    @staticmethod
    def forward(ctx: Any, own: Activation, z: Tensor) -> Tensor:
        ctx.own = own
        ctx.save_for_backward(z)
        return _applied(own.phi, z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (z,) = ctx.saved_tensors
        return None, gradients[0] * _applied(ctx.own.derivative, z)


def _applied(function: Function, z: Tensor) -> Tensor:
    values = np.asarray(function(z.detach().double().cpu().numpy()), np.float64)
    return torch.from_numpy(values).to(z.device, z.dtype)


_WITH_BACKWARD = {
    "linear": Elementwise(lambda z: z, lambda gradient, z: gradient),
    "relu": Elementwise(
        torch.relu, lambda gradient, z: torch.ops.aten.threshold_backward(gradient, z, 0)
    ),
}
_FAMILIES: dict[str, Callable[..., Phi]] = {
    "leaky_relu": lambda a=0.01: lambda z: F.leaky_relu(z, a),
    "prelu": lambda a=0.25: lambda z: F.leaky_relu(z, a),
    "elu": lambda a=1.0: lambda z: F.elu(z, a),
    "celu": lambda a=1.0: lambda z: F.celu(z, a),
}
_PLAIN: dict[str, Phi] = {
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "tanh": torch.tanh,
    "hard_tanh": F.hardtanh,
    "erf": torch.erf,
    "sin": torch.sin,
    "abs": torch.abs,
    "softsign": F.softsign,
    "relu6": F.relu6,
}
