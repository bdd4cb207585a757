"""Pages: how long each takes to build once what it shows is there, and how large it is, against
what was aimed at."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import nn

from benchmarks.workloads import gpt2
from depthscale._probe import probe
from depthscale._report.render import to_html
from depthscale.experiments import founding
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec

DEEP = NetSpec(depth=2000, width=64, batch=16, norm="batch")


def mlp(blocks: int, norm: Callable[[int], nn.Module] = nn.BatchNorm1d) -> nn.Module:
    """Linear, norm and ReLU, so many times."""
    layers = [each for _ in range(blocks) for each in (nn.Linear(64, 64), norm(64), nn.ReLU())]
    return nn.Sequential(*layers)


def records() -> dict[str, tuple[Any, float]]:
    """What is shown, and the size in MB that its page may have."""
    twenty = probe(mlp(20), torch.randn(64, 64))
    return {
        "a profile of 10 layers": (simulate(NetSpec(norm="batch", width=256), seeds=4), 4.0),
        "a profile of 2,000 layers": (simulate(DEEP, seeds=1), 4.0),
        "a trace of 60 operations": (twenty, 4.0),
        "two traces of 60 operations": ([twenty, probe(mlp(20), torch.randn(64, 64))], 4.0),
        "GPT-2 small": (probe(*gpt2()), 4.0),
        "a trace of 2,000 operations": (probe(mlp(666, nn.LayerNorm), torch.randn(16, 64)), 4.0),
        "the founding article": (founding(NetSpec(width=256), seeds=4), 2.5),
    }


def main() -> None:
    shown = records()
    to_html(shown["a profile of 10 layers"][0])  # the library of charts is loaded once in a process
    for name, (record, most) in shown.items():
        start = perf_counter()
        text = to_html(record)
        seconds, size = perf_counter() - start, len(text.encode()) / 1e6
        print(f"page of {name}: {seconds:.1f} s, {size:.2f} MB (at most {most:g})")


if __name__ == "__main__":
    main()
