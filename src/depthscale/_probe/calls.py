"""What a call of a torch function says of itself: its name, its tensors, what it will write to,
whether it only reshapes."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from depthscale._probe import internals

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
QUESTIONS = {  # that only ask a tensor of its shape or kind
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
_NOT_WRITING = ("requires_grad_", "retain_grad", "__get__", "rename_", "share_memory_")


def tensors(values: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    found: list[Tensor] = []
    _gather(values, found)
    return found


def _gather(value: Any, into: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        into.append(value)
    elif isinstance(value, (tuple, list)):  # a union takes three times as long
        for each in value:
            _gather(each, into)
    elif isinstance(value, dict):
        for each in value.values():
            _gather(each, into)


def name_of(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":  # an attribute, as x.T
        return getattr(getattr(func, "__self__", None), "__name__", name)
    return _DUNDERS.get(name, name.strip("_"))


def written(func: Callable[..., Any], args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that a call will write to, as far as its name and arguments say."""
    name = getattr(func, "__name__", "").partition(".")[0]
    found: list[Any] = []
    in_place = (
        (name.endswith("_") and not name.endswith("__"))
        or name.startswith("__i")
        or name in ("__setitem__", "__set__")
    )
    if (in_place and name not in _NOT_WRITING) or _argument(func, "inplace", args, kwargs):
        found += args[:1] or [kwargs.get(first) for first in ("input", "tensor", "self")]
    if (
        name in ("embedding", "embedding_bag")
        and _argument(func, "max_norm", args, kwargs) is not None
    ):
        found.append(_argument(func, "weight", args, kwargs))
    if func in _RUNNING:
        found += [*args[_RUNNING[func]], kwargs.get("running_mean"), kwargs.get("running_var")]
    if "out" in kwargs:
        found.append(kwargs["out"])
    return tensors(found)


def _argument(func: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """What was given for a parameter of a function written in Python; of others, by keyword
    alone."""
    if name in kwargs or not args or not hasattr(func, "__code__"):
        return kwargs.get(name)
    names = func.__code__.co_varnames[: func.__code__.co_argcount]
    at = names.index(name) if name in names else len(args)
    return args[at] if at < len(args) else None


def is_reshape(name: str, output: Tensor, given: list[Tensor], before: dict[int, int]) -> bool:
    """Whether an output holds the same values as the first argument, rearranged."""
    if (
        not given
        or id(output) in before
        or output.numel() != given[0].numel()
        or output.dtype != given[0].dtype
    ):
        return False
    if name in _COPIES:
        return True
    return internals.base_of(output) is not None and _storage(output) == _storage(given[0])


def _storage(tensor: Tensor) -> int:
    return id(tensor) if internals.is_wrapped(tensor) else tensor.untyped_storage()._cdata
