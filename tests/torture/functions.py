"""Custom autograd Functions of every kind: name -> function of two values."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from torture.elementwise import Step


class _Plain(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        return g[0] * b, g[0] * a


class _Once(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return a.sin()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *g: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (a,) = ctx.saved_tensors
        return g[0] * a.cos()


class _Setup(Function):
    @staticmethod
    def forward(a: Tensor, scale: float) -> Tensor:
        return a * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return g[0] * ctx.scale, None


class _Dirty(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        a.mul_(0.7)
        ctx.mark_dirty(a)
        return a

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return g[0] * 0.7


class _Two(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a)
        return a.sin(), a + b

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        (a,) = ctx.saved_tensors
        return g[0] * a.cos() + g[1], g[1]


class _WithIndices(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = a.sort(1)
        ctx.mark_non_differentiable(indices)
        ctx.save_for_backward(indices)
        return values, indices

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        (indices,) = ctx.saved_tensors
        return torch.zeros_like(g[0]).scatter(1, indices, g[0])


class _NoGradient(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return g[0], None


class _Unmaterialized(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return a * 2, a * 3

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> Any:
        total = None
        for each, factor in zip(g, (2, 3), strict=True):
            if each is not None:
                total = each * factor if total is None else total + each * factor
        return total


class _Reversal(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return a.view_as(a)

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return -g[0]


class _Returned(Function):
    """Returns what it was given."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return a

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return g[0] * 0.5


class _Again(Function):
    """Computes its forward pass again in its backward pass, as checkpoints do."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return a.tanh()

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        (a,) = ctx.saved_tensors
        with torch.enable_grad():
            inner = a.detach().requires_grad_()
            y = inner.tanh()
        return torch.autograd.grad(y, inner, g[0])[0]


class _Parted(Function):
    """Gives a view of a tensor of its own."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return torch.cat([a, a], 1)[:, : a.shape[1]]

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return g[0].clone()


def _two(a: Tensor, b: Tensor) -> Tensor:
    left, right = _Two.apply(a, b)  # type: ignore[misc]
    return left * right


def _one_of_two(a: Tensor, b: Tensor) -> Tensor:
    return _Unmaterialized.apply(a)[1]  # type: ignore[index]


def _gradient_inside(a: Tensor, b: Tensor) -> Tensor:
    """A gradient is a value of the forward pass, as in a penalty."""
    leaf = a.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad((leaf * leaf.sin()).sum(), leaf)
    return b + slope


def _gradient_of_a_gradient(a: Tensor, b: Tensor) -> Tensor:
    if not a.requires_grad:
        return a + b
    (slope,) = torch.autograd.grad(a.sin().sum(), a, create_graph=True)
    return b + slope


FUNCTIONS: dict[str, Step] = {
    "custom": lambda a, b: _Plain.apply(a, b),
    "custom_again": lambda a, b: _Again.apply(a),
    "custom_dirty": lambda a, b: _Dirty.apply(a * 1),
    "custom_no_gradient": lambda a, b: _NoGradient.apply(a, b),
    "custom_once": lambda a, b: _Once.apply(a),
    "custom_one_of_two": _one_of_two,
    "custom_parted": lambda a, b: _Parted.apply(a),
    "custom_returned": lambda a, b: _Returned.apply(a) + b,
    "custom_reversal": lambda a, b: _Reversal.apply(a),
    "custom_setup": lambda a, b: _Setup.apply(a, 0.8),
    "custom_two": _two,
    "custom_with_indices": lambda a, b: _WithIndices.apply(a)[0],  # type: ignore[index]
    "gradient_inside": _gradient_inside,
    "gradient_of_a_gradient": _gradient_of_a_gradient,
    "custom_dirty_view": lambda a, b: _Dirty.apply((a * 1).view(-1)).view(a.shape),
}
