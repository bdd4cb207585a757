"""Sketch.of against its floor (one norm) and against what others compute: a 64-bin histogram,
finiteness, mean and variance."""

import torch
from torch import Tensor

from benchmarks.timing import medians
from depthscale.sketch import Sketch

DATA = {
    "normal": lambda n: torch.randn(n),
    "half zero": lambda n: torch.randn(n).relu(),
    "constant": lambda n: torch.full((n,), 0.3),
}


def usual(tensor: Tensor) -> None:
    torch.histc(tensor, 64)
    bool(tensor.isfinite().all())
    torch.var_mean(tensor)


def compare(x: Tensor) -> tuple[float, float, float]:
    """Seconds of a sketch, over those of one norm, and how often it fits into what is usual."""
    candidates = {
        "sketch": lambda: Sketch.of(x),
        "norm": lambda: torch.linalg.vector_norm(x),
        "usual": lambda: usual(x),
    }
    found = medians(candidates, 24 if x.numel() > 1e6 else 240)
    return found["sketch"], found["sketch"] / found["norm"], found["usual"] / found["sketch"]


def main() -> None:
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        print(
            f"Sketch.of, {threads} thread(s)      time   / vector_norm   (histc + isfinite + "
            "var_mean) /"
        )
        for n in (100_000, 8_000_000):
            for name, draw in DATA.items():
                time, floor, peers = compare(draw(n))
                print(f"{n:>10,} {name:<10} {time * 1e3:8.3f} ms {floor:12.2f} {peers:20.1f}")


if __name__ == "__main__":
    main()
