"""simulate of three paired networks against three plain torch runs, and against its matrix products
and random numbers."""

import resource
import subprocess
import sys

import torch
from torch import nn

from benchmarks.timing import medians
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec

DEPTH, WIDTH, BATCH = 10, 1024, 128
SPECS = [NetSpec(), NetSpec(norm="batch"), NetSpec(norm="batch", statistics="frozen")]


class Frozen(nn.Module):
    def forward(self, y: torch.Tensor) -> torch.Tensor:
        still = y.detach()
        return (y - still.mean(0)) / still.std(0)


def plain() -> None:
    """Three networks as a user writes them: own Kaiming weights, retained gradients, backward."""
    for norm in (None, lambda: nn.BatchNorm1d(WIDTH), Frozen):
        modules: list[nn.Module] = []
        for _ in range(DEPTH):
            linear = nn.Linear(WIDTH, WIDTH, bias=False)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            modules += [linear, *([norm()] if norm else []), nn.ReLU()]
        x = torch.randn(BATCH, WIDTH, requires_grad=True)
        states = [x]
        for module in modules:
            x = module(x)
            if isinstance(module, nn.ReLU):
                x.retain_grad()
                states.append(x)
        (x @ torch.randn(WIDTH)).sum().backward()


def floor() -> None:
    """The matrix products and random numbers that the three networks need when they share all they
    can."""
    weights = [torch.randn(WIDTH, WIDTH).mul_((2 / WIDTH) ** 0.5) for _ in range(DEPTH)]
    x = torch.randn(BATCH, WIDTH)
    x = torch.cat([x @ weights[0].T] * 2)
    for weight in weights[1:]:
        x = x @ weight.T
    gradient = torch.randn(3 * BATCH, WIDTH)
    for weight in reversed(weights):
        gradient = gradient @ weight


def main() -> None:
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        candidates = {
            "ours": lambda: simulate(SPECS, seeds=1, loss="shared"),
            "plain": plain,
            "floor": floor,
        }
        found = medians(candidates, 9)
        floor_ratio, plain_ratio = found["ours"] / found["floor"], found["plain"] / found["ours"]
        print(
            f"simulate, three networks, {threads} thread(s): {found['ours'] * 1e3:.0f} ms, "
            f"{floor_ratio:.2f} times its floor;",
            end=" ",
        )
        print(f"plain torch takes {plain_ratio:.2f} times as long")
    deep = subprocess.run(
        [sys.executable, "-m", "benchmarks.ensemble", "deep"],
        check=True,
        capture_output=True,
        text=True,
    )
    print(deep.stdout, end="")


def deep() -> None:
    """Depth 10,000, in a process of its own, for its peak memory."""
    simulate(NetSpec(depth=10_000, width=WIDTH, batch=16, norm="batch"), seeds=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    weights = 10_000 * WIDTH**2 * 4 / 2**30
    print(
        f"depth 10,000, width {WIDTH}, batch 16: peak memory {peak:.2f} GiB (its weights would "
        f"take {weights:.0f})"
    )


if __name__ == "__main__":
    deep() if sys.argv[1:] == ["deep"] else main()
