"""Tensors meant to break a sketch: hypothesis draws their bits, so that every NaN and every edge of
a bin can come up."""

import os
from collections.abc import Callable
from fractions import Fraction

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from sketch_reference import DTYPES, WIDTH, of_bits, to_bits

ROAM = bool(os.environ.get("DEPTHSCALE_ROAM"))  # new examples at every run, and many more of them


def examples(n: int) -> Callable:
    """How many drawn tensors a test sees."""
    return settings(
        max_examples=20 * n if ROAM else n, derandomize=not ROAM, deadline=None, database=None
    )


# The bits where float32 patterns change their meaning, and their neighbours on both sides.
FLOAT32_TURNS = [
    0x0,
    0x8000,
    0xFFFF,
    0x10000,
    0x10001,
    0x7FFFFF,
    0x800000,
    0x3F7FFFFF,
    0x3F800000,
    0x3F80FFFF,
    0x3F810000,
]
FLOAT32_TURNS += [0x1, 0x7F7EFFFF, 0x7F7F0000, 0x7F7FFFFF, 0x7F800000]
FLOAT32_NANS = [
    0x7F800001,
    0x7F80FFFF,
    0x7F808000,
    0x7F810000,
    0x7FBFFFFF,
    0x7FC00000,
    0x7FC00001,
    0x7FFFFFFF,
]
FLOAT16_TURNS = [
    0x0,
    0x1,
    0x2,
    0x3FF,
    0x400,
    0x401,
    0x3BFF,
    0x3C00,
    0x3C07,
    0x3C08,
    0x7BFF,
    0x7C00,
    0x7C01,
    0x7DFF,
    0x7E00,
    0x7FFF,
]
BFLOAT16_TURNS = [
    0x0,
    0x1,
    0x2,
    0x7F,
    0x80,
    0x81,
    0x3F7F,
    0x3F80,
    0x7F7F,
    0x7F80,
    0x7F81,
    0x7FBF,
    0x7FC0,
    0x7FFF,
]
FLOAT64_NANS = [
    0x7FF0000000000001,
    0x7FF000000000FFFF,
    0x7FF7FFFFFFFFFFFF,
    0x7FF8000000000000,
    0x7FFFFFFFFFFFFFFF,
]


def float64_bits(x: float) -> int:
    return to_bits(torch.tensor([x], dtype=torch.float64))[0]


def _around(x: float) -> list[int]:
    bits = float64_bits(x)
    return [max(bits - 1, 0), bits, bits + 1]


# Ends of float64 and of float32, the tiny bin, a bin's edge.
FLOAT64_TURNS = [
    bits
    for power in (-1074, -1022, -149, -134, -133, -126, 0, 126, 127, 1023)
    for bits in _around(2.0**power)
]
FLOAT64_TURNS += [
    0,
    *_around(float(2**128 - 2**104)),
    *_around(2.0**128),
    *_around(1 + 2.0**-7),
    0x7FEFFFFFFFFFFFFF,
    0x7FF0000000000000,
]

TURNS = {
    torch.float16: FLOAT16_TURNS,
    torch.bfloat16: BFLOAT16_TURNS,
    torch.float32: FLOAT32_TURNS + FLOAT32_NANS,
    torch.float64: FLOAT64_TURNS + FLOAT64_NANS,
}


def _signed(dtype: torch.dtype, magnitudes: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    return st.builds(
        lambda magnitude, negative: magnitude | negative << (WIDTH[dtype] - 1),
        magnitudes,
        st.integers(0, 1),
    )


def _decades(dtype: torch.dtype, span: int) -> st.SearchStrategy[int]:
    """Values spread evenly over 2 span powers of ten."""

    def bits(power: float, leading: float) -> int:
        return to_bits(torch.tensor([leading * 10.0**power], dtype=torch.float64).to(dtype))[0]

    return st.builds(bits, st.floats(-span, span), st.floats(1, 10, exclude_max=True))


def element_bits(dtype: torch.dtype) -> st.SearchStrategy[int]:
    """Bits of one value: any at all, a turning point, or a number of ordinary kinds."""
    anything = st.integers(0, (1 << (WIDTH[dtype] - 1)) - 1)
    kinds = [anything, st.sampled_from(TURNS[dtype]), _decades(dtype, 30), _decades(dtype, 3)]
    if dtype is torch.float64:
        kinds.append(_decades(dtype, 300))
    return _signed(dtype, st.one_of(kinds))


def tensors(dtype: torch.dtype, max_size: int = 40) -> st.SearchStrategy[Tensor]:
    """Tensors of mixed, of equal and of lopsided values (one among many of another)."""
    one = element_bits(dtype)
    mixed = st.lists(one, max_size=max_size)
    equal = st.builds(lambda bits, n: [bits] * n, one, st.integers(1, max_size))
    lopsided = st.builds(
        lambda few, many, n: [*few, *[many] * n],
        st.lists(one, min_size=1, max_size=2),
        one,
        st.integers(1, max_size),
    )
    return st.builds(of_bits, st.just(dtype), st.one_of(mixed, equal, lopsided))


def finite_tensors(dtype: torch.dtype, max_size: int = 40) -> st.SearchStrategy[Tensor]:
    """As `tensors`, at least one value of each finite."""
    return tensors(dtype, max_size).filter(lambda tensor: bool(tensor.isfinite().any()))


def any_tensors(max_size: int = 40) -> st.SearchStrategy[Tensor]:
    return st.sampled_from(DTYPES).flatmap(lambda dtype: tensors(dtype, max_size))


def any_finite_tensors(max_size: int = 40) -> st.SearchStrategy[Tensor]:
    return st.sampled_from(DTYPES).flatmap(lambda dtype: finite_tensors(dtype, max_size))


def scales() -> st.SearchStrategy[int]:
    """log2_scale: mostly small, at times far outside float64."""
    return st.one_of(
        st.just(0), st.integers(-40, 40), st.integers(-1200, 1200), st.sampled_from([-3000, 3000])
    )


def edges_near(values: list[Fraction]) -> st.SearchStrategy[list[float]]:
    """Edges for a histogram: values themselves and their neighbours, edges of bins, powers of ten,
    infinities."""
    held = sorted({float(v) for v in values if abs(v) < Fraction(2) ** 1023})
    own = st.sampled_from(held) if held else st.just(1.0)
    near = st.builds(
        lambda v, by: v * by,
        own,
        st.sampled_from([1 - 2.0**-7, 1 - 2.0**-20, 1 + 2.0**-20, 1 + 2.0**-7, 0.5, 2.0]),
    )
    binned = st.builds(
        lambda p, m, sign: sign * (1 + m / 128) * 2.0**p,
        st.integers(-140, 127),
        st.integers(0, 127),
        st.sampled_from([-1, 1]),
    )
    spread = st.builds(lambda p, sign: sign * 10.0**p, st.floats(-60, 60), st.sampled_from([-1, 1]))
    others = st.sampled_from([0.0, float("inf"), float("-inf"), 1.7e308, -1.7e308, 5e-324])
    return st.lists(
        st.one_of(own, near, binned, spread, others), min_size=2, max_size=8, unique=True
    ).map(sorted)
