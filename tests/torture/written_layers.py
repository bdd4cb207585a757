"""Modules as users write them: tied weights, weights made in the forward pass, buffers, states,
routes, hooks. Name -> width -> a module of two values."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from torture.layers import Make


class _Layer(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.n, self.fc = n, nn.Linear(n, n)


class Tied(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(self.fc(a).tanh(), self.fc.weight.t())


class Masked(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.register_buffer("mask", torch.ones(n, n).tril())
        self.mask: Tensor

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(a, self.fc.weight * self.mask, self.fc.bias)


class PlusEye(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ (self.fc.weight + torch.eye(self.n, dtype=a.dtype))


class Standardized(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        w = self.fc.weight
        return F.linear(a, (w - w.mean(1, True)) / (w.var(1, keepdim=True) + 1e-5).sqrt())


class Noisy(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        w = self.fc.weight
        return F.linear(a, w + 0.1 * torch.randn_like(w), self.fc.bias)


class Hyper(_Layer):
    """Its weights are made from the signal."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ (self.fc(b).t() @ b / (len(b) + 1))


class LowRank(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.fc.requires_grad_(False)
        self.down, self.up = nn.Linear(n, 2, bias=False), nn.Linear(2, n, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fc(a) + self.up(self.down(a))


class Gated(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.gate = nn.Parameter(torch.zeros(n))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + torch.sigmoid(self.gate) * self.fc(b)


class Averaged(_Layer):
    """Buffers written to, replaced and counted."""

    def __init__(self, n: int):
        super().__init__(n)
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.mean: Tensor
        self.count: Tensor

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        self.count += 1
        self.mean.lerp_(a.detach().sum(0).to(self.mean.dtype), 0.1)
        self.count = self.count + 1
        return self.fc(a - self.mean.to(a.dtype))


class Remembering(_Layer):
    """Attributes that change with every pass."""

    def __init__(self, n: int):
        super().__init__(n)
        self.cache: dict[str, Tensor] = {"last": torch.zeros(n)}
        self.history: list[float] = []
        self.steps = 0

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        self.steps += 1
        self.history.append(float(a.detach().sum()))
        h = self.fc(a) + self.cache["last"].to(a.dtype)
        self.cache["last"] = h.detach().sum(0)
        return h


class Routed(_Layer):
    """Every row goes through one of two experts."""

    def __init__(self, n: int):
        super().__init__(n)
        self.router, self.experts = nn.Linear(n, 2), nn.ModuleList(nn.Linear(n, n) for _ in "ab")

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        weights, chosen = self.router(a).softmax(1).max(1)
        result = torch.zeros_like(a)
        for i, expert in enumerate(self.experts):
            rows = (chosen == i).nonzero()[:, 0]
            result = result.index_add(0, rows, expert(a[rows]) * weights[rows, None])
        return result


class Branching(_Layer):
    """Takes a way that depends on the values."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fc(a) if float(a.detach().sum()) > 0 else b.tanh() * a


class OwnCell(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.inner = nn.Linear(n, n, bias=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        h = torch.zeros_like(a)
        for t in range(4):
            h = torch.tanh(self.fc(a if t % 2 else b) + self.inner(h))
        return h


class Shared(_Layer):
    """One module at two names, one of its parameters at a third."""

    def __init__(self, n: int):
        super().__init__(n)
        self.again, self.weight = self.fc, self.fc.weight

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.again(self.fc(a).relu()) + a @ self.weight


def _weaker(module: nn.Module, given: Any, output: Any) -> Any:
    return output * 0.9


class Hooked(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.fc.register_forward_hook(_weaker)
        self.fc.register_forward_pre_hook(lambda m, given: (given[0] + 0.1,))
        self.fc.register_full_backward_hook(lambda m, left, arrived: None)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fc(a)


class TensorHooked(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        h = self.fc(a)
        if h.requires_grad:
            h.register_hook(lambda g: None)
            h.retain_grad()
        return h + b


class Functional(_Layer):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        weights = {name: torch.mul(p, 0.9) for name, p in self.fc.named_parameters()}
        return functional_call(self.fc, weights, (a,))


class Positions(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.table = nn.Embedding(16, n)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fc(a + self.table(torch.arange(len(a))))


class Constant(_Layer):
    """A learned start that is no input's."""

    def __init__(self, n: int):
        super().__init__(n)
        self.start = nn.Parameter(torch.randn(1, n))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        tokens = torch.cat([self.start, a])
        return self.fc(tokens)[1:] + self.fc(self.start.expand(len(a), -1))


class Unused(_Layer):
    """A part that no path uses, and an output of its own that nothing reads."""

    def __init__(self, n: int):
        super().__init__(n)
        self.extra = nn.Linear(n, n)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        self.fc(b).sum()
        return self.fc(a)


class WrittenOut(_Layer):
    """A Layer Norm in elementary calls, then a softmax in elementary calls."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        centred = a - a.mean(-1, keepdim=True)
        normed = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)
        weights = (normed - normed.amax(-1, keepdim=True).detach()).exp()
        return self.fc(weights / weights.sum(-1, keepdim=True))


class Deep(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(n, n), nn.LayerNorm(n), nn.ReLU()) for _ in range(4)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        for layer in self.layers:
            a = a + layer(a)
        return a


class Frozen(_Layer):
    def __init__(self, n: int):
        super().__init__(n)
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fc(a)


class Evaluated(_Layer):
    """In eval mode, whatever its model is in."""

    def __init__(self, n: int):
        super().__init__(n)
        self.norm = nn.BatchNorm1d(n)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.norm(self.fc(a))


_CLASSES = (
    Averaged,
    Branching,
    Constant,
    Deep,
    Evaluated,
    Frozen,
    Functional,
    Gated,
    Hooked,
    Hyper,
    LowRank,
    Masked,
    Noisy,
    OwnCell,
    PlusEye,
    Positions,
    Remembering,
    Routed,
    Shared,
    Standardized,
    TensorHooked,
    Tied,
    Unused,
    WrittenOut,
)
WRITTEN_LAYERS: dict[str, Make] = {each.__name__: each for each in _CLASSES}
