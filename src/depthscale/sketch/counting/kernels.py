"""The compiled loops of a sketch: counting bit patterns and summing.

Each is a small loop over contiguous arrays, so that the compiler turns reductions into vector
instructions; all release the GIL and are cached on disk. Counting keeps four tables (lanes),
because a value equal to its neighbour would else wait until the neighbour's increment is stored.
Counting goes first over a block, since it is the slower: memory arrives meanwhile.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from depthscale.sketch.bins import INFINITE, LEAST, PATTERNS, SIGN

LANES = 4
_PADDING = 80  # rows after each lane, lest one pattern's four counters share a cache set
_BLOCK = 128  # values between two reductions; they stay in the first cache

REORDER = {
    "reassoc",
    "nsz",
    "contract",
}  # sums may run in vector lanes; infinities and NaNs keep their meaning
_ZERO = np.float32(0)
_EVERY_BIT = np.uint32(0xFFFFFFFF)
_LAST_REGULAR = INFINITE - 1


def empty_table(counter: type[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Counters of every pattern, [lanes, patterns and padding]."""
    return np.zeros((LANES, PATTERNS + _PADDING), counter)


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """Compile, releasing the GIL; keep the result on disk where some folder can be written."""

    def compile_it(function: Callable) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # numba finds no folder for its cache
            return njit(nogil=True, **options)(function)

    return compile_it


@compiled()
def count_patterns(halves, step, table):
    """Add the pattern of every value to the table. / halves: [n * step] uint16, the last of each
    `step` is the pattern."""
    n = halves.shape[0] // step
    for i in range(0, n - LANES + 1, LANES):
        first = np.uint64(i * step + step - 1)
        gap = np.uint64(step)
        table[0, np.uint64(halves[first])] += 1
        table[1, np.uint64(halves[first + gap])] += 1
        table[2, np.uint64(halves[first + gap + gap])] += 1
        table[3, np.uint64(halves[first + gap + gap + gap])] += 1
    for i in range(n // LANES * LANES, n):
        table[0, np.uint64(halves[i * step + step - 1])] += 1


@compiled(fastmath=REORDER)
def sums(values):
    """Sum and sum of squares, in float64."""
    total, square_total = 0.0, 0.0
    for i in range(values.shape[0]):
        v = np.float64(values[i])
        total += v
        square_total += v * v
    return total, square_total


@compiled()
def _count_zeros(values):
    zeros = 0
    for i in range(values.shape[0]):
        zeros += values[i] == _ZERO
    return zeros


@compiled()
def _extremes(bits):
    """Largest doubled magnitude bits, and smallest nonzero ones less 2 (0 wraps around to the
    top)."""
    largest, smallest = np.uint32(0), _EVERY_BIT
    for i in range(bits.shape[0]):
        doubled = np.uint32(bits[i] << np.uint32(1))
        largest = max(largest, doubled)
        smallest = min(smallest, np.uint32(doubled - np.uint32(2)))
    return smallest, largest


@compiled()
def magnitude_range(halves):
    """Smallest but 0 and largest of 16-bit patterns without their sign; the smallest is above the
    largest where all are 0."""
    largest, smallest = np.uint16(0), np.uint16(0xFFFF)
    for i in range(halves.shape[0]):
        doubled = np.uint16(halves[i] << np.uint16(1))
        largest = max(largest, doubled)
        smallest = min(smallest, np.uint16(doubled - np.uint16(2)))
    return (np.int64(smallest) + 2) >> 1, np.int64(largest) >> 1


@compiled()
def take(table, pattern):
    """One pattern's count; empties its row."""
    count = np.int64(table[0, pattern]) + table[1, pattern] + table[2, pattern] + table[3, pattern]
    table[:, pattern] = 0
    return count


@compiled()
def _sum_lanes(table, first, last, counts):
    """Counts of the patterns first..last, lanes added up; empties those rows. / returns: how many
    are not 0."""
    occupied = np.uint32(0)
    for i in range(last + 1 - first):
        count = (
            np.uint32(table[0, first + i])
            + table[1, first + i]
            + table[2, first + i]
            + table[3, first + i]
        )
        counts[i] = count
        occupied += np.uint32(count > np.uint32(0))
    for lane in range(LANES):
        table[lane, first : last + 1] = 0
    return occupied


@compiled()
def drain(table, first, last):
    """Occupied patterns of the magnitudes first..last and their counts, ascending, and the sum of
    these; empties those rows of the table."""
    width = max(last + 1 - first, 0)
    dense = np.empty((2, width), np.uint32)
    occupied = 0
    for sign in range(2):
        occupied += _sum_lanes(
            table, sign * SIGN + first, sign * SIGN + first + width - 1, dense[sign]
        )
    patterns, counts = (
        np.empty(occupied + 1, np.uint16),
        np.empty(occupied + 1, np.int64),
    )  # one more, written and not kept
    found = total = 0
    for sign in range(2):
        for i in range(width):
            patterns[found] = sign * SIGN + first + i
            counts[found] = dense[sign, i]
            found += dense[sign, i] > 0
            total += np.int64(dense[sign, i])
    return patterns[:found], counts[:found], total


@compiled()
def _from_bits(magnitude):
    """The float32 of some bits without a sign, below those of infinity."""
    exponent, mantissa = magnitude >> 23, magnitude & 0x7FFFFF
    return (
        math.ldexp(float(mantissa | 0x800000), exponent - 150)
        if exponent
        else math.ldexp(float(mantissa), -149)
    )


@compiled()
def tally_float32(values, table):
    """Count patterns in the table and reduce, block by block, the same memory seen as float32,
    uint32 and uint16 pairs.

    table: all zero before and after. / returns: regular patterns and their counts, zeros, how many
    values are neither, sum, sum of squares, smallest nonzero and largest magnitude: (inf, 0) where
    all are 0, and of no meaning where not all are finite.
    """
    bits, halves = values.view(np.uint32), values.view(np.uint16)
    total, square_total = 0.0, 0.0
    smallest, largest = _EVERY_BIT, np.uint32(0)
    for start in range(0, values.shape[0], _BLOCK):
        stop = min(start + _BLOCK, values.shape[0])
        count_patterns(halves[2 * start : 2 * stop], 2, table)
        block_total, block_square_total = sums(values[start:stop])
        low, high = _extremes(bits[start:stop])
        total += block_total
        square_total += block_square_total
        smallest = min(smallest, low)
        largest = max(largest, high)
    low_bits, high_bits = (np.int64(smallest) + 2) >> 1, np.int64(largest) >> 1
    last = high_bits >> 16
    patterns, counts, regular = drain(table, max(low_bits >> 16, 1), min(last, _LAST_REGULAR))
    zeros = take(table, 0) + take(table, SIGN)
    if low_bits >> 16 == 0:  # tiny values lie there, too
        zeros = _count_zeros(values)
    if last >= INFINITE:
        for sign in (0, SIGN):
            table[:, sign + INFINITE : sign + SIGN] = 0
    rest = values.shape[0] - regular - zeros
    nearest, farthest = (
        (_from_bits(low_bits), _from_bits(high_bits)) if low_bits <= high_bits else (np.inf, 0.0)
    )
    return patterns, counts, zeros, rest, total, square_total, nearest, farthest


@compiled()
def finite_sums(values):
    """Sum, sum of squares, smallest nonzero and largest magnitude of the finite values alone."""
    total, square_total, smallest, largest = 0.0, 0.0, np.inf, 0.0
    for i in range(values.shape[0]):
        v = np.float64(values[i])
        if np.isfinite(v):
            total += v
            square_total += v * v
            largest = max(largest, abs(v))
            if v != 0.0:
                smallest = min(smallest, abs(v))
    return total, square_total, smallest, largest


@compiled()
def count_rare(values):
    """How many values are negative tiny, positive tiny (nonzero, below 2^-133), -infinity,
    +infinity."""
    tiny_negative = tiny_positive = minus = plus = 0
    for i in range(values.shape[0]):
        v = np.float64(values[i])
        tiny_negative += v < 0.0 and v > -(2.0**-133)
        tiny_positive += v > 0.0 and v < 2.0**-133
        minus += v == -np.inf
        plus += v == np.inf
    return tiny_negative, tiny_positive, minus, plus


@compiled()
def tally_float64(values, scale, table):
    """Count float64 values by the pattern of v = value 2^-scale, rounded toward zero, and sum the
    finite v.

    values: [n]; scale: keeps every finite |v| below 2^128. A nonzero value that falls to 0 under it
    keeps its sign and counts as tiny (pattern 0x8000 holds no zero here), and its magnitude as
    float64's smallest.
    returns: zeros, sum, sum of squares, smallest nonzero and largest magnitude.
    """
    zeros, total, square_total, smallest, largest = 0, 0.0, 0.0, np.inf, 0.0
    block = np.empty(_BLOCK)
    bits = block.view(np.uint64)
    for start in range(0, values.shape[0], _BLOCK):
        size = min(_BLOCK, values.shape[0] - start)
        for i in range(size):
            block[i] = math.ldexp(values[start + i], -scale) if scale else values[start + i]
        for i in range(size):
            v = block[i]
            magnitude = abs(v)
            if (
                2.0**-126 <= magnitude < np.inf
            ):  # the sign, 8 bits of the exponent (whose bias differs), 7 of the mantissa
                pattern = np.int64((bits[i] >> np.uint64(45)) & np.uint64(0x3FFFF)) - (896 << 7)
            elif magnitude == np.inf:
                pattern = INFINITE
            elif magnitude != magnitude:
                pattern = INFINITE + 1
            else:
                pattern = int(magnitude * 2.0**133)
            if values[start + i] < 0.0:
                pattern |= SIGN
            table[i % LANES, pattern] += 1
            if magnitude < np.inf:
                total += v
                square_total += v * v
                largest = max(largest, magnitude)
                if values[start + i] == 0.0:
                    zeros += 1
                else:
                    smallest = min(smallest, max(magnitude, LEAST))
    return zeros, total, square_total, smallest, largest
