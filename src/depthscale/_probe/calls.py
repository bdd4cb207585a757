"""What a torch function says of itself, asked once for each function: its name, whether it only
asks, what it writes to, whether it copies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from depthscale._probe import internals
from depthscale.network import torch_calls

_COPIES = {
    "contiguous",
    "clone",
    "reshape",
    "flatten",
    "to",
    "type_as",
    "float",
    "cpu",
    "cuda",
    "detach",
    "data",
    "alias",
}
_DUNDERS = {
    name: plain
    for plain in ("add", "sub", "mul", "div", "truediv", "pow", "matmul", "floordiv", "mod")
    for name in (f"__{plain}__", f"__i{plain}__")
} | {  # c - x is not x - c
    f"__r{plain}__": plain if plain in ("add", "mul") else f"r{plain.removeprefix('true')}"
    for plain in ("add", "sub", "mul", "div", "truediv", "pow", "matmul", "floordiv", "mod")
}
_RUNNING = {
    F.batch_norm: slice(1, 3),
    F.instance_norm: slice(1, 3),
    torch.batch_norm: slice(3, 5),
    torch.instance_norm: slice(3, 5),
}  # where the running statistics are
_QUESTIONS = {  # that only ask a tensor of its shape or kind, or are torch's own bookkeeping
    # while torch holds the tensor locked: a look at it would wait for ever
    *(getattr(Tensor, name).__set__ for name in ("grad_fn", "_backward_hooks")),
    *(
        Tensor.dim,
        Tensor.size,
        Tensor.stride,
        Tensor.numel,
        Tensor.nelement,
        Tensor.is_contiguous,
        Tensor.element_size,
    ),
    *(Tensor.is_floating_point, Tensor.is_complex, Tensor.get_device, Tensor.ndimension),
    *(
        getattr(Tensor, name).__get__
        for name in ("shape", "ndim", "dtype", "device", "layout", "is_cuda", "requires_grad")
    ),
}
# __float__, __int__ and __array__ among them
_LEAVES = {"item", "tolist", "numpy", "float", "int", "array", "tensor", "as_tensor"}
_FOLLOWS = Tensor.requires_grad.__set__  # type: ignore[attr-defined]
_NOT_WRITING = ("requires_grad_", "retain_grad", "__get__", "rename_", "share_memory_")


@dataclass(frozen=True, slots=True)
class TorchFunction:
    """Facts of a torch function.

    Args:
        function: What is called.
        name: As a trace shows it.
        asks: It only asks a tensor of its shape or kind.
        copies: It hands on the values of its first argument.
        like_another: Its other tensor gives a type or a shape.
        embeds: It takes rows of a table.
        maps: It is a linear map or a convolution.
        judges: It is a loss, given labels or targets.
        leaves: It hands values over to Python or numpy.
        follows: It sets requires_grad.
        in_place: Its name says that it writes to its first argument.
        running: Where the running statistics stand among its arguments, which it may write to.
        parameters: Names of its parameters, of a function that is written in Python.
        opened: The same function, which shows what it calls inside.
    """

    function: Callable[..., Any]
    name: str
    asks: bool
    copies: bool
    like_another: bool
    embeds: bool
    maps: bool
    judges: bool
    leaves: bool
    follows: bool
    in_place: bool
    running: slice | None
    parameters: tuple[str, ...]
    opened: Callable[..., Any] | None

    def written(self, args: Any, kwargs: Any) -> list[Tensor]:
        """Tensors that a call will write to, as far as its name and arguments say."""
        targets: list[Any] = []
        if self.in_place or self._argument("inplace", args, kwargs):
            targets += args[:1] or [kwargs.get(first) for first in ("input", "tensor", "self")]
        if self.embeds and self._argument("max_norm", args, kwargs) is not None:
            targets.append(self._argument("weight", args, kwargs))
        if self.running is not None:
            targets += [
                *args[self.running],
                kwargs.get("running_mean"),
                kwargs.get("running_var"),
            ]
        if "out" in kwargs:
            targets.append(kwargs["out"])
        return tensors(targets) if targets else []

    def _argument(self, name: str, args: Any, kwargs: Any) -> Any:
        """What was given for a parameter; of a function written in C, by keyword alone."""
        if name in kwargs or name not in self.parameters:
            return kwargs.get(name)
        at = self.parameters.index(name)
        return args[at] if at < len(args) else None


def torch_function(func: Callable[..., Any]) -> TorchFunction:
    """The facts of a function."""
    own, name, code = getattr(func, "__name__", ""), _name_of(func), getattr(func, "__code__", None)
    bare = own.partition(".")[0]
    in_place = (
        (bare.endswith("_") and not bare.endswith("__"))
        or bare.startswith("__i")
        or bare in ("__setitem__", "__set__")
    )
    return TorchFunction(
        function=func,
        name=name,
        asks=func in _QUESTIONS,
        copies=name in _COPIES,
        like_another=torch_calls.takes_shape_of_another(name),
        embeds=torch_calls.is_embedding(name),
        maps=torch_calls.positions_of_map(name) is not None,
        judges=torch_calls.is_loss(name),
        leaves=name in _LEAVES,
        follows=func == _FOLLOWS,
        in_place=in_place and bare not in _NOT_WRITING,
        running=_RUNNING.get(func),
        parameters=() if code is None else code.co_varnames[: code.co_argcount],
        opened=internals.opened(func) if func is F.multi_head_attention_forward else None,
    )


def _name_of(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":  # an attribute, as x.T
        return getattr(getattr(func, "__self__", None), "__name__", name)
    return _DUNDERS.get(name, name.strip("_"))


def is_followed(tensor: Tensor, value: object) -> bool:
    """Whether a model asks that a tensor be followed which the probe has made so already: of a view
    of an input that cannot be asked."""
    return value is True and tensor.requires_grad and not tensor.is_leaf


class Followed(TorchFunctionMode):
    """While it is entered, a model may ask that views of inputs be followed that are already."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func == _FOLLOWS and is_followed(*args):
            return None
        return func(*args, **(kwargs or {}))


def tensors(values: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if isinstance(values, Tensor):
        return [values]
    found: list[Tensor] = []
    if isinstance(values, (tuple, list)):  # a union takes three times as long
        _gather(values, found)
    elif isinstance(values, dict):
        _gather(values.values(), found)
    return found


def _gather(values: Iterable[Any], into: list[Tensor]) -> None:
    for value in values:
        if isinstance(value, Tensor):
            into.append(value)
        elif isinstance(value, (tuple, list)):
            _gather(value, into)
        elif isinstance(value, dict):
            _gather(value.values(), into)


def hands_on(function: TorchFunction, output: Tensor, given: list[Tensor]) -> bool:
    """Whether an output is new and holds the same values as the first argument, rearranged."""
    return (
        (function.copies or internals.base_of(output) is not None)
        and bool(given)
        and not any(output is t for t in given)
        and _is_reshape(function, output, given[0])
    )


def _is_reshape(function: TorchFunction, output: Tensor, given: Tensor) -> bool:
    if output.numel() != given.numel() or output.dtype != given.dtype:
        return False
    if function.copies:
        return True
    return _storage(output) == _storage(given)


def _storage(tensor: Tensor) -> int:
    return id(tensor) if internals.is_wrapped(tensor) else tensor.untyped_storage()._cdata
