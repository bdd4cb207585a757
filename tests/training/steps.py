"""A training step as its user takes it, on a deep copy; and what it does to each weight, by another
formula than the package's."""

from collections.abc import Callable
from copy import deepcopy
from math import asin, degrees
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def halves(parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Two groups."""
    k = len(parameters) // 2
    return [
        {"params": parameters[:k], "lr": 0.03, "weight_decay": 0.1},
        {"params": parameters[k:]},
    ]


OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1),
    "momentum": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9),
    "nesterov": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "decay": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=5e-2),
    "adam": lambda ps: torch.optim.Adam(ps, lr=1e-2),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=1e-2, weight_decay=0.1),
    "groups": lambda ps: torch.optim.SGD(halves(ps), lr=0.1, momentum=0.5),
}


def waves(output: Any) -> Tensor:
    """A loss of every floating tensor of an output that has a gradient, which no norm at the end
    makes constant."""
    if isinstance(output, Tensor):
        if not (output.is_floating_point() and output.requires_grad):
            return torch.zeros(())
        flat = output.float().flatten()
        return (flat * torch.linspace(0.5, 1.5, len(flat))).sin().mean()
    parts = output.values() if isinstance(output, dict) else output
    parts = parts if isinstance(parts, list | tuple) or isinstance(output, dict) else ()
    return sum((waves(part) for part in parts), torch.zeros(()))


def seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


def called(model: nn.Module, inputs: Any) -> Any:
    """The model's output, with what it draws as after seed 0."""
    seeded()
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def copies(
    model: nn.Module, optimizer: torch.optim.Optimizer, make: Make
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model and its optimizer, with its state, as torch itself copies them."""
    twin = deepcopy(model)
    other = make(trained(twin))
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    return twin, other


def norm(tensor: Tensor) -> float:
    return float(tensor.detach().double().norm())


def relative(before: Tensor, after: Tensor) -> float:
    return float((after.detach().double() - before.detach().double()).norm() / norm(before))


def angle(before: Tensor, after: Tensor) -> float:
    """In degrees: by the chord between the two directions."""
    a, b = before.detach().double().flatten(), after.detach().double().flatten()
    chord = float((a / a.norm() - b / b.norm()).norm())
    return degrees(2 * asin(min(chord / 2, 1.0)))
