"""Moments, extremes and quantiles lie within the bounds that their docstrings state."""

from fractions import Fraction
from math import ceil, inf, isnan, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from depthscale.sketch import Sketch
from sketch_reference import (
    LEAST,
    UNIT,
    Reference,
    assert_within,
    log2_of,
    of_bits,
    reference,
    root,
)
from sketch_values import any_finite_tensors, any_tensors, examples, scales

SHARES = [0.0, 1.0, 0.5, 0.25, 0.1, 0.9, 1 / 3, 0.999, 1e-9, 1 - 2.0**-53]


def read(tensor: Tensor, log2_scale: int) -> tuple[Sketch, Reference]:
    return Sketch.of(tensor, log2_scale), reference(tensor, log2_scale)


def single(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def scaling_loss(truth: Reference) -> Fraction:
    """What float64 values lose where the power of two they are divided by makes them float64's
    subnormals."""
    return LEAST * Fraction(2) ** truth.scale


@examples(150)
@given(any_finite_tensors(), scales())
def test_the_mean_is_within_its_bound(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    assert_within(
        sketch.mean(), truth.mean, sketch.count * UNIT * truth.mean_magnitude + scaling_loss(truth)
    )


@examples(150)
@given(any_finite_tensors(), scales())
def test_the_mean_square_is_within_its_bound(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    assert_within(
        sketch.mean_square(), truth.mean_square, (sketch.count + 1) * UNIT * truth.mean_square
    )


@examples(150)
@given(any_finite_tensors(), scales())
def test_the_rms_is_within_its_bound(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    rms = root(truth.mean_square)
    assert_within(sketch.rms(), rms, sketch.count * UNIT * rms)


@examples(150)
@given(any_finite_tensors(), scales())
def test_log2_of_the_mean_square_is_within_its_bound(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    if truth.mean_square:
        log2 = log2_of(truth.mean_square)
        assert_within(
            sketch.log2_mean_square(), log2, 2 * (sketch.count + 1) * UNIT + abs(log2) * UNIT
        )
    else:
        assert sketch.log2_mean_square() == -inf


@examples(150)
@given(any_finite_tensors(), scales())
def test_the_variance_is_within_its_bound(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    variance = truth.mean_square - truth.mean**2
    bound = 4 * (sketch.count + 2) * UNIT * truth.mean_square
    std = sketch.std()
    if isnan(std):
        assert not LEAST**2 + bound < variance < Fraction(2) ** 2047
    else:
        low, high = root(max(variance - bound, Fraction(0))), root(variance + bound)
        assert low * (1 - UNIT) - LEAST <= Fraction(std) <= high * (1 + UNIT) + LEAST


def test_the_mean_square_of_one_float32_is_its_rounded_square():
    assert Sketch.of(single(0.1, dtype=torch.float32)).mean_square() == float(
        Fraction(float(torch.tensor(0.1))) ** 2
    )


@pytest.mark.parametrize("log2_scale", [0, 1, -100, 3000, -3000])
def test_log2_is_exact_for_powers_of_two_at_any_scale(log2_scale: int):
    assert Sketch.of(torch.full((8,), 0.25), log2_scale).log2_mean_square() == 2 * log2_scale - 4


@pytest.mark.parametrize("log2_scale", [0, 10, -100, 127])
def test_log2_near_zero_is_not_lost_in_the_scale(log2_scale: int):
    value = single(1.1 * 2.0**-log2_scale, dtype=torch.float32)
    exact = 2 * log2_of(Fraction(float(value)) * Fraction(2) ** log2_scale)
    assert abs(Fraction(Sketch.of(value, log2_scale).log2_mean_square()) - exact) <= 4 * UNIT


@examples(150)
@given(any_tensors(), scales())
def test_the_extreme_magnitudes_are_exact(tensor: Tensor, log2_scale: int):
    sketch, truth = read(tensor, log2_scale)
    if not truth.magnitudes:
        assert isnan(sketch.min_magnitude())
        assert sketch.max_magnitude() == 0 if truth.finite else isnan(sketch.max_magnitude())
        return
    in_range = truth.magnitudes[0] >= LEAST * 2**52 * Fraction(2) ** truth.scale
    assert_within(
        sketch.min_magnitude(),
        truth.magnitudes[0],
        Fraction(0) if in_range else scaling_loss(truth),
    )
    assert_within(sketch.max_magnitude(), truth.magnitudes[-1], Fraction(0))


def test_the_smallest_magnitude_of_float64_is_not_forgotten_beside_the_largest():
    assert Sketch.of(single(1e300, 5e-324)).min_magnitude() <= 2.0**-1022 * 2.0**870
    assert Sketch.of(single(1e300, 5e-324)).min_magnitude() > 0


@examples(150)
@given(any_tensors(), scales(), st.one_of(st.sampled_from(SHARES), st.floats(0, 1)))
def test_a_quantile_is_within_its_bound(tensor: Tensor, log2_scale: int, q: float):
    sketch, truth = read(tensor, log2_scale)
    if not truth.ordered:
        assert isnan(sketch.quantile(q))
        return
    expected = truth.ordered[max(1, ceil(q * len(truth.ordered))) - 1]
    assert_within(sketch.quantile(q), expected, quantile_bound(truth, expected))


@examples(150)
@given(any_tensors(), scales(), st.one_of(st.sampled_from(SHARES), st.floats(0, 1)))
def test_a_quantile_of_magnitudes_is_within_its_bound(tensor: Tensor, log2_scale: int, q: float):
    sketch, truth = read(tensor, log2_scale)
    if not truth.magnitudes:
        assert isnan(sketch.magnitude_quantile(q))
        return
    expected = truth.magnitudes[max(1, ceil(q * len(truth.magnitudes))) - 1]
    assert_within(sketch.magnitude_quantile(q), expected, quantile_bound(truth, expected))


def quantile_bound(truth: Reference, expected: Fraction | float) -> Fraction:
    """Half a bin; nothing for zeros, infinities, and where all magnitudes are equal."""
    if isinstance(expected, float) or not expected or truth.magnitudes[0] == truth.magnitudes[-1]:
        return Fraction(0)
    return truth.bin_width(expected) / 2


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (0.0, -inf),
        (0.3, -inf),
        (0.4, -inf),
        (0.5, 0),
        (0.6, 0),
        (0.7, 3),
        (0.8, 3),
        (0.81, inf),
        (1.0, inf),
    ],
)
def test_infinities_and_zeros_keep_their_rank(q: float, expected: float):
    assert (
        Sketch.of(torch.tensor([3, -inf, 0, nan, inf, 0, -inf, 3, -inf, -inf, inf])).quantile(q)
        == expected
    )


@pytest.mark.parametrize("magnitude", [1e-45, 1e-42, 1e-40, 1.3, 3e38])
def test_the_quantiles_of_one_magnitude_are_exact(magnitude: float):
    values = torch.tensor([-magnitude, -magnitude, magnitude])
    exact = values[2].item()
    sketch = Sketch.of(values)
    assert (sketch.quantile(0.5), sketch.quantile(1), sketch.magnitude_quantile(0.5)) == (
        -exact,
        exact,
        exact,
    )


def test_quantiles_of_many_values_are_those_of_numpy_within_half_a_bin():
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(7)).exp()
    sketch, ordered = Sketch.of(values), values.double().sort().values.numpy()
    for q in (0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999):
        exact = ordered[ceil(q * len(ordered)) - 1]
        assert abs(sketch.quantile(q) - exact) <= 2.0**-8 * exact


@pytest.mark.parametrize("q", [-0.001, 1.001, nan])
def test_a_share_outside_0_and_1_is_refused(q: float):
    with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
        Sketch.of(torch.ones(2)).quantile(q)
    with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
        Sketch.of(torch.ones(2)).magnitude_quantile(q)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(0), of_bits(torch.float32, [0x7F800000, 0xFFC00000])],
    ids=["empty", "not finite"],
)
def test_without_finite_values_every_moment_is_nan(tensor: Tensor):
    sketch = Sketch.of(tensor)
    moments = (
        sketch.mean,
        sketch.mean_square,
        sketch.log2_mean_square,
        sketch.rms,
        sketch.std,
        sketch.max_magnitude,
    )
    assert all(isnan(moment()) for moment in moments)


def test_of_zeros_alone_every_moment_is_zero():
    sketch = Sketch.of(torch.zeros(5), 3000)
    assert (
        sketch.mean(),
        sketch.mean_square(),
        sketch.rms(),
        sketch.std(),
        sketch.max_magnitude(),
    ) == (0, 0, 0, 0, 0)
    assert sketch.log2_mean_square() == -inf


def test_what_float64_does_not_hold_is_nan_and_its_logarithm_is_not():
    sketch = Sketch.of(torch.ones(4), 3000)
    assert isnan(sketch.mean())
    assert isnan(sketch.rms())
    assert isnan(sketch.quantile(0.5))
    assert sketch.log2_mean_square() == 6000


def test_a_sketch_says_in_one_line_what_it_holds():
    assert repr(Sketch.of(torch.tensor([3.0, -4.0, 0.0, inf]))) == (
        "Sketch(4 values: rms 2.887, |x| 3 to 4, 1 zeros, 1 infinities)"
    )
