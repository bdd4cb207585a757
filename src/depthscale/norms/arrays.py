"""Arrays at the door: tensors or numpy arrays come in and leave as what they were."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from depthscale.errors import InvalidInput, UnsupportedTensor

AnyArray = TypeVar("AnyArray", Tensor, np.ndarray[Any, Any])
TensorOrArray = Tensor | np.ndarray[Any, Any]
_PRECISIONS = ("float32", "float64")


def values(x: Any, name: str) -> Tensor:
    """A tensor of float32 or float64 from one, or from a numpy array of any strides and byte order.

    raises: UnsupportedTensor for anything else: half precision does not hold a variance, whole
    numbers have no gradient.
    """
    if isinstance(x, np.ma.MaskedArray) or not isinstance(x, Tensor | np.ndarray):
        raise UnsupportedTensor(
            f"{name} must be a tensor or a numpy array, got {type(x).__name__}; wrap it in np.array"
        )
    if _name(x) not in _PRECISIONS:
        raise UnsupportedTensor(
            f"{name} must be of float32 or float64, got {_name(x)}; convert it first"
        )
    if isinstance(x, np.ndarray):
        return _tensor(x.astype(_name(x), copy=False))
    if x.layout != torch.strided or x.is_meta:
        raise UnsupportedTensor(
            f"{name} must be a dense tensor that holds values, got {x.layout} on {x.device}; "
            "convert it first"
        )
    return x


def beside(y: Any, x: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """y in the precision of x, after a look at its shape; any real numbers will do. / raises:
    InvalidInput, UnsupportedTensor."""
    if isinstance(y, np.ndarray):
        real = y.dtype.kind in "buif"
    elif isinstance(y, Tensor):
        real = not y.is_complex() and not y.is_quantized
    else:
        raise UnsupportedTensor(
            f"{name} must be a tensor or a numpy array, got {type(y).__name__}; wrap it in np.array"
        )
    if not real:
        raise UnsupportedTensor(f"{name} must hold real numbers, got {y.dtype}")
    if tuple(y.shape) != shape:
        raise InvalidInput(f"{name} must be of shape {shape} to fit x, got {tuple(y.shape)}")
    return y.to(x) if isinstance(y, Tensor) else _tensor(y.astype(_name(x))).to(x.device)


def returner(x: AnyArray) -> Callable[[Tensor], AnyArray]:
    """What turns a tensor into the kind of array that x is."""
    if isinstance(x, Tensor):
        return lambda found: found  # pyright: ignore[reportReturnType]
    return lambda found: found.detach().numpy()  # pyright: ignore[reportReturnType]


def _name(x: Tensor | np.ndarray) -> str:
    """The type of the values, whatever their byte order."""
    return (
        str(x.dtype).removeprefix("torch.")
        if isinstance(x, Tensor)
        else x.dtype.newbyteorder("=").name
    )


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(x, requirements=["C", "W"]))
