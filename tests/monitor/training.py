"""Short trainings, as users write them: each gives its losses and its weights."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Step = Callable[[], AbstractContextManager[Any]]


class Blocks(nn.Module):
    """Residual blocks with Batch Norm and dropout; some of them checkpointed."""

    def __init__(self, width: int = 16, depth: int = 4, reentrant: bool | None = None):
        super().__init__()
        self.reentrant = reentrant
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2)
            )
            for _ in range(depth)
        )
        self.first = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            if self.reentrant is None:
                x = x + block(x)
            else:
                x = x + checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


class Tied(nn.Module):
    """A transformer with tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.body(self.embed(tokens)) @ self.embed.weight.T


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 12, 2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x[:, None].expand(-1, 5, -1))[0][:, -1])


def batches(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        x = torch.randn(12, 16, generator=generator)
        yield x, torch.randint(0, 4, (12,), generator=generator)


@dataclass
class Trained:
    losses: list[float]
    weights: dict[str, Tensor]


Loop = Callable[[nn.Module, Step, int], list[float]]


def plain(model: nn.Module, step: Step, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for x, y in batches(steps):
        with step():
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def bfloat16(model: nn.Module, step: Step, steps: int) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    losses = []
    for x, y in batches(steps):
        with step():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return losses


def scaled(model: nn.Module, step: Step, steps: int) -> list[float]:
    """float16 with a scaler that overflows now and then."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=3)
    losses = []
    for k, (x, y) in enumerate(batches(steps)):
        with step():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(model(x), y)
            factor = 1e30 if k % 5 == 2 else 1.0
            scaler.scale(loss * factor).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
        losses.append(loss.item())
    return losses


def accumulated(model: nn.Module, step: Step, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    data = batches(3 * steps)
    for _ in range(steps):
        with step():
            for _ in range(3):
                x, y = next(data)
                loss = F.cross_entropy(model(x), y) / 3
                loss.backward()
                losses.append(loss.item())
            optimizer.step()
            optimizer.zero_grad()
    return losses


def two_losses(model: nn.Module, step: Step, steps: int) -> list[float]:
    """A penalty on the gradient, and two backward passes over one graph."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    losses = []
    for x, y in batches(steps):
        with step():
            optimizer.zero_grad()
            x.requires_grad_()
            out = model(x)
            loss = F.cross_entropy(out, y)
            (grad,) = torch.autograd.grad(loss, [x], create_graph=True)
            penalty = grad.square().sum()
            loss.backward(retain_graph=True)
            penalty.backward()
            optimizer.step()
        losses.append((loss + penalty).item())
    return losses


def tokens(model: nn.Module, step: Step, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(3)
    losses = []
    for _ in range(steps):
        ids = torch.randint(0, 40, (4, 9), generator=generator)
        with step():
            out = model(ids[:, :-1])
            loss = F.cross_entropy(out.flatten(0, 1), ids[:, 1:].flatten())
            torch.autograd.backward([loss])
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


CASES: dict[str, tuple[Callable[[], nn.Module], Loop]] = {
    "dropout and Batch Norm": (Blocks, plain),
    "bfloat16": (Blocks, bfloat16),
    "GradScaler": (Blocks, scaled),
    "accumulation": (Blocks, accumulated),
    "checkpointing": (lambda: Blocks(reentrant=False), plain),
    "reentrant checkpointing": (lambda: Blocks(reentrant=True), plain),
    "checkpointing, accumulated": (lambda: Blocks(reentrant=True), accumulated),
    "checkpointing in bfloat16": (lambda: Blocks(reentrant=False), bfloat16),
    "two losses": (lambda: nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4)), two_losses),
    "tied transformer": (Tied, tokens),
    "recurrent": (Recurrent, plain),
}


def trained(
    case: str, steps: int, watch: Callable[[nn.Module], AbstractContextManager[Any]] | None
) -> Trained:
    """A training from one seed. / watch: makes a monitor of the model, or None."""
    make, loop = CASES[case]
    torch.manual_seed(1)
    model = make()
    if watch is None:
        losses = loop(model, nullcontext, steps)
    else:
        with watch(model) as monitor:
            losses = loop(model, monitor.step, steps)
    return Trained(losses, {n: t.clone() for n, t in model.state_dict().items()})
