"""Tally of a tensor in CPU memory: one compiled pass, no copy of what is contiguous."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from math import frexp, prod
from operator import add
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthscale.sketch.counting.counters import add_bfloat16, add_float32, add_float64, count
from depthscale.sketch.tally import EMPTY, Tally

Result = TypeVar("Result")

_PER_THREAD = 1 << 19  # values below which another thread does not pay
_PART = 1 << 18  # values that are looked at again where not all are regular
_GATHERED = 1 << 15  # values brought together at a time; torch copies so many on one thread

_ADD = {
    torch.float16: add_float32,
    torch.bfloat16: add_bfloat16,
    torch.float32: add_float32,
    torch.float64: add_float64,
}
_pool: ThreadPoolExecutor | None = None


def tally(tensor: Tensor) -> Tally:
    """Tally of a float16, bfloat16, float32 or float64 tensor on the CPU, of any strides."""
    values = float32_array(tensor)
    if values is not None and 0 < values.size < 2 * _PER_THREAD:
        return count([values.reshape(-1)], add_float32)
    tensor, copies = _distinct(tensor.detach().resolve_neg())
    if not tensor.numel():
        return EMPTY
    workers = max(1, min(torch.get_num_threads(), tensor.numel() // _PER_THREAD))
    parts = _parts(tensor)
    size = -(-len(parts) // workers)
    shares = [parts[i : i + size] for i in range(0, len(parts), size)]
    tallies = _on_threads(_count, shares)
    if tensor.dtype is torch.float64 and not _are_normal(tallies):
        tallies = _on_threads(partial(_count, scale=_scale(tallies)), shares)
    return reduce(add, tallies).times(copies)


def float32_array(tensor: Tensor) -> NDArray[np.float32] | None:
    """The memory of a contiguous float32 tensor on the CPU, not copied; None of any other
    tensor."""
    if (
        tensor.dtype is not torch.float32
        or tensor.device.type != "cpu"
        or tensor.layout is not torch.strided
        or tensor.is_nested
    ):
        return None
    return tensor.detach().numpy() if tensor.is_contiguous() and not tensor.is_neg() else None


def _on_threads(
    function: Callable[[Sequence[Tensor]], Result], shares: Sequence[Sequence[Tensor]]
) -> list[Result]:
    """function of every share: the first here, where a core is at work already, the others beside
    it."""
    others = [_threads().submit(function, share) for share in shares[1:]]
    return [function(shares[0]), *(other.result() for other in others)]


def _distinct(tensor: Tensor) -> tuple[Tensor, int]:
    """The elements that have memory of their own, in its order, and how often each stands in the
    tensor."""
    if tensor.is_contiguous() or tensor.numel() <= _GATHERED:
        return tensor, 1
    expanded = [
        i
        for i, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if stride == 0 and n > 1
    ]
    copies = prod(tensor.shape[i] for i in expanded)
    for i in expanded:
        tensor = tensor.narrow(i, 0, 1)
    by_stride = sorted(range(tensor.dim()), key=lambda i: -tensor.stride(i))
    return tensor.permute(by_stride), copies


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    """A tensor in parts that are dense in memory, or small enough to be gathered in the cache."""
    if tensor.numel() <= _GATHERED:
        return [tensor]
    if tensor.is_contiguous():
        return tensor.view(-1).split(_GATHERED if tensor.dtype is torch.float16 else _PART)
    row = tensor.numel() // len(tensor)
    if row > _GATHERED:
        return [part for each in tensor for part in _parts(each)]
    return tensor.split(_GATHERED // row)


def _count(parts: Sequence[Tensor], scale: int | None = None) -> Tally:
    arrays = map(_dense_array, parts)
    if scale is None:
        return count(arrays, _ADD[parts[0].dtype])
    return count(arrays, partial(add_float64, scale=scale)).scaled(scale)


def _dense_array(part: Tensor) -> NDArray[Any]:
    """The values of a part without gaps: as float32, float64 or the bits of bfloat16."""
    if part.dtype is torch.float16:
        part = part.float()
    half = part.dtype is torch.bfloat16
    array = part.view(torch.int16).numpy().view(np.uint16) if half else part.numpy()
    return np.ascontiguousarray(array).reshape(-1)


def _are_normal(tallies: Sequence[Tally]) -> bool:
    """Whether float32's normal range holds all magnitudes."""
    return all(t.smallest >= 2.0**-126 and t.largest < 2.0**128 for t in tallies)


def _scale(tallies: Sequence[Tally]) -> int:
    """The power of two that puts the largest magnitude just below 2^127."""
    return frexp(max(t.largest for t in tallies))[1] - 127


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(thread_name_prefix="depthscale-sketch")
    return _pool


def _forget_threads() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)  # threads do not survive a fork
