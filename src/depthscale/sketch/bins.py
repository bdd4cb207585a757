"""The bins of a sketch: the 65,536 patterns of a float32's top 16 bits, and where each one lies.

A pattern is a sign, 8 bits of exponent and 7 of mantissa. Counting patterns is a histogram over
every magnitude from 2^-149 to 2^128 whose bins are at most 2^-7 (0.8 %) of their lower edge wide;
below 2^-126 (subnormals) they are 2^-133 wide. Patterns 0x0000 and 0x8000 hold zeros and the "tiny"
values below 2^-133; 0x7F80 and 0xFF80 hold infinities and some NaNs. Those four are told apart by
counters of their own, so a *regular* pattern is any other finite one.
"""

import numpy as np
from numpy.typing import NDArray

PATTERNS = 1 << 16
SIGN = 0x8000  # the sign bit of a pattern
INFINITE = 0x7F80  # the magnitude pattern of infinity; those above it are NaNs
PER_OCTAVE = 128  # bins between two powers of two
FIRST_NORMAL = 0x0080  # the magnitude pattern of 2^-126; those below it are subnormal
TINY = 2.0**-133  # upper edge of the pattern that zeros share
LEAST = 2.0**-1074  # float64's smallest magnitude: a nonzero value scaled below it is taken as this
RELATIVE_WIDTH = 2.0**-7  # of a normal bin, against its lower edge


def _edges() -> NDArray[np.float64]:
    bits = np.arange(INFINITE + 1, dtype=np.uint32) << 16
    edges = bits.view(np.float32).astype(np.float64)
    edges[-1] = 2.0**128
    return edges


EDGES = _edges()  # EDGES[p], EDGES[p + 1]: the magnitudes that pattern p holds, lower edge included


def lower_edge(patterns: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Smallest magnitude of each pattern's bin. / patterns: finite ones, any sign."""
    return EDGES[patterns & (SIGN - 1)]


def upper_edge(patterns: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Magnitude at which each pattern's bin ends (not itself in it). / patterns: finite ones, any
    sign."""
    return EDGES[(patterns & (SIGN - 1)) + 1]


def divide_by_power_of_two(patterns: NDArray[np.uint16], power: int) -> NDArray[np.uint16]:
    """Pattern of x 2^-power of the values x of each pattern, rounded toward zero. / power: >= 0;
    0x0000, 0x8000 mean tiny."""
    magnitude = (patterns & (SIGN - 1)).astype(np.int64)
    exponent = np.maximum(
        magnitude // PER_OCTAVE, 1
    )  # subnormals count in units of the first normal octave
    mantissa = magnitude - (exponent - 1) * PER_OCTAVE  # hidden bit included
    shift = np.minimum(np.maximum(power - (exponent - 1), 0), 62)
    moved = np.maximum(exponent - 1 - power, 0) * PER_OCTAVE + (mantissa >> shift)
    return (moved | (patterns & SIGN)).astype(np.uint16)
