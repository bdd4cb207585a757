"""Underflow and overflow in narrow formats, against exact rounding, itself against torch's
casts."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import isfinite, isnan

import numpy as np
import pytest
import torch
from torch import Tensor

from depthscale.sketch import Sketch
from depthscale.sketch.formats import FORMATS
from sketch_reference import of_bits, to_bits

DTYPE = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
EXACT_LOSS_SCALES = [1.0, 2.0**-10, 1024.0, 2.0**24]
LOSS_SCALES = [*EXACT_LOSS_SCALES, 1000.0, 0.3]  # thresholds divided by the last two are rounded
SPREAD = torch.randn(1000, generator=torch.Generator().manual_seed(1)).mul(20).exp()


def rounded(x: float, number_format: str, loss_scale: float = 1.0) -> Fraction:
    """x loss_scale to the nearest number of the format, ties to even, as if its exponents had no
    upper end."""
    limits = torch.finfo(DTYPE[number_format])
    product = abs(Fraction(x) * Fraction(loss_scale))
    step = max(
        power_of_two_below(product) * Fraction(limits.eps),
        Fraction(limits.smallest_normal) * Fraction(limits.eps),
    )
    return round(product / step) * step


def power_of_two_below(x: Fraction) -> Fraction:
    if not x:
        return Fraction(0)
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    return Fraction(2) ** (exponent - (x < Fraction(2) ** exponent))


def lost(values: Tensor, number_format: str, loss_scale: float) -> list[bool]:
    """Which values become 0 in the format."""
    finite = values.isfinite() & (values != 0)
    each = zip(values.tolist(), finite.tolist(), strict=True)
    return [counts and not rounded(x, number_format, loss_scale) for x, counts in each]


def overflown(values: Tensor, number_format: str, loss_scale: float) -> list[bool]:
    """Which finite values are beyond the format's largest number."""
    largest = Fraction(torch.finfo(DTYPE[number_format]).max)
    each = zip(values.tolist(), values.isfinite().tolist(), strict=True)
    return [finite and rounded(x, number_format, loss_scale) > largest for x, finite in each]


def thresholds(number_format: str, loss_scale: float) -> tuple[float, float]:
    fmt = FORMATS[number_format]
    return fmt.largest_lost / loss_scale, fmt.largest_kept / loss_scale


def around(x: float) -> Tensor:
    """float32 values next to x, some bins to both sides, and x itself where float32 holds it."""
    middle = to_bits(torch.tensor([x], dtype=torch.float64).clamp(max=3.4e38).float())[0]
    steps = [*range(-5, 6), *(k << 12 for k in range(-60, 61))]
    bits = [min(max(middle + step, 0), 0x7F7FFFFF) for step in steps]
    return of_bits(torch.float32, bits + [b | 0x80000000 for b in bits])


@pytest.mark.parametrize("number_format", FORMATS)
def test_the_reference_rounds_as_torch_casts(number_format: str):
    values = torch.cat([around(limit) for limit in thresholds(number_format, 1.0)] + [SPREAD])
    cast = values.to(DTYPE[number_format]).double().abs()
    largest = torch.finfo(
        DTYPE[number_format]
    ).max  # torch's cast to float8_e4m3fn may stop there instead of giving NaN
    for x, there in zip(values.tolist(), cast.tolist(), strict=True):
        here = float(rounded(x, number_format))
        assert here == there if here <= largest else there == largest or not isfinite(there), x
    assert largest == torch.finfo(torch.float8_e4m3fn).max or not cast.isfinite().all()


@pytest.mark.parametrize(("number_format", "loss_scale"), list(product(FORMATS, EXACT_LOSS_SCALES)))
def test_one_magnitude_is_lost_or_kept_exactly_as_it_rounds(number_format: str, loss_scale: float):
    for threshold in thresholds(number_format, loss_scale):
        values = around(threshold)
        under, over = (
            lost(values, number_format, loss_scale),
            overflown(values, number_format, loss_scale),
        )
        for value, is_lost, is_overflown in zip(values, under, over, strict=True):
            sketch = Sketch.of(value)
            assert sketch.underflow(number_format, loss_scale) == is_lost, value.item()
            assert sketch.overflow(number_format, loss_scale) == is_overflown, value.item()


@pytest.mark.parametrize(("number_format", "loss_scale"), list(product(FORMATS, LOSS_SCALES)))
def test_shares_err_by_no_more_than_the_bin_at_the_threshold(number_format: str, loss_scale: float):
    under_at, over_at = thresholds(number_format, loss_scale)
    values = torch.cat(
        [
            around(under_at),
            around(over_at),
            SPREAD,
            torch.zeros(50),
            torch.tensor([torch.inf, torch.nan]),
        ]
    )
    sketch = Sketch.of(values)
    assert_share(
        sketch.underflow(number_format, loss_scale),
        lost(values, number_format, loss_scale),
        values,
        under_at,
    )
    assert_share(
        sketch.overflow(number_format, loss_scale),
        overflown(values, number_format, loss_scale),
        values,
        over_at,
    )


def assert_share(measured: float, exact: list[bool], values: Tensor, threshold: float) -> None:
    near = (values.double().abs() - threshold).abs() <= max(threshold / 128, 2.0**-133)
    assert abs(measured * len(values) - sum(exact)) <= int(near.sum()) + 1e-9


@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("log2_scale", [-900, -300, -40, 40, 300, 900])
def test_a_loss_scale_that_undoes_the_sketch_scale_changes_nothing(
    number_format: str, log2_scale: int
):
    values = torch.cat(
        [around(FORMATS[number_format].largest_lost), around(FORMATS[number_format].largest_kept)]
    )
    plain, scaled = Sketch.of(values), Sketch.of(values, log2_scale)
    assert scaled.underflow(number_format, 2.0**-log2_scale) == plain.underflow(number_format)
    assert scaled.overflow(number_format, 2.0**-log2_scale) == plain.overflow(number_format)


@pytest.mark.parametrize("number_format", FORMATS)
def test_far_scales_lose_or_overflow_everything(number_format: str):
    values = torch.tensor([1e-45, 1e-30, 1.0, -3e38, 0.0])
    low, high = Sketch.of(values, -3000), Sketch.of(values, 3000)
    assert (low.underflow(number_format), low.overflow(number_format)) == (0.8, 0.0)
    assert (high.underflow(number_format), high.overflow(number_format)) == (0.0, 0.8)


def test_a_huge_loss_scale_keeps_the_threshold_where_its_quotient_is_subnormal():
    value = torch.tensor([1.5 * 2.0**-58])
    loss_scale = 1.5 * 2.0**1000  # the quotient 2^-25 / loss_scale has few bits left
    assert Sketch.of(value, -967).underflow("float16", loss_scale) == 0.0
    assert Sketch.of(value * 2.0**-2, -967).underflow("float16", loss_scale) == 1.0


def test_float64_far_outside_the_format_is_judged_by_its_real_value():
    low, high = (
        torch.tensor([1e-60, 1.0, -2.0], dtype=torch.float64),
        torch.tensor([-1e60, 1.0, 1e45], dtype=torch.float64),
    )
    assert (Sketch.of(low).underflow("bfloat16"), Sketch.of(low).overflow("bfloat16")) == (
        1 / 3,
        0.0,
    )
    assert (Sketch.of(high).underflow("bfloat16"), Sketch.of(high).overflow("bfloat16")) == (
        0.0,
        2 / 3,
    )


@pytest.mark.parametrize("read", [Sketch.underflow, Sketch.overflow])
def test_an_empty_sketch_has_no_share_and_zeros_have_none_lost(
    read: Callable[[Sketch, str], float],
):
    assert isnan(read(Sketch(), "float16"))
    assert read(Sketch.of(torch.zeros(3)), "float16") == 0.0
    assert read(Sketch.of(torch.tensor([torch.nan, torch.inf])), "float16") == 0.0


@pytest.mark.parametrize("read", [Sketch.underflow, Sketch.overflow])
@pytest.mark.parametrize("loss_scale", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("tensor", [torch.ones(2), torch.zeros(2)], ids=["ones", "zeros"])
def test_a_loss_scale_that_is_not_a_positive_number_is_refused(
    read: Callable, loss_scale: float, tensor: Tensor
):
    with pytest.raises(ValueError, match="loss_scale must be a positive number"):
        read(Sketch.of(tensor), "float16", loss_scale)


def test_an_unknown_format_is_refused_with_the_choices():
    with pytest.raises(
        ValueError, match="unknown number format 'float12'; choose one of float16, bfloat16"
    ):
        Sketch.of(torch.ones(2)).underflow("float12")
