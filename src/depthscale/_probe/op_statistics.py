"""What is read of an operation's output while it is there: one row a field of Details."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from depthscale._probe.call_records import Value
from depthscale._probe.dead import dead_units
from depthscale._probe.likeness import likeness, products_of
from depthscale._probe.shares import shares_of
from depthscale.network import torch_calls
from depthscale.run import Shares


class Output(NamedTuple):
    """What a function made first, and what it was given. / settings: its plain arguments, which are
    kept; read: its tensors."""

    function: str
    settings: Mapping[str, Any]
    values: Tensor
    read: Sequence[Value]
    args: Any
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Statistic:
    """One field of Details.

    Args:
        field: Its name.
        may_apply: Whether to any operation of a function.
        applies: Whether to an operation, by its function and its settings.
        read: Of an output, at once; what it gives may wait on a device. None where there is nothing
            to read.
        settle: What it gave as the field's value, once the passes are over.
    """

    field: str
    may_apply: Callable[[str], bool]
    applies: Callable[[str, Mapping[str, Any]], bool]
    read: Callable[[Output], Any]
    settle: Callable[[Any], Any]


def _shares(each: Output) -> Shares | None:
    """None of a node that no function was seen to make: its arguments are not known."""
    known = each.args or each.kwargs
    return shares_of(each.function, each.values, each.args, each.kwargs) if known else None


STATISTICS = (
    Statistic(
        "likeness",
        torch_calls.may_be_compared,
        torch_calls.is_compared,
        lambda each: products_of(each.values, torch_calls.is_input(each.function)),
        likeness,
    ),
    Statistic(
        "dead",
        torch_calls.may_be_elementwise,
        torch_calls.is_rectifier,
        lambda each: dead_units(each.values, each.read),
        float,
    ),
    Statistic(
        "shares",
        torch_calls.makes_shares,
        lambda function, _: True,
        _shares,
        lambda shares: shares,
    ),
)


def read_statistics(output: Output) -> dict[str, Any]:
    """What is read of an output, by field."""
    return {
        each.field: each.read(output)
        for each in _candidates(output.function)
        if each.applies(output.function, output.settings)
    }


@cache
def _candidates(function: str) -> tuple[Statistic, ...]:
    return tuple(each for each in STATISTICS if each.may_apply(function))


def settled(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """The same as values of Details."""
    return {
        each.field: each.settle(value)
        for each in STATISTICS
        if (value := statistics.get(each.field)) is not None
    }
