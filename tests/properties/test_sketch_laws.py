"""Laws of sketches: a + b has seen the values of both, in any order, under any scales."""

from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depthscale.sketch import Sketch
from depthscale.sketch.bins import divide_by_power_of_two
from sketch_reference import (
    DTYPES,
    LEAST,
    UNIT,
    Reference,
    assert_counts,
    assert_within,
    everything,
    everything_counted,
    pattern_of,
    reference,
)
from sketch_values import any_tensors, examples, scales, tensors

PARTS = st.lists(st.tuples(any_tensors(15), scales()), min_size=1, max_size=4)
SKETCHES = st.builds(Sketch.of, any_tensors(15), scales())


def together(parts: list[tuple[Tensor, int]]) -> Reference:
    """What the sum of the parts' sketches must hold: all values, under the largest of their
    scales."""
    each = [reference(tensor, log2_scale) for tensor, log2_scale in parts]
    scale = max((part.scale for part in each if part.magnitudes), default=0)
    return Reference([value for part in each for value in part.values], scale)


@examples(100)
@given(PARTS)
def test_a_sum_counts_the_values_of_all_its_parts(parts: list[tuple[Tensor, int]]):
    assert_counts(reduce(add, [Sketch.of(*part) for part in parts]), together(parts))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@examples(100)
@given(data=st.data())
def test_a_sum_counts_as_the_concatenation_does(dtype: torch.dtype, data: st.DataObject):
    a, b = data.draw(tensors(dtype)), data.draw(tensors(dtype))
    merged, whole = Sketch.of(a) + Sketch.of(b), Sketch.of(torch.cat([a, b]))
    for name in ("count", "finite", "zeros", "infs", "nans"):
        assert getattr(merged, name) == getattr(whole, name)
    if merged.log2_scale == whole.log2_scale:
        assert everything_counted(merged.tally) == everything_counted(whole.tally)


@examples(100)
@given(PARTS)
def test_sums_keep_the_moments_within_their_bounds(parts: list[tuple[Tensor, int]]):
    sketch, truth = reduce(add, [Sketch.of(*part) for part in parts]), together(parts)
    if not truth.finite:
        return
    shift_loss = len(parts) * LEAST * 2 ** sketch.count.bit_length() * Fraction(2) ** truth.scale
    assert_within(
        sketch.mean(), truth.mean, sketch.count * UNIT * truth.mean_magnitude + shift_loss
    )
    assert_within(
        sketch.mean_square(), truth.mean_square, (sketch.count + 1) * UNIT * truth.mean_square
    )


@examples(100)
@given(PARTS)
def test_sums_keep_the_extremes(parts: list[tuple[Tensor, int]]):
    sketch, truth = reduce(add, [Sketch.of(*part) for part in parts]), together(parts)
    if truth.magnitudes:
        loss = 2 * LEAST * Fraction(2) ** truth.scale
        assert_within(sketch.min_magnitude(), truth.magnitudes[0], loss)
        assert_within(sketch.max_magnitude(), truth.magnitudes[-1], Fraction(0))
        assert sketch.min_magnitude() != 0


@examples(100)
@given(PARTS, st.floats(0, 1))
def test_sums_keep_the_quantiles_within_their_bounds(parts: list[tuple[Tensor, int]], q: float):
    sketch, truth = reduce(add, [Sketch.of(*part) for part in parts]), together(parts)
    if truth.ordered:
        expected = truth.ordered[max(1, int(np.ceil(q * len(truth.ordered)))) - 1]
        bound = (
            Fraction(0)
            if isinstance(expected, float) or not expected
            else truth.bin_width(expected) / 2
        )
        assert_within(sketch.quantile(q), expected, bound)


@examples(100)
@given(SKETCHES, SKETCHES)
def test_addition_is_commutative(a: Sketch, b: Sketch):
    assert everything((a + b).tally) == everything((b + a).tally)


@examples(100)
@given(SKETCHES, SKETCHES, SKETCHES)
def test_addition_is_associative_for_counts(a: Sketch, b: Sketch, c: Sketch):
    assert everything_counted(((a + b) + c).tally) == everything_counted((a + (b + c)).tally)


@examples(80)
@given(SKETCHES)
def test_an_empty_sketch_adds_nothing(a: Sketch):
    assert (
        everything((a + Sketch()).tally) == everything((Sketch() + a).tally) == everything(a.tally)
    )


@examples(80)
@given(SKETCHES, st.integers(1, 50))
def test_zeros_add_only_zeros_whatever_their_scale(a: Sketch, n: int):
    zeros = Sketch.of(torch.zeros(n), 3000)
    merged = a + zeros
    assert everything_counted(merged.tally) == everything_counted(a.tally) | {"zeros": a.zeros + n}
    assert everything((zeros + a).tally) == everything(merged.tally)


@examples(100)
@given(st.lists(SKETCHES, min_size=1, max_size=6))
def test_the_builtin_sum_adds_sketches(sketches: list[Sketch]):
    assert everything(sum(sketches, start=Sketch()).tally) == everything(
        reduce(add, sketches).tally
    )
    total = sum(sketches)
    assert isinstance(total, Sketch)
    assert everything_counted(total.tally) == everything_counted(reduce(add, sketches).tally)


@examples(80)
@given(SKETCHES, SKETCHES)
def test_addition_leaves_its_terms_as_they_were(a: Sketch, b: Sketch):
    before = everything(a.tally), everything(b.tally)
    _ = a + b
    assert (everything(a.tally), everything(b.tally)) == before


@examples(80)
@given(any_tensors(), scales(), st.integers(-2000, 2000))
def test_a_scale_moves_no_count(tensor: Tensor, log2_scale: int, by: int):
    a, b = Sketch.of(tensor, log2_scale).tally, Sketch.of(tensor, log2_scale + by).tally
    moved = everything(a) | {"log2_scale": a.log2_scale + by if a.nonzero else 0}
    assert everything(b) == moved


@pytest.mark.parametrize("power", [*range(0, 12), 100, 125, 126, 133, 253, 254, 260, 400, 4000])
def test_every_bin_is_divided_by_a_power_of_two_as_its_values_are(power: int):
    patterns = np.array([s | p for s in (0, 0x8000) for p in range(1, 0x7F80)], np.uint16)
    values = (patterns.astype(np.uint32) << 16).view(np.float32).tolist()
    expected = [pattern_of(value, -power) for value in values]
    assert divide_by_power_of_two(patterns, power).tolist() == expected
