"""What a norm was given, kept until its gradient comes by: the probe's reading of a norm's terms
and of an activation's slopes."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale._probe.nodes import Slot
from depthscale.network import NORM_CALLS, Norm, is_norm, norm_of
from depthscale.norms import Constants, correlation, norm_terms
from depthscale.run import Slopes, Terms


@dataclass(frozen=True, eq=False)
class NormCall:
    """y: the norm's input, which autograd keeps, too; gain: broadcasts against y, None for 1.

    constants: mean and variance of each channel, where the statistics are not the batch's.
    """

    norm: Norm
    y: Tensor
    gain: Tensor | None
    constants: Constants | None

    def terms(self, at_output: Tensor, at_y: Tensor) -> Terms:
        at_output = at_output.double()
        at_z = at_output if self.gain is None else at_output * self.gain.double()
        found = norm_terms(self.y, at_z, at_y.reshape(self.y.shape), self.norm, self.constants)
        before = float(at_output.square().mean())
        return replace(found, scale=float(at_z.square().mean()) / before if before else nan)


def norm_call(
    func: Callable[..., Any],
    name: str,
    args: Any,
    kwargs: Mapping[str, Any],
    given: Mapping[str, Any],
) -> NormCall | None:
    """What a norm's function was called with, None for any other function. / given: its
    settings."""
    if not is_norm(name):
        return None
    y: Tensor = kwargs["input"] if "input" in kwargs else args[0]
    norm = None if internals.is_wrapped(y) else norm_of(name, given, tuple(y.shape), y.numel())
    if norm is None:
        return None
    if given.get("eps") is None:
        norm = replace(norm, eps=torch.finfo(y.dtype).eps)
    gain, mean, variance = (
        _argument(func, name, each, args, kwargs)
        for each in ("weight", "running_mean", "running_var")
    )
    constants = None
    if norm.statistics == "running" and mean is not None and variance is not None:
        constants = mean.detach(), variance.detach()
    if gain is not None:
        gain = gain.detach()
        if not norm.row.gain_by_entry:
            gain = gain.reshape(-1, *[1] * (y.dim() - 2))
    return NormCall(norm, y.detach(), gain, constants)


def _argument(
    func: Callable[..., Any], name: str, argument: str, args: Any, kwargs: Mapping[str, Any]
) -> Tensor | None:
    """What was given for an argument; torch's own functions, which are not written in Python, order
    some otherwise than torch.nn.functional does."""
    at = NORM_CALLS[name][1].place(argument, native=not hasattr(func, "__code__"))
    return kwargs.get(argument, args[at] if at is not None and at < len(args) else None)


class NormReading:
    """Terms of the norms of a run, repeat by repeat, each made as soon as the last of its gradients
    is there.

    terms[op], slopes[op]: [repeats].
    """

    def __init__(self, calls: Mapping[int, NormCall]):
        self.terms: dict[int, list[Terms]] = defaultdict(list)
        self.slopes: dict[int, list[Slopes]] = defaultdict(list)
        self._calls = calls
        self._arrived: dict[int, Tensor] = {}
        self._left: dict[int, list[Tensor | None]] = defaultdict(list)

    def arrive(self, op: int, gradient: Tensor) -> None:
        if op in self._calls:
            self._arrived[op] = gradient

    def leave(self, op: int, gradient: Tensor | None, ways: int) -> None:
        """One of the gradients that leave an operation. / ways: how many there are in all."""
        if op not in self._calls:
            return
        self._left[op].append(gradient)
        if len(self._left[op]) < ways:
            return
        left, arrived = (
            [each for each in self._left.pop(op) if each is not None],
            self._arrived.pop(op, None),
        )
        if left and arrived is not None and arrived.numel():
            at_y = sum((each.double() for each in left[1:]), left[0].double())
            self.terms[op].append(self._calls[op].terms(arrived, at_y))

    def end_run(self) -> None:
        self._arrived.clear()
        self._left.clear()


def is_whole(slots: Sequence[Slot], node: Node) -> bool:
    """Whether that node, which its input's gradient leaves, is all of an operation."""
    return [node] == [each for each, _ in slots]


@torch.no_grad()
def slopes_of(node: Node, position: int, gradient: Tensor | None) -> Slopes | None:
    """Of an activation that is one node. / position: of the edge to its input; gradient: dE/dx that
    arrives; None where the node cannot be asked again, as inside a checkpoint."""
    slopes = None if gradient is None else internals.slopes(node, position, gradient)
    if slopes is None or gradient is None or slopes.shape != gradient.shape or not slopes.numel():
        return None
    squares = slopes.double().square()
    constant = not float(squares.max() - squares.min())
    return Slopes(
        float(squares.mean()), nan if constant else correlation(squares, gradient.double().square())
    )
