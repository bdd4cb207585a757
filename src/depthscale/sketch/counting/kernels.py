"""The compiled loops of a sketch: counting bit patterns and summing.

Each is a small loop over contiguous arrays, so that the compiler turns reductions into vector
instructions; all release the GIL and are cached on disk. Arrays are seen as other types by who
calls, and nothing is allocated here: both would take most of the compiling.

Counting goes to four lanes, because a value equal to its neighbour would else wait until the
neighbour's increment is stored. It goes first over a block, and fetches memory far ahead, since it
is the slower: what follows finds the block near the core.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from depthscale.sketch.bins import INFINITE, SIGN

LANES = 4
_BLOCK = 1024  # values that stay in the first cache between two loops
_AHEAD = 1024  # 16-bit halves between what is counted and what is fetched
_LINE = 16  # values counted between two fetches: a cache line of float32

REORDER = {
    "reassoc",
    "nsz",
    "contract",
}  # sums may run in vector lanes; infinities and NaNs keep their meaning
_EVERY_BIT = np.uint32(0xFFFFFFFF)
_LAST_REGULAR = INFINITE - 1


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """Compile, releasing the GIL; keep the result on disk where some folder can be written."""

    options |= {"nogil": True, "no_cfunc_wrapper": True}

    def compile_it(function: Callable) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # numba finds no folder for its cache
            return njit(**options)(function)

    return compile_it


@intrinsic
def _fetch(typing, array, index):
    """Ask for the memory of an element, which may lie beyond the array, and do not wait."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(fetch, [place, whole(0), whole(3), whole(1)])  # to read, often, as data
        return context.get_dummy_value()

    return types.void(array, index), generate


@compiled(inline="always")
def _count(halves, step, lanes):
    """Add the pattern of every value to the lanes. / halves: [n * step] uint16, the last of each
    `step` is the pattern."""
    n = halves.shape[0] // step
    for line in range(0, n - _LINE + 1, _LINE):
        _fetch(halves, np.intp(line * step + _AHEAD))  # pyright: ignore[reportCallIssue]
        for i in range(line, line + _LINE):
            lanes[i % LANES, np.uint64(halves[i * step + step - 1])] += 1
    for i in range(n // _LINE * _LINE, n):
        lanes[i % LANES, np.uint64(halves[i * step + step - 1])] += 1


@compiled(fastmath=REORDER, inline="always")
def sums(values):
    """Sum and sum of squares, in float64."""
    total, square_total = 0.0, 0.0
    for i in range(values.shape[0]):
        v = np.float64(values[i])
        total += v
        square_total += v * v
    return total, square_total


@compiled(inline="always")
def _extremes(bits, unsigned, smallest, largest):
    """Smallest nonzero magnitude less one and largest, of bits and with those before, all doubled.
    / unsigned: the bits' type."""
    for i in range(bits.shape[0]):
        doubled = unsigned(bits[i] << unsigned(1))
        less = unsigned(doubled - unsigned(2))  # 0 wraps around to the top
        largest = doubled if doubled > largest else largest
        smallest = less if less < smallest else smallest
    return smallest, largest


@compiled(fastmath=REORDER)
def add_float32(values, bits, halves, lanes):
    """Count values by their patterns in the lanes, and reduce.

    values, bits, halves: the same memory as float32, uint32 and pairs of uint16.
    returns: sum, sum of squares, smallest nonzero (or 2^31) and largest magnitude bits.
    """
    total, square_total = 0.0, 0.0
    smallest, largest = np.uint32(0xFFFFFFFF), np.uint32(0)
    for start in range(0, values.shape[0], _BLOCK):
        stop = start + _BLOCK
        _count(halves[2 * start : 2 * stop], 2, lanes)
        block_total, block_square_total = sums(values[start:stop])
        total += block_total
        square_total += block_square_total
        smallest, largest = _extremes(bits[start:stop], np.uint32, smallest, largest)
    return total, square_total, (np.int64(smallest) + 2) >> 1, np.int64(largest) >> 1


@compiled(fastmath=REORDER)
def add_bfloat16(halves, lanes):
    """The same of the bits of bfloat16, which are a float32's first half."""
    total, square_total = 0.0, 0.0
    smallest, largest = np.uint16(0xFFFF), np.uint16(0)
    for start in range(0, halves.shape[0], _BLOCK):
        half = halves[start : start + _BLOCK]
        _count(half, 1, lanes)
        for i in range(half.shape[0]):
            v = np.float64(np.uint32(np.uint32(half[i]) << np.uint32(16)).view(np.float32))
            total += v
            square_total += v * v
        smallest, largest = _extremes(half, np.uint16, smallest, largest)
    smallest, largest = (np.int64(smallest) + 2) >> 1, np.int64(largest) >> 1
    return total, square_total, smallest << 16, largest << 16


@compiled(fastmath=REORDER)
def add_float64(values, bits, patterns, lanes):
    """Count values by their patterns, rounded toward zero, infinities, NaNs and what is 2^128 or
    more as INFINITE, and reduce.

    values, bits: the same memory as float64 and uint64; patterns: room for a
    block. / returns: sum, sum of squares, smallest nonzero (or 2^63) and largest magnitude bits,
    and such patterns without sign (or 2^15).
    """
    total, square_total = 0.0, 0.0
    smallest, largest = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    first, last = np.uint16(0xFFFF), np.uint16(0)
    for start in range(0, values.shape[0], _BLOCK):
        stop = start + _BLOCK
        bit = bits[start:stop]
        pattern = patterns[: bit.shape[0]]
        for i in range(pattern.shape[0]):
            magnitude = np.int64(bit[i] & np.uint64(0x7FFFFFFFFFFFFFFF))
            exponent = magnitude >> 52
            normal = (magnitude >> 45) - (896 << 7)  # the exponent's bias differs
            mantissa = (magnitude & 0xFFFFFFFFFFFFF) | 0x10000000000000
            shift = 942 - exponent  # to units of 2^-133
            small = mantissa >> (shift if shift < 63 else 63)
            regular = normal if normal < INFINITE else INFINITE
            pattern[i] = (small if exponent < 897 else regular) | (
                np.int64(bit[i] >> np.uint64(48)) & SIGN
            )
        _count(pattern, 1, lanes)
        block_total, block_square_total = sums(values[start:stop])
        total += block_total
        square_total += block_square_total
        smallest, largest = _extremes(bit, np.uint64, smallest, largest)
        first, last = _extremes(pattern, np.uint16, first, last)
    smallest = np.uint64(smallest + np.uint64(2)) >> np.uint64(1)
    first, last = (np.int64(first) + 2) >> 1, np.int64(last) >> 1
    return total, square_total, smallest, largest >> np.uint64(1), first, last


@compiled()
def drain(lanes, first, last, patterns, counts):
    """Write the occupied regular patterns among the magnitudes first..last and their counts,
    ascending; empty these and those of zeros. / returns: how many patterns and values."""
    occupied, total = np.uint64(0), np.uint64(0)
    for sign in range(0, 2 * SIGN, SIGN):
        lanes[0, sign] = lanes[1, sign] = lanes[2, sign] = lanes[3, sign] = 0
        for pattern in range(sign + first, sign + last + 1):
            i = np.uint64(pattern)
            count = np.uint64(lanes[0, i]) + lanes[1, i] + lanes[2, i] + lanes[3, i]
            if count:
                lanes[0, i] = lanes[1, i] = lanes[2, i] = lanes[3, i] = 0
                if pattern & (SIGN - 1) < INFINITE:
                    patterns[occupied] = pattern
                    counts[occupied] = count
                    occupied += np.uint64(1)
                    total += count
    return np.int64(occupied), np.int64(total)
