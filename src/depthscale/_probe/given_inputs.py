"""Inputs as people have them, made into what a model is called with: descriptions, sizes, numpy,
loaders, tokenizers' batches, pairs of inputs and targets."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from numbers import Integral
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from depthscale._probe.drawn_tensors import drawn_tensor, is_described
from depthscale._probe.outputs import chosen
from depthscale._probe.randomness import seeded
from depthscale.errors import InvalidProbe

_PLACES = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


Judge = Callable[..., Tensor]  # of outputs and targets


def understood(
    inputs: Any, loss: Any, targets: Any, model: nn.Module, seed: int
) -> tuple[Any, Any]:
    """Inputs that a model can be called with, and a loss of its output.

    Args:
        inputs: as the user gave them.
        loss: a word, a function of the output, or one of the output and targets, as
            `nn.CrossEntropyLoss()`.
        targets: for such a loss; None where they are the last part of inputs.
        model: whose forward pass says how many parts of a batch are its own, and whose parameters
            say of which type floating arrays become.
        seed: of what is drawn, or taken from a loader.

    Raises:
        InvalidProbe: for what is not understood, and for targets that are missing or left over.
    """
    batch = _first(inputs, seed) if isinstance(inputs, DataLoader) else inputs
    judges, dtype = isinstance(loss, nn.Module), _dtype(model)
    if judges and targets is None:
        batch, targets = _parted(batch, loss)
    elif isinstance(inputs, DataLoader) and isinstance(batch, list | tuple):
        batch = tuple(batch[: _places(model)])
    if targets is not None and not callable(loss):
        raise InvalidProbe(
            f"targets= goes with a loss of outputs and targets, as loss=nn.CrossEntropyLoss(), "
            f"not with loss={loss!r}"
        )
    made = _drawn(batch, dtype, seed) or _made(batch, dtype, seed)
    if targets is None:
        return made, loss
    return made, with_targets(cast(Judge, loss), _made(targets, None, seed))


def with_targets(loss: Judge, targets: Any) -> Callable[[Any], Tensor]:
    """A function of a model's output: the loss of its tensor, or of its logits, and targets."""
    return lambda output: loss(chosen(output, None), targets)


def _first(loader: DataLoader, seed: int) -> Any:
    """Its first batch; what it shuffles follows from the seed, and nothing else notices."""
    with seeded(seed):
        for batch in loader:
            return batch
    raise InvalidProbe("the DataLoader is empty; give one that has a batch")


def _parted(batch: Any, loss: nn.Module) -> tuple[Any, Any]:
    """Inputs, and the targets behind them."""
    name = type(loss).__name__
    if isinstance(batch, list | tuple) and len(batch) > 1:
        *inputs, targets = batch
        return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets
    raise InvalidProbe(
        f"{name} judges outputs by targets; give targets=, or inputs=(inputs, targets)"
    )


def _places(model: nn.Module) -> int:
    """How many arguments the forward pass must be given by place; at least one."""
    try:
        given = signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    needed = [p for p in given if p.kind in _PLACES and p.default is Parameter.empty]
    return max(1, len(needed))


def _dtype(model: nn.Module) -> torch.dtype | None:
    """Of its first floating parameter."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)


def _drawn(given: Any, dtype: torch.dtype | None, seed: int) -> Any:
    """What stands for a whole input: a description, or sizes."""
    if isinstance(given, str):
        return (drawn_tensor(given, seed),)
    if isinstance(given, tuple) and given and all(map(_is_whole, given)):
        return (torch.randn(given, generator=torch.Generator().manual_seed(seed)).to(dtype),)
    return None


def _made(given: Any, dtype: torch.dtype | None, seed: int) -> Any:
    """The same with tensors. / dtype: that floating arrays get."""
    if isinstance(given, str):
        return drawn_tensor(given, seed) if is_described(given) else given
    if isinstance(given, np.ndarray):
        return _of_array(given, dtype)
    if hasattr(given, "ids") and hasattr(given, "attention_mask"):  # of the package tokenizers
        return {"input_ids": torch.tensor([given.ids])}
    if isinstance(given, Mapping):
        return _of_mapping(given, dtype, seed)
    if type(given) in (list, tuple):
        return type(given)(_made(each, dtype, seed + i) for i, each in enumerate(given))
    return given


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _of_array(array: np.ndarray, dtype: torch.dtype | None) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise InvalidProbe(f"an input is an array of {array.dtype}; give numbers")
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _of_mapping(given: Mapping, dtype: torch.dtype | None, seed: int) -> Any:
    """A tokenizer's lists become tensors; what else a mapping holds keeps its kind."""
    made = {}
    for i, (key, value) in enumerate(given.items()):
        listed = isinstance(value, list) and value and not isinstance(value[0], Tensor | Mapping)
        made[key] = _of_lists(key, value) if listed else _made(value, dtype, seed + i)
    same = all(made[key] is value for key, value in given.items())
    return given if same else made


def _of_lists(key: Any, value: list) -> Any:
    try:
        return torch.tensor(value if isinstance(value[0], list) else [value])
    except (TypeError, ValueError):
        if not all(isinstance(row, list) for row in value):
            return value
        raise InvalidProbe(
            f"rows of {key!r} differ in length; pad them: tokenizer(texts, padding=True, "
            "return_tensors='pt')"
        ) from None
