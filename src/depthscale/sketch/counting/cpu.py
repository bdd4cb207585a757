"""Tally of a tensor in CPU memory: one compiled pass, no copy of what is contiguous."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from math import frexp, prod
from operator import add
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthscale.sketch.bins import INFINITE, SIGN
from depthscale.sketch.counting import kernels
from depthscale.sketch.tally import EMPTY, Tally, gather

Result = TypeVar("Result")

_PER_THREAD = 1 << 19  # values below which another thread does not pay
_PER_PASS = 1 << 30  # values whose counts a 32-bit table surely holds

# All zero, taken while counting, put back drained; narrow ones stay near the core, and hold what
# few values can reach.
_free_tables: dict[type, deque[NDArray[np.unsignedinteger]]] = {
    np.uint16: deque(),
    np.uint32: deque(),
}
_FEW = kernels.LANES * (2**16 - kernels.LANES)
_pool: ThreadPoolExecutor | None = None


def tally(tensor: Tensor) -> Tally:
    """Tally of a float16, bfloat16, float32 or float64 tensor on the CPU, of any strides."""
    values = float32_array(tensor)
    if values is not None and 0 < values.size < 2 * _PER_THREAD:
        return _count_array(values.reshape(-1))
    flat, copies = _flatten(tensor)
    if not flat.numel():
        return EMPTY
    if flat.numel() < 2 * _PER_THREAD and flat.dtype is not torch.float64:
        return _COUNTERS[flat.dtype](flat).times(copies)
    workers = max(1, min(torch.get_num_threads(), flat.numel() // _PER_THREAD))
    size = min(-(-flat.numel() // workers), _PER_PASS)
    chunks = flat.split(size)
    if flat.dtype is torch.float64:
        count = partial(_count_float64, scale=_scale_into_float32(_on_threads(_extremes, chunks)))
    else:
        count = _COUNTERS[flat.dtype]
    return reduce(add, _on_threads(count, chunks)).times(copies)


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


def _on_threads(function: Callable[[Tensor], Result], chunks: Sequence[Tensor]) -> list[Result]:
    """function of every chunk: the first here, where a core is at work already, the others beside
    it."""
    others = [_threads().submit(function, chunk) for chunk in chunks[1:]]
    return [function(chunks[0]), *(other.result() for other in others)]


def _flatten(tensor: Tensor) -> tuple[Tensor, int]:
    """The distinct elements in memory order, one-dimensional, and how often each stands in the
    tensor."""
    tensor = tensor.detach().resolve_neg()
    if tensor.is_contiguous():
        return tensor.view(-1), 1
    expanded = [
        i
        for i, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if stride == 0 and n > 1
    ]
    copies = prod(tensor.shape[i] for i in expanded)
    for i in expanded:
        tensor = tensor.narrow(i, 0, 1)
    by_stride = sorted(range(tensor.dim()), key=lambda i: -tensor.stride(i))
    dense = tensor.permute(by_stride)  # where memory is dense, whatever the order of dimensions
    return dense.reshape(-1).contiguous(), copies


def _count_float32(flat: Tensor) -> Tally:
    return _count_array(flat.numpy())


def _count_array(values: NDArray[np.float32]) -> Tally:
    table = _take_table(len(values))
    patterns, counts, zeros, rest, *sums = kernels.tally_float32(values, table)
    _put_back(table)
    if not rest:
        return Tally(patterns, counts, zeros, (0, 0), (0, 0), 0, *sums)
    tiny_negative, tiny_positive, minus, plus = kernels.count_rare(
        values
    )  # what only a second pass tells apart
    nans = rest - tiny_negative - tiny_positive - minus - plus
    if minus or plus or nans:
        sums = kernels.finite_sums(values)
    return Tally(
        patterns, counts, zeros, (tiny_negative, tiny_positive), (minus, plus), nans, *sums
    )


def _count_float64(flat: Tensor, scale: int) -> Tally:
    table = _take_table(flat.numel())
    zeros, total, square_total, smallest, largest = kernels.tally_float64(
        flat.numpy(), scale, table
    )
    patterns, counts, _ = kernels.drain(table, 1, INFINITE - 1)
    tiny = kernels.take(table, SIGN), kernels.take(table, 0) - zeros
    infinities = kernels.take(table, SIGN | INFINITE), kernels.take(table, INFINITE)
    nans = kernels.take(table, INFINITE + 1)
    _put_back(table)
    sums = total, square_total, smallest, largest
    return Tally(patterns, counts, zeros, tiny, infinities, nans, *sums, scale)


def _count_16_bits(flat: Tensor) -> Tally:
    """float16 and bfloat16 have only 65,536 values, so their counts say everything and the sums
    follow from them."""
    table, halves = _take_table(flat.numel()), flat.view(torch.int16).numpy().view(np.uint16)
    kernels.count_patterns(halves, 1, table)
    bits, counts, _ = kernels.drain(table, *kernels.magnitude_range(halves))
    zeros = kernels.take(table, 0) + kernels.take(table, SIGN)
    _put_back(table)
    values = torch.from_numpy(bits.view(np.int16)).view(flat.dtype).to(torch.float32)
    exact = values.to(torch.float64).numpy()
    finite = np.isfinite(exact)
    terms, magnitude = exact[finite] * counts[finite], np.abs(exact[finite])
    sums = (
        float(terms.sum()),
        float((terms * exact[finite]).sum()),
        float(magnitude.min(initial=np.inf)),
        float(magnitude.max(initial=0.0)),
    )
    top = (values.numpy().view(np.uint32) >> 16).astype(np.uint16)
    patterns, merged = gather(top, counts)
    nans = int(counts[np.isnan(exact)].sum())
    infinities = int(counts[exact == -np.inf].sum()), int(counts[exact == np.inf].sum())
    regular = _regular(patterns)
    return Tally(patterns[regular], merged[regular], zeros, (0, 0), infinities, nans, *sums)


_COUNTERS = {
    torch.float32: _count_float32,
    torch.float16: _count_16_bits,
    torch.bfloat16: _count_16_bits,
}


def _regular(patterns: NDArray[np.uint16]) -> NDArray[np.bool_]:
    magnitude = patterns & (SIGN - 1)
    return (magnitude > 0) & (magnitude < INFINITE)


def _extremes(flat: Tensor) -> tuple[float, float]:
    return kernels.finite_sums(flat.numpy())[2:]


def _scale_into_float32(extremes: Iterable[tuple[float, float]]) -> int:
    """0 where float32's normal range holds all magnitudes, else the power that puts the largest
    just below 2^127.

    extremes: smallest nonzero and largest finite magnitude of every part of a tensor.
    """
    each_smallest, each_largest = zip(*extremes, strict=True)
    smallest, largest = min(each_smallest), max(each_largest)
    if largest == 0.0 or (smallest >= 2.0**-126 and largest < 2.0**128):
        return 0
    return frexp(largest)[1] - 127


def _take_table(count: int) -> NDArray[np.unsignedinteger]:
    """A table for so many values."""
    counter = np.uint16 if count <= _FEW else np.uint32
    try:
        return _free_tables[counter].pop()
    except IndexError:
        return kernels.empty_table(counter)


def _put_back(table: NDArray[np.unsignedinteger]) -> None:
    _free_tables[table.dtype.type].append(table)


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
