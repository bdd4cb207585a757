"""Counts are exact: for every pattern of 16 bits, for those that zeros and infinities share, for
float64 of any range."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depthscale.sketch import Sketch
from sketch_reference import DTYPES, assert_counts, of_bits, pattern_of, reference
from sketch_values import FLOAT32_NANS, FLOAT32_TURNS, TURNS, examples, scales, tensors

SHARED = (
    0x0000,
    0x8000,
    0x7F80,
    0xFF80,
)  # patterns of zeros and tiny values, of infinities and NaNs
LOW_HALVES = (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@examples(150)
@given(data=st.data())
def test_every_value_is_counted_in_its_bin(dtype: torch.dtype, data: st.DataObject):
    tensor, log2_scale = data.draw(tensors(dtype)), data.draw(scales())
    assert_counts(Sketch.of(tensor, log2_scale), reference(tensor, log2_scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_all_65536_patterns_of_16_bits_are_counted_at_once(dtype: torch.dtype):
    tensor = of_bits(dtype, list(range(1 << 16)))
    assert_counts(Sketch.of(tensor), reference(tensor))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_turning_point_is_counted_alone(dtype: torch.dtype):
    for bits in TURNS[dtype]:
        for tensor in (of_bits(dtype, [bits]), -of_bits(dtype, [bits])):
            assert_counts(Sketch.of(tensor), reference(tensor))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_turning_points_are_counted_together(dtype: torch.dtype):
    tensor = of_bits(dtype, TURNS[dtype])
    tensor = torch.cat([tensor, -tensor])
    assert_counts(Sketch.of(tensor), reference(tensor))


def test_float64_below_the_normal_range_of_float32_is_rounded_toward_zero():
    steps = torch.tensor(
        [0.25, 0.5, 0.999, 1.0, 1.5, 1.999, 2.0, 126.7, 127.5, 127.999, 128.0, 128.99],
        dtype=torch.float64,
    )
    tensor = torch.cat(
        [steps * 2.0**-133, -steps * 2.0**-133, torch.tensor([2.0**126], dtype=torch.float64)]
    )
    assert Sketch.of(tensor).log2_scale == 0
    assert_counts(Sketch.of(tensor), reference(tensor))


def test_values_that_share_a_pattern_are_told_apart():
    tensor = of_bits(
        torch.float32,
        [shared << 16 | low for shared in SHARED for low in LOW_HALVES for _ in range(low % 7 + 1)],
    )
    sketch = Sketch.of(tensor)
    assert (sketch.zeros, sketch.infs) == (2, 2)
    assert_counts(sketch, reference(tensor))


@pytest.mark.parametrize("shared", SHARED, ids=hex)
@pytest.mark.parametrize("low", LOW_HALVES, ids=hex)
def test_one_shared_pattern_alone_is_counted(shared: int, low: int):
    tensor = of_bits(torch.float32, [shared << 16 | low] * 5)
    assert_counts(Sketch.of(tensor), reference(tensor))


@pytest.mark.parametrize("fill", FLOAT32_TURNS + FLOAT32_NANS, ids=hex)
def test_a_rare_value_among_many_equal_ones_is_found_in_every_lane(fill: int):
    for length in (511, 512, 513, 1029):
        bits = [fill] * length
        bits[-1], bits[length // 2], bits[1] = 0x7F800001, 0x00000001, 0xFF800000
        tensor = of_bits(torch.float32, bits)
        assert_counts(Sketch.of(tensor), reference(tensor))


@pytest.mark.parametrize("seed", range(3))
def test_random_bits_are_counted_as_numpy_counts_them(seed: int):
    bits = np.random.default_rng(seed).integers(0, 1 << 32, 100_003, dtype=np.uint32)
    values = bits.view(np.float32)
    regular = np.bincount(bits >> 16, minlength=1 << 16)
    regular[[0x0000, 0x8000]] = regular[0x7F80:0x8000] = regular[0xFF80:] = 0
    tally = Sketch.of(torch.from_numpy(values)).tally
    assert tally.patterns.tolist() == regular.nonzero()[0].tolist()
    assert tally.counts.tolist() == regular[regular > 0].tolist()
    assert tally.nans == np.isnan(values).sum()
    assert tally.count == len(values)


def test_a_table_is_left_empty_for_the_next_tensor():
    wide = of_bits(
        torch.float32,
        [0x00000001, 0x80000001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7FC00000, 0xFFFFFFFF, 0x3F800000],
    )
    for tensor in (
        wide,
        torch.ones(3),
        wide.double(),
        torch.ones(3),
        wide.bfloat16(),
        torch.ones(3),
    ):
        assert_counts(Sketch.of(tensor), reference(tensor))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([2.0**-126, 2.0**127], 0),
        ([1.0, 2.0**128], 2),
        ([1.0, 2.0**-127], -126),
        ([5e-324], -1200),
        ([1.7e308, 5e-324], 897),
        ([float("inf"), 0.0, float("nan")], 0),
    ],
)
def test_float64_is_scaled_only_where_float32_does_not_hold_it(values: list[float], scale: int):
    assert Sketch.of(torch.tensor(values, dtype=torch.float64)).log2_scale == scale


def test_a_signalling_nan_of_float64_is_counted_without_a_warning():
    tensor = of_bits(torch.float64, [0x7FF0000000000001, 0xFFF0000000000001, 0x7FE0000000000000])
    assert Sketch.of(tensor).nans == 2


@pytest.mark.parametrize(
    "tensor", [torch.zeros(0), torch.zeros(3, 0, 2).double(), torch.zeros(0).half()], ids=str
)
def test_an_empty_tensor_gives_an_empty_sketch(tensor: Tensor):
    sketch = Sketch.of(tensor, 5)
    assert (sketch.count, sketch.log2_scale, repr(sketch)) == (0, 0, "Sketch(empty)")


def test_the_reference_itself_takes_the_top_16_bits():
    for bits in [*FLOAT32_TURNS, 0x00012345, 0x12345678, 0x7F7FFFFF]:
        if 0x10000 <= bits < 0x7F800000:
            value = float(np.uint32(bits).view(np.float32))
            assert (pattern_of(value, 0), pattern_of(-value, 0)) == (
                bits >> 16,
                bits >> 16 | 0x8000,
            )
