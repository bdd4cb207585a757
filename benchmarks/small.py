"""probe against a plain forward and backward pass where operations are small and many, in CPU time
on one thread.

Here the probe's own work for each operation is all that counts. Garbage is collected before each
run and not during it; the candidates take turns, so that a machine's moods fall on both alike.
"""

import gc
from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from depthscale._probe import probe


class Cell(nn.Module):
    """A recurrent cell of the user's own, used once for each of 200 tokens."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.gate, self.state = nn.Linear(2 * width, width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1:])
        for token in x:
            both = torch.cat([token, h], -1)
            gate = torch.sigmoid(self.gate(both))
            h = (1 - gate) * h + gate * torch.tanh(self.state(both))
        return h


class Tiny(nn.Module):
    """Operations that cost nothing, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(1000):
            x = torch.tanh(x) * 1.001
        return x


def cell() -> tuple[nn.Module, Tensor]:
    return Cell(), torch.randn(200, 8, 64)


def tiny() -> tuple[nn.Module, Tensor]:
    return Tiny(), torch.randn(4, 16)


def narrow() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    for _ in range(10):
        layers += [nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU()]
    return nn.Sequential(*layers), torch.randn(8, 256)


WORKLOADS: dict[str, tuple[Callable[[], tuple[nn.Module, Tensor]], int]] = {
    "own cell, 200 steps": (cell, 5),
    "2,000 tiny operations": (tiny, 5),
    "BN MLP 10 x 256, batch 8": (narrow, 40),
}


def plain(model: nn.Module, inputs: Tensor) -> None:
    model.zero_grad()
    output = model(inputs.requires_grad_())
    output.backward(torch.randn(output.shape))


def seconds(run: Callable[[], Any]) -> float:
    gc.collect()
    start = process_time()
    run()
    return process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    for name, (make, turns) in WORKLOADS.items():
        torch.manual_seed(0)
        model, inputs = make()
        operations = len(probe(model, inputs))
        pairs = [
            (seconds(partial(plain, model, inputs)), seconds(partial(probe, model, inputs)))
            for _ in range(turns)
        ]
        without, probed = (median(times) for times in zip(*pairs, strict=True))
        print(
            f"probe, {name} ({operations} operations): {probed / without:.1f} of plain, "
            f"{probed / operations * 1e6:.0f} us an operation"
        )


if __name__ == "__main__":
    main()
