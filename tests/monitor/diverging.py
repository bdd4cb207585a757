"""Trainings on scikit-learn's digits that go wrong at a planted step and place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import depthscale as ds


class PostNormBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        return self.norm2(x + self.down(torch.relu(self.up(x))))


class PostNormTransformer(nn.Module):
    """Rows of a digit are its tokens."""

    def __init__(self, width: int = 32, depth: int = 5):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.blocks = nn.ModuleList(PostNormBlock(width) for _ in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.view(len(x), 8, 8))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class ConvNet(nn.Module):
    def __init__(self, width: int = 12, depth: int = 6):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
            for _ in range(depth)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.view(len(x), 1, 8, 8))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


@dataclass(frozen=True)
class Fault:
    """What goes wrong from a step on.

    Args:
        plant: Done to model and optimizer when that step begins.
        spoil: Done to the batch of that step and every later one.
        where: Beginnings of the names of operations of which one is to be named.
        after: Steps after the fault in which its first departure must lie.
        half: Whether the model computes in float16.
    """

    plant: Callable[[nn.Module, torch.optim.Optimizer], None] = lambda model, optimizer: None
    spoil: Callable[[Tensor], Tensor] = lambda x: x
    where: tuple[str, ...] = ()
    after: int = 3
    half: bool = False


def data(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    images, targets = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16 - 0.3, torch.tensor(targets)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(0, len(x), (64,), generator=generator)
        yield x[batch], y[batch]


def diverge(
    make: Callable[[], nn.Module],
    fault: Fault,
    out: Path | None,
    *,
    every: int = 1,
    at: int = 40,
    steps: int = 60,
) -> ds.Monitor:
    """Train, spoil, and stop where the recorder has written."""
    torch.manual_seed(0)
    model = make()
    groups = [{"params": [p], "name": name} for name, p in model.named_parameters()]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.9)
    monitor = ds.Monitor(model, every=every, out=out, keep=40)
    with monitor:
        for k, (x, y) in enumerate(data(steps)):
            if k == at:
                fault.plant(model, optimizer)
            if k >= at:
                x = fault.spoil(x)
            with monitor.step(), torch.autocast("cpu", torch.float16, enabled=fault.half):
                loss = F.cross_entropy(model(x).float(), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            monitor.log_loss(loss)
            if monitor.recording.events:
                break
        else:
            monitor.write()
    return monitor
