"""What an optimizer is given and what it makes of each parameter, seen around its own step."""

from collections.abc import Mapping
from contextlib import ExitStack
from math import nan, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from depthscale._probe import Stepped, Tree, sketch_of
from depthscale.errors import UnsupportedTensor
from depthscale.sketch import Sketch
from depthscale.sketch.counting import REORDER, compiled, float32_array

_VALUES = 1 << 16  # of a parameter that are compared: 0.6 % of the update at one standard error
_ROWS = 32  # of them at least


class OptimizerWatch:
    """While it is entered, every optimizer's step is watched.

    Attributes:
        stepped: what was done, by parameter.
        optimized: identities of all that an optimizer which stepped holds.
        steps: how many there were.
        clipped: by what gradients were multiplied between the backward pass and the step; nan where
            it is not known.
    """

    def __init__(self, tree: Tree):
        self._names = {id(p): name for name, p in tree.parameters}
        self.stepped: dict[str, Stepped] = {}
        self.optimized: set[int] = set()
        self.steps = 0
        self.clipped = nan
        self.wrong: list[Exception] = []
        self._before: dict[int, tuple[Tensor, int]] = {}  # by parameter, and the step of rows
        self._given: dict[str, Sketch | None] = {}
        self._sample: tuple[Tensor, float] | None = None

    def __enter__(self) -> "OptimizerWatch":
        with ExitStack() as hooks:
            hooks.callback(register_optimizer_step_pre_hook(self._begins).remove)
            hooks.callback(register_optimizer_step_post_hook(self._ended).remove)
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._hooks.close()
        self._before.clear()

    def after_backward(self, parameters: Mapping[str, Tensor], scale: float) -> None:
        """Keep the norm of one small gradient, by which clipping shows. / scale: of the loss."""
        given = [p for p in parameters.values() if p.grad is not None and _is_plain(p.grad)]
        small = min(given, key=Tensor.numel, default=None)
        if small is not None and small.grad is not None:
            norm = float(small.grad.detach().double().norm()) / scale
            self._sample = (small, norm) if norm > 0 else None

    def _begins(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        try:
            self._look(optimizer)
        except Exception as wrong:
            self.wrong.append(wrong)

    def _look(self, optimizer: Optimizer) -> None:
        self.steps += 1
        every = [p for group in optimizer.param_groups for p in group["params"]]
        self.optimized |= {id(p) for p in every}
        scale = _own_scale(optimizer)
        if self._sample is not None:
            parameter, norm = self._sample
            if parameter.grad is not None:
                now = float(parameter.grad.detach().double().norm()) / scale
                self.clipped = now / norm
        for p in every:
            name = self._names.get(id(p))
            if name is not None and p.grad is not None:
                self._given[name] = _sketched(p.grad, scale)
                step = _row_step(p, p.grad)
                self._before[id(p)] = (p.detach()[::step] if step > 1 else p.detach()).clone(), step

    def _ended(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        try:
            self._compare(optimizer)
        except Exception as wrong:
            self.wrong.append(wrong)

    def _compare(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) in self._before:
                    name, (before, step) = self._names[id(p)], self._before.pop(id(p))
                    after = p.detach()[::step] if step > 1 else p.detach()
                    self.stepped[name] = Stepped(self._given.pop(name), moved(before, after))


def _row_step(parameter: Tensor, gradient: Tensor) -> int:
    """Of a large parameter every k-th row is compared, unless some of those get no gradient, as in
    a table of tokens: then all of them."""
    if parameter.dim() < 2 or not _is_plain(gradient) or is_sharded(parameter):
        return 1
    step = min(len(parameter) // _ROWS, parameter.numel() // _VALUES)
    if step < 2:
        return 1
    rows = gradient[::step]
    return step if bool(rows.flatten(1).abs().amax(1).all()) else 1


def moved(before: Tensor, after: Tensor) -> float:
    """|w' - w| / |w|; of what was 0, infinite, or 0 if it still is."""
    a, b = _local(before.detach()), _local(after.detach())
    old, new = float32_array(a), float32_array(b)
    if old is not None and new is not None:
        change2, norm2 = _squares(old.reshape(-1), new.reshape(-1))
    else:
        wide = torch.float64 if a.device.type == "cpu" else torch.float32
        a, b = a.to(wide), b.to(wide)
        change2, norm2 = float((b - a).square().sum()), float(a.square().sum())
    if not norm2:
        return float("inf") if change2 else 0.0
    return sqrt(change2 / norm2)


def _own_scale(optimizer: Optimizer) -> float:
    """By what an optimizer that unscales inside its step is going to divide gradients."""
    scale = getattr(optimizer, "grad_scale", None)
    return float(scale) if scale is not None else 1.0


def _sketched(gradient: Tensor, scale: float) -> Sketch | None:
    try:
        mine = _local(gradient)
        dense = mine.to_dense() if mine.layout is not torch.strided else mine
        return sketch_of(dense, -round(np.log2(scale)))
    except UnsupportedTensor:
        return None


def _is_plain(tensor: Tensor) -> bool:
    strided = tensor.layout is torch.strided and not is_sharded(tensor)
    return strided and tensor.is_floating_point()


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds but its share."""
    return hasattr(tensor, "to_local")


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[operator]


@compiled(fastmath=REORDER)
def _squares(old, new):
    """Sums of (new - old)^2 and of old^2. / old, new: [n] float32."""
    change2, norm2 = 0.0, 0.0
    for i in range(old.shape[0]):
        a, b = np.float64(old[i]), np.float64(new[i])
        change2 += (b - a) * (b - a)
        norm2 += a * a
    return change2, norm2
