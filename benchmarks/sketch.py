"""Sketch.of in nanoseconds a value of CPU time: every type, size and layout, against its floor (one
sum of the same memory) and against what others compute: a 64-bin histogram, finiteness, mean and
variance."""

from collections.abc import Callable
from time import process_time_ns

import torch
from torch import Tensor

from depthscale.sketch import Sketch

SIZES = [1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 22, 1 << 24]
DATA: dict[str, Callable[[int], Tensor]] = {
    "float32": torch.randn,
    "float32, half zero": lambda n: torch.randn(n).relu_(),
    "float32, constant": lambda n: torch.full((n,), 0.3),
    "float64": lambda n: torch.randn(n, dtype=torch.float64),
    "float64, scaled": lambda n: torch.randn(n, dtype=torch.float64) * 2.0**-200,
    "float16": lambda n: torch.randn(n).half(),
    "bfloat16": lambda n: torch.randn(n).bfloat16(),
    "transposed": lambda n: torch.randn(32, n // 32).t(),
    "every other 32": lambda n: torch.randn(n // 32, 64)[:, :32],
    "every other 512": lambda n: torch.randn(n // 512, 1024)[:, :512],
    "every other": lambda n: torch.randn(2 * n)[::2],
    "expanded 32 times": lambda n: torch.randn(n // 32)[:, None].expand(-1, 32),
}
_SECONDS = 0.5  # for each cell of the table


def usual(tensor: Tensor) -> None:
    torch.histc(tensor, 64)
    bool(tensor.isfinite().all())
    torch.var_mean(tensor)


def least(candidates: list[Callable[[], object]], calls: int) -> list[float]:
    """Nanoseconds of each candidate's fastest turn: others use the cores, too."""
    best = [float("inf")] * len(candidates)
    end = process_time_ns() + _SECONDS * 1e9
    while process_time_ns() < end or best[-1] == float("inf"):
        for i, run in enumerate(candidates):
            run()
            start = process_time_ns()
            for _ in range(calls):
                run()
            best[i] = min(best[i], (process_time_ns() - start) / calls)
    return best


def cell(tensor: Tensor) -> str:
    """Sketch, sum, and what is usual where torch has it."""
    candidates = [lambda: Sketch.of(tensor), lambda: tensor.sum()]
    if tensor.dtype in (torch.float32, torch.float64):
        candidates.append(lambda: usual(tensor))
    times = least(candidates, max(1, (1 << 16) // tensor.numel()))
    return "/".join(f"{time / tensor.numel():.2f}" for time in times)


def main() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print("ns a value: Sketch.of / sum / (histc + isfinite + var_mean), 1 thread")
    print(" " * 20, *(f"{n:>18,}" for n in SIZES))
    for name, draw in DATA.items():
        print(f"{name:<20}", *(f"{cell(draw(n)):>18}" for n in SIZES), flush=True)
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
