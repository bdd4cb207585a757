"""An optimizer's own code over copies of tensors; the optimizer and its state stay as they are."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from depthscale._probe import internals


class NotStepped(Exception):
    """An optimizer's code does not run on copies; the text says what it raised."""


@dataclass(frozen=True, eq=False)
class Moved:
    """A tensor that a step moves.

    Attributes:
        tensor: the user's own, by which the optimizer knows it.
        gradient: of it.
        size: a factor of the copy's values; its gradient is divided by it, as where the loss does
            not see the size.
    """

    tensor: Tensor
    gradient: Tensor
    size: float = 1.0


class OptimizerCopy:
    """A copy of an optimizer that holds copies of some of its tensors, with their state and their
    groups' settings."""

    HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")

    def __init__(self, optimizer: torch.optim.Optimizer, moved: Sequence[Moved], rate: float = 1.0):
        """rate: factor of every learning rate."""
        self._moved = moved
        self._copies = [_parameter(each) for each in moved]
        pairs = zip(moved, self._copies, strict=True)
        self._memo: dict[int, Any] = {id(each.tensor): copy for each, copy in pairs}
        with _another_code():
            self._copy = self._copied(optimizer)
        for group in self._copy.param_groups if rate != 1 else ():
            if "lr" in group:
                group["lr"] = group["lr"] * rate

    def step(self) -> list[Tensor]:
        """Every tensor after a step from its own value, with the state that steps so far made."""
        for each, copy in zip(self._moved, self._copies, strict=True):
            with torch.no_grad():
                copy.copy_(each.tensor).mul_(each.size)
            copy.grad = each.gradient / each.size
        with internals.quiet_optimizers(), _another_code():
            type(self._copy).step(self._copy)  # a step that was set on the object is another's
        return [copy.detach() for copy in self._copies]

    def _copied(self, optimizer: torch.optim.Optimizer) -> Any:
        """The same of other tensors; of an optimizer inside another one, too."""
        copy = object.__new__(type(optimizer))
        self._memo[id(optimizer)] = copy
        own = vars(optimizer)
        if "param_groups" in own:
            copy.param_groups = self._groups(own["param_groups"])
        if "state" in own:
            copy.state = self._state(own["state"])
        for name, value in own.items():
            if name in self.HOOKS:
                setattr(copy, name, OrderedDict())
            elif name not in ("param_groups", "state", "step"):
                inner = isinstance(value, torch.optim.Optimizer)
                copied = self._copied(value) if inner else deepcopy(value, self._memo)
                copy.__dict__[name] = copied
        return copy

    def _groups(self, groups: Any) -> Any:
        """Groups with the copies in place of their tensors, without those that have none; the same
        list for all that share it."""
        if id(groups) not in self._memo:
            self._memo[id(groups)] = []
            for group in groups:
                inside = [self._memo[id(p)] for p in group["params"] if id(p) in self._memo]
                if inside:
                    settings = {
                        k: deepcopy(v, self._memo) for k, v in group.items() if k != "params"
                    }
                    self._memo[id(group)] = {"params": inside, **settings}
                    self._memo[id(groups)].append(self._memo[id(group)])
        return self._memo[id(groups)]

    def _state(self, state: Any) -> Any:
        if id(state) not in self._memo:
            self._memo[id(state)] = made = defaultdict(dict)
            for key, value in state.items():
                if not isinstance(key, Tensor):
                    made[key] = deepcopy(value, self._memo)
                elif id(key) in self._memo:
                    made[self._memo[id(key)]] = deepcopy(value, self._memo)
        return self._memo[id(state)]


@contextmanager
def _another_code() -> Iterator[None]:
    """Code that is not ours, which may raise anything."""
    try:
        yield
    except Exception as wrong:
        raise NotStepped(f"{type(wrong).__name__}: {wrong}") from wrong


def _parameter(moved: Moved) -> nn.Parameter:
    copy = nn.Parameter(moved.tensor.detach().clone())
    vars(copy).update(vars(moved.tensor))  # what other libraries note on a parameter
    return copy
