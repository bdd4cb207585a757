"""What a network's model does without the probe: by torch alone, forward and backward."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf, log2
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torture.networks import Network, tensors


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn follows from the seed; afterwards all goes on as before."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])  # noqa: NPY002


@dataclass
class Plain:
    """What a model does without the probe.

    Args:
        error: What it raised, forward or backward.
        output: What is differentiated.
        log2_norms2: Of the gradient at each input, by name; inputs that none reaches left out.
    """

    error: Exception | None = None
    output: Tensor | None = None
    log2_norms2: dict[str, float] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    is_followed: bool = False  # whether autograd follows anything to the output


def plain(made: Network) -> Plain:
    """One run of a network's model, forward and backward, by torch alone; reentrant checkpoints run
    as the others, as in a probe: they sum in another order."""
    for step in made.model.plan:
        step.around = step.around.removeprefix("reentrant ")
    found, settings = Plain(), made.settings
    with seeded(made.seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if "mode" in settings:
                made.model.train(settings["mode"] == "train")
            leaves: dict[str, Tensor] = {}
            given = _copied(made.inputs, "", leaves)
            returned = made.model(**given) if isinstance(given, dict) else made.model(*given)
            loss: Any = settings["loss"] if callable(settings["loss"]) else _differentiated
            target = loss(returned)
            found.output, found.is_followed = target.detach().clone(), target.requires_grad
            if target.requires_grad:
                _differentiate(found, target, leaves, settings)
        except Exception as wrong:
            found.error = wrong
    found.warned = {str(each.message) for each in caught}
    return found


def warnings_of(made: Network) -> set[str]:
    """What a step of training warns of, on inputs as they are."""
    with seeded(made.seed), warnings.catch_warnings(record=True) as caught, suppress(Exception):
        warnings.simplefilter("always")
        given = made.inputs if isinstance(made.inputs, tuple | dict) else (made.inputs,)
        returned = made.model(**given) if isinstance(given, dict) else made.model(*given)
        _differentiated(returned).float().sum().backward()
    return {str(each.message) for each in caught}


def _differentiate(
    found: Plain, target: Tensor, leaves: dict[str, Tensor], settings: dict[str, Any]
) -> None:
    scale = settings.get("loss_scale", 1.0)
    target.backward(_cotangent(settings["loss"], target, scale))
    for name, leaf in leaves.items():
        if leaf.grad is not None:
            square = (leaf.grad.double() / scale).square().sum().item()
            found.log2_norms2[name] = (
                log2(square) if 0 < square < inf else -inf if not square else square
            )


def _cotangent(loss: Any, target: Tensor, scale: float) -> Tensor:
    """Standard normal from seed 0, one draw for all samples where they share it."""
    if callable(loss) or target.dim() == 0:
        return torch.full_like(target, scale)
    shape = target.shape[1:] if loss == "shared" and target.dim() > 1 else target.shape
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * scale
    return drawn.to(target.dtype).expand(target.shape)


def _copied(inputs: Any, name: str, leaves: dict[str, Tensor]) -> Any:
    """Inputs as a model is given them, and their leaves by the names that a probe gives them."""
    if isinstance(inputs, Tensor) and not name:
        return (_copied(inputs, "input", leaves),)
    if isinstance(inputs, Tensor):
        leaf = inputs.clone()
        leaves[name] = leaf.requires_grad_() if leaf.is_floating_point() else leaf
        return leaf.clone()
    below = f"{name}." if name else "" if isinstance(inputs, dict) else "input."
    if isinstance(inputs, dict):
        return {key: _copied(each, f"{below}{key}", leaves) for key, each in inputs.items()}
    if isinstance(inputs, tuple | list):
        return type(inputs)(_copied(each, f"{below}{i}", leaves) for i, each in enumerate(inputs))
    return inputs


def _differentiated(returned: Any) -> Tensor:
    if isinstance(returned, dict) and "logits" in returned:
        return returned["logits"]
    floating = [t for t in tensors(returned) if t.is_floating_point()]
    return next((t for t in floating if t.requires_grad), floating[0])
