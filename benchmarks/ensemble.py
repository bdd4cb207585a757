"""simulate against its floor: the random numbers and matrix products that its networks need, and
nothing read."""

import resource
import subprocess
import sys
from collections.abc import Sequence

import torch

from benchmarks.timing import medians
from depthscale.nets import draw_input, draw_rows, simulate
from depthscale.network.operations import Linear
from depthscale.network.spec import NetSpec, Residual

NARROW = NetSpec(depth=50, width=64)
WIDE = NetSpec(depth=10, width=1024)
VARIANTS = {
    "no norm": {},
    "tanh": {"activation": "tanh"},
    "Batch Norm": {"norm": "batch"},
    "Layer Norm": {"norm": "layer"},
    "RMS Norm": {"norm": "rms"},
    "group norm": {"norm": "group", "groups": 8},
    "weight norm": {"norm": "weight"},
    "residual": {"residual": Residual()},
}
THREE = [{}, {"norm": "batch"}, {"norm": "batch", "statistics": "frozen"}]


def floor(spec: NetSpec, seeds: int, forwards: int, backwards: int) -> None:
    """Networks of one seed share their weights, and those of one norm their forward pass."""
    linear = Linear(spec.width, spec.width, spec.sigma_w2, 0.0)
    for seed in range(seeds):
        weights = [draw_rows(linear, seed, n) for n in range(1, spec.depth + 1)]
        x = torch.cat([draw_input(spec, seed)] * forwards)
        for weight in weights:
            x = x @ weight.T
        gradient = torch.randn(backwards * len(x) // forwards, spec.width)
        for weight in reversed(weights):
            gradient = gradient @ weight


def compare(
    name: str, base: NetSpec, variants: Sequence[dict], seeds: int, forwards: int, rounds: int
) -> None:
    """Print one case beside its floor."""
    specs = [NetSpec(**{"depth": base.depth, "width": base.width, **each}) for each in variants]
    found = medians(
        {
            "ours": lambda: simulate(specs, seeds=seeds),
            "floor": lambda: floor(base, seeds, forwards, len(specs)),
        },
        rounds,
    )
    ours, least = (1e6 * found[each] / (seeds * base.depth) for each in ("ours", "floor"))
    print(
        f"simulate, width {base.width}, {name}, {seeds} seed(s): {ours:.0f} us a layer and seed, "
        f"{ours / least:.2f} times its floor of {least:.0f}"
    )


def main() -> None:
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        print(f"{threads} thread(s)")
        for name, fields in VARIANTS.items():
            for seeds in (1, 16):
                compare(name, NARROW, [fields], seeds, 1, 9)
            compare(name, WIDE, [fields], 1, 1, 9)
        compare("three networks", WIDE, THREE, 1, 2, 9)
    subprocess.run([sys.executable, "-m", "benchmarks.ensemble", "deep"], check=True)


def deep() -> None:
    """Depth 10,000, in a process of its own, for its peak memory."""
    simulate(NetSpec(depth=10_000, width=1024, batch=16, norm="batch"), seeds=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"depth 10,000, width 1024, batch 16: peak memory {peak:.2f} GiB (its weights would take "
        f"{10_000 * 1024**2 * 4 / 2**30:.0f})"
    )


if __name__ == "__main__":
    deep() if sys.argv[1:] == ["deep"] else main()
