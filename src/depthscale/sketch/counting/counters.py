"""Counters, filled part by part, and drained to the tally of all parts."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial, reduce
from math import inf, ldexp
from operator import add
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from depthscale.sketch.bins import INFINITE, LEAST, PATTERNS, TINY
from depthscale.sketch.counting import kernels
from depthscale.sketch.tally import EMPTY, Tally


class Counters(NamedTuple):
    """Counters, all 0 between two tensors, and room for what is read of them."""

    lanes: NDArray[np.uint32]  # [lanes, patterns and padding]
    patterns: NDArray[np.uint16]
    counts: NDArray[np.int64]


class Reduced(NamedTuple):
    """What is read of values beside their counts: fields of a Tally, and the range of patterns
    without sign in which all lie but zeros and tiny ones."""

    total: float
    square_total: float
    smallest: float
    largest: float
    first: int
    last: int
    apart: tuple[int, ...] = (0, 0, 0, 0, 0)  # tiny and infinities by sign, NaNs


AddPart: TypeAlias = Callable[[NDArray[Any], Counters], Reduced]

_PADDING = 80  # after each lane, lest one pattern's four counters share a cache set
_CACHED = 1 << 14  # values whose copies stay near the core
_free: deque[Counters] = deque()


def count(parts: Iterable[NDArray[Any]], add_part: AddPart) -> Tally:
    """Tally of all parts, of no more than 2^34 values. / add_part: counts one and reduces it."""
    counters = _free.pop() if _free else _empty()
    size, reduced = 0, None
    for part in parts:
        of_part = add_part(part, counters)
        reduced = _both(reduced, of_part) if reduced else of_part
        size += part.size
    if not reduced:
        return EMPTY
    total, square_total, smallest, largest, first, last, apart = reduced
    bins, regular = kernels.drain(counters.lanes, first, last, counters.patterns, counters.counts)
    patterns, counts = counters.patterns[:bins].copy(), counters.counts[:bins].copy()
    _free.append(counters)
    sums = total, square_total, smallest, largest
    zeros = size - regular - sum(apart)
    tiny, infinities = (apart[0], apart[1]), (apart[2], apart[3])
    return Tally(patterns, counts, zeros, tiny, infinities, apart[4], *sums)


def add_float32(values: NDArray[np.float32], counters: Counters) -> Reduced:
    """Of an array without gaps."""
    bits, halves = values.view(np.uint32), values.view(np.uint16)
    total, square_total, low, high = kernels.add_float32(values, bits, halves, counters.lanes)
    return _reduced(total, square_total, low, high, lambda: values)


def add_bfloat16(halves: NDArray[np.uint16], counters: Counters) -> Reduced:
    """Of the bits of bfloat16."""
    total, square_total, low, high = kernels.add_bfloat16(halves, counters.lanes)
    return _reduced(total, square_total, low, high, partial(_as_float32, halves))


def _as_float32(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (halves.astype(np.uint32) << 16).view(np.float32)


def add_float64(
    values: NDArray[np.float64], counters: Counters, scale: int | None = None
) -> Reduced:
    """Of values 2^-scale, each rounded toward zero into its bin; a nonzero one that falls to 0 is
    tiny. Without a scale tiny ones are not told apart."""
    scaled = _times_power_of_two(values, -scale) if scale else values
    bits = scaled.view(np.uint64)
    total, square_total, *range_of_bits, first, last = kernels.add_float64(
        scaled, bits, counters.patterns, counters.lanes
    )
    smallest, largest = np.array(range_of_bits, np.uint64).view(np.float64).tolist()
    has_tiny = scale is not None and (
        smallest < TINY or np.count_nonzero(scaled) < np.count_nonzero(values)
    )
    if has_tiny or not largest < inf:
        return _look(scaled, values, first, last)
    return Reduced(total, square_total, smallest or inf, largest, first, last)


@np.errstate(all="ignore")  # signalling NaNs
def _times_power_of_two(values: NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Rounded once: only what grows takes two steps, lest the power itself be too large."""
    half = max(power, 0) // 2
    larger = values * 2.0 ** (power - half)
    return larger * 2.0**half if half else larger


def _reduced(
    total: float, square_total: float, low: int, high: int, values: Callable[[], NDArray[Any]]
) -> Reduced:
    """Of smallest nonzero and largest magnitude bits of float32."""
    first, last = low >> 16, high >> 16
    if first == 0 or last >= INFINITE:
        return _look(values(), values(), first, last)
    smallest = _magnitude(low) if high else inf
    return Reduced(total, square_total, smallest, _magnitude(high), first, last)


def _magnitude(bits: int) -> float:
    """The float32 of some bits without a sign, whatever the processor does with subnormal ones."""
    exponent = max(bits >> 23, 1)
    return ldexp(bits - (exponent - 1 << 23), exponent - 150)


@np.errstate(all="ignore")
def _look(values: NDArray[Any], given: NDArray[Any], first: int, last: int) -> Reduced:
    """Reduce again, with all that tells zeros, tiny values, infinities and NaNs apart. / values:
    given ones, scaled."""
    if len(values) > _CACHED:
        starts = range(0, len(values), _CACHED)
        pieces = [(values[i : i + _CACHED], given[i : i + _CACHED]) for i in starts]
        return reduce(_both, (_look(*piece, first, last) for piece in pieces))
    finite, nonzero, negative = np.isfinite(values), given != 0, np.signbit(values)
    exact = np.where(finite, values, values.dtype.type(0)).astype(np.float64)
    magnitude = np.abs(exact)
    tiny = (magnitude < TINY) & nonzero & finite
    kinds = (tiny & negative, tiny > negative, values == -inf, values == inf, np.isnan(values))
    return Reduced(
        float(exact.sum()),
        float((exact * exact).sum()),
        max(float(np.where(nonzero & finite, magnitude, inf).min()), LEAST),
        float(magnitude.max()),
        first,
        last,
        tuple(int(np.count_nonzero(kind)) for kind in kinds),
    )


def _both(a: Reduced, b: Reduced) -> Reduced:
    return Reduced(
        a.total + b.total,
        a.square_total + b.square_total,
        min(a.smallest, b.smallest),
        max(a.largest, b.largest),
        min(a.first, b.first),
        max(a.last, b.last),
        tuple(map(add, a.apart, b.apart)),
    )


def _empty() -> Counters:
    lanes = np.zeros((kernels.LANES, PATTERNS + _PADDING), np.uint32)
    patterns, counts = np.empty(PATTERNS, np.uint16), np.empty(PATTERNS, np.int64)
    return Counters(lanes, patterns, counts)
