"""What a model is given: copies of the user's tensors that gradient can reach, and what they are
called."""

from collections.abc import Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from depthscale._probe.tree import Tree
from depthscale.errors import InvalidProbe


@dataclass
class Inputs:
    """Arguments ready for a call.

    Args:
        followed: Floating tensors are made to require gradients; else they do as the user's do.
        tensors: Every tensor among them, by name; copies of the user's.
        trained: Names of those that the user made require gradients.
    """

    followed: bool = True
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    _copies: dict[int, Tensor] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """Size of the first axis of the first tensor that has one; 1 without any."""
        return next((t.shape[0] for t in self.tensors.values() if t.dim()), 1)

    def copied(self, value: Any, name: str) -> Any:
        """A copy of what the user gave, and of every tensor in it."""
        if isinstance(value, Tensor):
            if id(value) not in self._copies:
                self._copies[id(value)] = self.tensors[name] = self._reached(value)
                self.trained |= {name} if value.requires_grad else set()
            return self._copies[id(value)]
        if isinstance(value, MutableMapping):
            made = copy(value)  # a subclass need not be made from a dict
            made.update({k: self.copied(v, f"{name}.{k}") for k, v in value.items()})
            return made
        if is_dataclass(value) and not isinstance(value, type):
            made = copy(value)
            for f in fields(value):
                inner = self.copied(getattr(value, f.name), f"{name}.{f.name}")
                object.__setattr__(made, f.name, inner)
            return made
        if isinstance(value, list | tuple):
            parts = [self.copied(v, f"{name}.{i}") for i, v in enumerate(value)]
            named = isinstance(value, tuple) and hasattr(value, "_fields")
            return type(value)(*parts) if named else type(value)(parts)
        return value

    def _reached(self, tensor: Tensor) -> Tensor:
        """A copy that gradient can reach and that a model may write to, as no leaf may be."""
        tensor = tensor.clone() if tensor.is_inference() else tensor
        differentiable = tensor.is_floating_point() or tensor.is_complex()
        if differentiable and (self.followed or tensor.requires_grad):
            return tensor.detach().requires_grad_().clone()
        return tensor.detach().clone()


def prepared(inputs: Any, *, followed: bool = True) -> Inputs:
    """Copies of what the user gave: a tensor, a tuple or list of arguments, or a mapping of keyword
    arguments."""
    ready = Inputs(followed)
    if isinstance(inputs, Mapping):
        ready.kwargs = {str(key): ready.copied(value, str(key)) for key, value in inputs.items()}
        return ready
    given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    names = ["input"] if len(given) == 1 else [f"input.{i}" for i in range(len(given))]
    ready.args = tuple(ready.copied(value, name) for value, name in zip(given, names, strict=True))
    return ready


def require_same_device(tree: Tree, inputs: Inputs) -> None:
    """raises: InvalidProbe where every input is on another device than every parameter."""
    homes = {p.device for _, p in tree.parameters}
    theirs = {t.device for t in inputs.tensors.values()}
    if homes and theirs and len(homes) == 1 and not homes & theirs:
        home, there = next(iter(homes)), next(iter(theirs))
        raise InvalidProbe(
            f"the model is on {home} and its inputs on {there}; move one of them, e.g. "
            f"inputs.to({str(home)!r})"
        )


def require_module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InvalidProbe(
            "probe takes a torch.nn.Module, or a function that makes one, got "
            f"{type(model).__name__}"
        )


def require_values(tree: Tree) -> None:
    """raises: InvalidProbe where a parameter or a buffer has none."""
    for name, p in tree.parameters:
        if isinstance(p, nn.parameter.UninitializedParameter):
            raise InvalidProbe(
                f"parameter {name} has no shape yet; run the model once on an input, then probe it"
            )
        if p.is_inference():
            raise InvalidProbe(
                f"parameter {name} was made in inference mode, where nothing has a gradient; make "
                "the model outside"
            )
        if p.is_meta:
            raise InvalidProbe(
                f"parameter {name} is on the meta device and has no values; create the model on a "
                "real device"
            )
    for name, buffer in tree.buffers:
        if isinstance(buffer, torch.nn.parameter.UninitializedBuffer):
            raise InvalidProbe(
                f"buffer {name} has no shape yet; run the model once on an input, then probe it"
            )
