"""probe against a plain forward and backward pass with parameter gradients, in CPU time on one thread, and its peak memory.

The floor is the same passes with gradients of the activations alone, which is what the default probe asks autograd for.
"""

import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import torch
from torch import nn

from depthscale.probe import probe

MEMORY = "--memory"


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


def cpu_seconds(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Each candidate's least CPU time, the candidates in turn."""
    least = dict.fromkeys(candidates, float("inf"))
    for candidate in candidates.values():
        candidate()
    for _ in range(rounds):
        for name, candidate in candidates.items():
            start = process_time()
            candidate()
            least[name] = min(least[name], process_time() - start)
    return least


def peak(which: str, how: str) -> int:
    """Peak memory of a fresh process that does one thing, in KiB."""
    command = [sys.executable, "-m", "benchmarks.probe", MEMORY, which, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    torch.set_num_threads(1)
    for name, make, rounds in (("BN MLP 10 x 1024, batch 128", founding, 12), ("GPT-2 small, 2 x 256 tokens", gpt2, 3)):
        torch.manual_seed(0)
        given = make()
        found = cpu_seconds(
            {
                "plain": partial(plain, *given),
                "floor": partial(floor, *given),
                "probe": partial(probe, *given),
                "params": partial(probe, *given, params=True),
            },
            rounds,
        )
        ratios = {key: found[key] / found["plain"] for key in ("probe", "params", "floor")}
        memory = peak(make.__name__, "probe") / peak(make.__name__, "plain")
        print(
            f"probe, {name}: {ratios['probe']:.2f} of plain (at most .80), {ratios['params']:.2f} with params (at most 1.20); "
            f"floor {ratios['floor']:.2f}; peak memory {memory:.3f} of plain (at most 1.02)"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [MEMORY]:
        torch.set_num_threads(1)
        model, inputs = {"founding": founding, "gpt2": gpt2}[sys.argv[2]]()
        {"plain": plain, "probe": probe}[sys.argv[3]](model, inputs)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        main()
