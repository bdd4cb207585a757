"""Operations that write to what is there already: name -> function of two values. What they write
to is a value of their own, unless the name says `given`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from torture.elementwise import Step


def _seen_through_an_older_view(a: Tensor, b: Tensor) -> Tensor:
    h = a * 1.5
    view = h.view(-1)
    h.add_(b)
    h[:1] = 0.5
    return view.view(h.shape).sin()


def _seen_through_a_part(a: Tensor, b: Tensor) -> Tensor:
    h = a * 0.5
    part = h[:, 2:]
    h.mul_(b)
    part.add_(1)
    return F.pad(part * 2, (0, 2)) + h


def _filled(a: Tensor, b: Tensor) -> Tensor:
    h = torch.zeros_like(a)
    for i in range(a.shape[1]):
        h[:, i] = a[:, i] * b[:, -1 - i]
    return h


def _overwritten(a: Tensor, b: Tensor) -> Tensor:
    h = a * 1
    return h.copy_(b)


def _accumulated(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=a.dtype)
    for row in (a, b):
        total += row.sum() * 0.1
    return a + total


def _unseen(a: Tensor, b: Tensor) -> Tensor:
    h = a * 1.1
    with torch.no_grad():
        h.mul_(0.9)
    return h + b


def _unseen_given(a: Tensor, b: Tensor) -> Tensor:
    with torch.no_grad():
        a.mul_(0.9)
    return a + b


def _data_written(a: Tensor, b: Tensor) -> Tensor:
    h = a * 1.1
    h.data.mul_(0.5)
    return h + b


def _detached_written(a: Tensor, b: Tensor) -> Tensor:
    h = a + b
    h.detach().clamp_(-1, 1)
    return h * 1


def _unseen_part(a: Tensor, b: Tensor) -> Tensor:
    h = a.tanh() + 1
    with torch.no_grad():
        h[:, 0] = 0
    return h.relu() + b


def _changed_in_a_part(change: Step) -> Step:
    def run(a: Tensor, b: Tensor) -> Tensor:
        h = a * 1
        change(h[:, :2], b[:, :2])
        return h

    return run


def _changed(change: Step) -> Step:
    def run(a: Tensor, b: Tensor) -> Tensor:
        h = a * 1
        change(h, b)
        return h

    return run


def _set_item(h: Tensor, b: Tensor) -> Tensor:
    h[h > 0] = 0.5
    return h


def _set_rows(h: Tensor, b: Tensor) -> Tensor:
    h[::2] = b[::2] * 2
    return h


_CHANGES: dict[str, Step] = {
    "add_": lambda h, b: h.add_(b),
    "addcmul_": lambda h, b: h.addcmul_(b, b, value=0.3),
    "clamp_": lambda h, b: h.clamp_(-1, 1),
    "copy_": lambda h, b: h.copy_(b),
    "div_": lambda h, b: h.div_(b.abs() + 1),
    "dropout_": lambda h, b: F.dropout(h, 0.2, True, True),
    "elu_": lambda h, b: F.elu(h, inplace=True),
    "exp_": lambda h, b: h.exp_(),
    "fill_": lambda h, b: h.fill_(0.3),
    "fill_diagonal_": lambda h, b: h.fill_diagonal_(0.2),
    "hardtanh_": lambda h, b: F.hardtanh(h, inplace=True),
    "index_add_": lambda h, b: h.index_add_(1, torch.tensor([0, 1]), b[:, :2]),
    "index_put_": lambda h, b: h.index_put_((torch.arange(len(h)),), b),
    "leaky_relu_": lambda h, b: F.leaky_relu_(h, 0.1),
    "lerp_": lambda h, b: h.lerp_(b, 0.4),
    "masked_fill_": lambda h, b: h.masked_fill_(b > 0, 0.1),
    "mul_": lambda h, b: h.mul_(b),
    "neg_": lambda h, b: h.neg_(),
    "normal_": lambda h, b: h.normal_(),
    "overwrites_what_backward_needs": lambda h, b: h.tanh_().exp_(),
    "relu_": lambda h, b: h.relu_(),
    "scatter_": lambda h, b: h.scatter_(1, torch.zeros_like(h[:, :1], dtype=torch.long), 0.3),
    "scatter_add_": lambda h, b: h.scatter_add_(1, b.argsort(1), b),
    "set_item": _set_item,
    "set_rows": _set_rows,
    "sigmoid_": lambda h, b: h.sigmoid_(),
    "silu_": lambda h, b: F.silu(h, inplace=True),
    "sin_": lambda h, b: h.sin_(),
    "sub_": lambda h, b: h.sub_(b, alpha=0.5),
    "tanh_": lambda h, b: h.tanh_(),
    "transposed_": lambda h, b: h.t_().mul_(2).t_(),
    "zero_": lambda h, b: h.zero_(),
}
_IN_PARTS = ("add_", "copy_", "fill_", "mul_", "relu_", "sin_", "sub_", "tanh_", "zero_")
WRITES: dict[str, Step] = {
    **{name: _changed(change) for name, change in _CHANGES.items()},
    **{f"{name}_in_a_part": _changed_in_a_part(_CHANGES[name]) for name in _IN_PARTS},
    "accumulated": _accumulated,
    "add_given": lambda a, b: a.add_(b.detach()),
    "data_written": _data_written,
    "detached_written": _detached_written,
    "filled": _filled,
    "overwritten": _overwritten,
    "seen_through_a_part": _seen_through_a_part,
    "seen_through_an_older_view": _seen_through_an_older_view,
    "unseen": _unseen,
    "unseen_given": _unseen_given,
    "unseen_part": _unseen_part,
}
