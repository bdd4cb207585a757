"""probe against a plain forward and backward pass with parameter gradients, in CPU time on one
thread, and its peak memory.

The floor is the same passes with gradients of the activations alone, which is what the default
probe asks autograd for. Each candidate runs in processes of its own, as a user would run it, in
turn with the others: in one process what one of them frees decides how many page faults the next
one takes (a plain step's new gradients: 0 or 10,000). The ratios are of medians; those of the least
times, where a step happened to find all its memory mapped, stand in parentheses. Memory is compared
with all libraries loaded in both processes; what the compiled loops' one takes when it is first
used, once a process, stands beside.
"""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import nn

from depthscale._probe import probe


def founding() -> tuple[nn.Module, Any]:
    layers: list[nn.Module] = []
    for _ in range(10):
        layers += [nn.Linear(1024, 1024), nn.BatchNorm1d(1024), nn.ReLU()]
    return nn.Sequential(*layers), torch.randn(128, 1024)


def gpt2() -> tuple[nn.Module, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config()), {"input_ids": torch.randint(0, 50257, (2, 256))}


def run(model: nn.Module, inputs: Any) -> torch.Tensor:
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return getattr(output, "logits", output)


def plain(model: nn.Module, inputs: Any) -> None:
    model.zero_grad()
    output = run(model, inputs)
    output.backward(torch.randn(output.shape))


def floor(model: nn.Module, inputs: Any) -> None:
    """Gradients of the inputs, or of the embeddings' outputs, and of nothing else."""
    if isinstance(inputs, torch.Tensor):
        x = inputs.detach().requires_grad_()
        output = run(model, x)
        torch.autograd.grad(output, x, torch.randn(output.shape))
        return
    kept = []
    handle = model.transformer.drop.register_forward_pre_hook(lambda _, args: kept.append(args[0]))  # type: ignore[union-attr]
    output = run(model, inputs)
    handle.remove()
    torch.autograd.grad(output, kept, torch.randn(output.shape))


def params(model: nn.Module, inputs: Any) -> None:
    probe(model, inputs, params=True)


MODELS: dict[str, tuple[str, Callable[[], tuple[nn.Module, Any]], int]] = {
    "founding": ("BN MLP 10 x 1024, batch 128", founding, 20),
    "gpt2": ("GPT-2 small, 2 x 256 tokens", gpt2, 6),
}
CANDIDATES: dict[str, Callable[..., object]] = {
    "plain": plain,
    "floor": floor,
    "probe": probe,
    "params": params,
}
ROUNDS = 2


def resident() -> int:
    """Memory in use, in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def in_this_process(which: str, how: str, runs: int) -> None:
    """Print peak memory after the first run and memory of what a first probe loads, in KiB, and CPU
    seconds of so many more."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()), torch.randn(4, 8)
    plain(*small)
    before = resident()
    probe(*small)
    loaded = resident() - before
    given = MODELS[which][1]()
    CANDIDATES[how](*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(runs):
        start = process_time()
        CANDIDATES[how](*given)
        times.append(process_time() - start)
    print(peak, loaded, *times[len(times) // 3 :])  # memory settles in the first ones


def in_its_own(which: str, how: str, runs: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.probe", which, how, str(runs)]
    return list(
        map(
            float,
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(),
        )
    )


def main() -> None:
    for which, (name, _, runs) in MODELS.items():
        loaded, times = 0.0, {how: list[float]() for how in CANDIDATES}
        peaks: dict[str, float] = {}
        for _ in range(ROUNDS):
            for how in CANDIDATES:
                peaks[how], loaded, *found = in_its_own(which, how, runs)
                times[how] += found
        ratios = {
            how: f"{median(found) / median(times['plain']):.2f} "
            f"({min(found) / min(times['plain']):.2f})"
            for how, found in times.items()
        }
        print(
            f"probe, {name}: {ratios['probe']} of plain (at most .80), {ratios['params']} with "
            "params (at most 1.20); "
            f"floor {ratios['floor']}; peak memory {peaks['probe'] / peaks['plain']:.3f} of plain "
            "(at most 1.02), "
            f"{loaded / 1024:.0f} MiB once for the libraries"
        )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        in_this_process(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
