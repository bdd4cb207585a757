"""What a sketch must say, worked out slowly and exactly: struct for the bits, whole numbers and
fractions for the sums."""

import struct
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from math import frexp, inf, isfinite, isnan, isqrt

import torch
from torch import Tensor

from depthscale.sketch import Sketch
from depthscale.sketch.tally import Tally

BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
DTYPES = tuple(BITS)
WIDTH = {dtype: torch.finfo(dtype).bits for dtype in DTYPES}
UNIT = Fraction(1, 2**53)  # relative rounding of one float64 operation
LEAST = Fraction(1, 2**1074)
GREATEST = Fraction(2) ** 1024


def of_bits(dtype: torch.dtype, patterns: list[int]) -> Tensor:
    """The tensor whose elements have these bits, payloads of NaNs included."""
    half = 1 << (WIDTH[dtype] - 1)
    return torch.tensor(
        [p - 2 * half if p >= half else p for p in patterns], dtype=BITS[dtype]
    ).view(dtype)


def to_bits(tensor: Tensor) -> list[int]:
    """The bits of every element, as numbers from 0."""
    mask = (1 << WIDTH[tensor.dtype]) - 1
    return [
        b & mask for b in tensor.detach().contiguous().reshape(-1).view(BITS[tensor.dtype]).tolist()
    ]


def value_of(dtype: torch.dtype, bits: int) -> float:
    """The number that a pattern of bits means."""
    match dtype:
        case torch.float16:
            return struct.unpack("<e", bits.to_bytes(2, "little"))[0]
        case torch.bfloat16:
            return struct.unpack("<f", (bits << 16).to_bytes(4, "little"))[0]
        case torch.float32:
            return struct.unpack("<f", bits.to_bytes(4, "little"))[0]
        case _:
            return struct.unpack("<d", bits.to_bytes(8, "little"))[0]


def values_of(tensor: Tensor) -> list[float]:
    return [value_of(tensor.dtype, bits) for bits in to_bits(tensor)]


def pattern_of(x: float, power: int) -> int:
    """Top 16 bits of x 2^power as a float32, rounded toward zero; x is finite. All in whole
    numbers."""
    sign = 0x8000 if x < 0 else 0
    significand, exponent = frexp(abs(x))  # 2^-1 <= significand < 1
    exponent += power
    if exponent <= -126:  # below 2^-126: units of 2^-133
        return sign | floor_times_two_to(int(significand * 2**53), exponent - 53 + 133)
    return sign | ((exponent + 126 - 1) << 7) + int(significand * 2**53) // 2**45


def floor_times_two_to(whole: int, power: int) -> int:
    return whole << power if power >= 0 else whole >> -power


@dataclass
class Reference:
    """Every number that a sketch gives, exactly. / values: (v, power) for v 2^power; the bins hold
    v 2^(power - scale)."""

    values: list[tuple[float, int]]
    scale: int
    bins: Counter[int] = field(default_factory=Counter)
    zeros: int = 0
    minus: int = 0
    plus: int = 0
    nans: int = 0
    tiny_negative: int = 0
    tiny_positive: int = 0

    def __post_init__(self):
        for x, power in self.values:
            self._count(x, power - self.scale)

    def _count(self, x: float, power: int) -> None:
        if isnan(x):
            self.nans += 1
        elif x in (inf, -inf):
            self.plus += x > 0
            self.minus += x < 0
        elif x == 0:
            self.zeros += 1
        elif (pattern := pattern_of(x, power)) & 0x7FFF:
            self.bins[pattern] += 1
        else:
            self.tiny_negative += x < 0
            self.tiny_positive += x > 0

    @property
    def finite(self) -> list[Fraction]:
        """The finite values, exactly."""
        return [Fraction(x) * Fraction(2) ** power for x, power in self.values if isfinite(x)]

    @cached_property
    def ordered(self) -> list[Fraction | float]:
        """All values but the NaNs, ascending."""
        return [-inf] * self.minus + sorted(self.finite) + [inf] * self.plus

    @cached_property
    def magnitudes(self) -> list[Fraction]:
        """The nonzero finite magnitudes, ascending."""
        return sorted(abs(x) for x in self.finite if x)

    @property
    def mean(self) -> Fraction:
        return sum(self.finite, Fraction(0)) / len(self.finite)

    @property
    def mean_magnitude(self) -> Fraction:
        return sum(self.magnitudes, Fraction(0)) / len(self.finite)

    @property
    def mean_square(self) -> Fraction:
        return sum((x * x for x in self.finite), Fraction(0)) / len(self.finite)

    @property
    def finest(self) -> Fraction:
        """Width of the sketch's narrowest bins, below which it tells nothing apart."""
        return Fraction(1, 2**133) * Fraction(2) ** self.scale

    def bin_width(self, x: Fraction | int) -> Fraction:
        """More than one bin, as the readings' bounds have it."""
        return max(abs(Fraction(x)) / 128, self.finest)


def scale_for(tensor: Tensor) -> int:
    """The power of two by which float64 is divided: 0 if float32 holds all as normal, else the
    largest -> [2^126, 2^127)."""
    magnitudes = [abs(x) for x in values_of(tensor) if isfinite(x) and x]
    if tensor.dtype is not torch.float64 or not magnitudes:
        return 0
    if min(magnitudes) >= 2.0**-126 and max(magnitudes) < 2.0**128:
        return 0
    return frexp(max(magnitudes))[1] - 127


def reference(tensor: Tensor, log2_scale: int = 0) -> Reference:
    """What Sketch.of(tensor, log2_scale) must hold."""
    values = values_of(tensor)
    has_scale = any(isfinite(x) and x for x in values)
    return Reference(
        [(x, log2_scale) for x in values], scale_for(tensor) + log2_scale if has_scale else 0
    )


def everything_counted(tally: Tally) -> dict[str, object]:
    """All of a tally that is exact."""
    return {
        "bins": dict(zip(tally.patterns.tolist(), tally.counts.tolist(), strict=True)),
        "zeros": tally.zeros,
        "tiny": tally.tiny,
        "infinities": tally.infinities,
        "nans": tally.nans,
        "log2_scale": tally.log2_scale,
    }


def everything(tally: Tally) -> dict[str, object]:
    """All fields of a tally."""
    sums = {name: getattr(tally, name) for name in ("total", "square_total", "smallest", "largest")}
    return everything_counted(tally) | sums


def assert_counts(sketch: Sketch, truth: Reference) -> None:
    """Every counter, and the bin of every value."""
    assert everything_counted(sketch.tally) == {
        "bins": dict(truth.bins),
        "zeros": truth.zeros,
        "tiny": (truth.tiny_negative, truth.tiny_positive),
        "infinities": (truth.minus, truth.plus),
        "nans": truth.nans,
        "log2_scale": truth.scale,
    }
    below_normal = sum(n for pattern, n in truth.bins.items() if pattern & 0x7FFF < 0x80)
    assert sketch.count == len(truth.values)
    assert sketch.finite == len(truth.finite)
    assert sketch.zeros == truth.zeros
    assert sketch.infs == truth.minus + truth.plus
    assert sketch.nans == truth.nans
    assert sketch.subnormals == truth.tiny_negative + truth.tiny_positive + below_normal
    assert (sketch.tally.patterns[1:] > sketch.tally.patterns[:-1]).all()


def assert_within(measured: float, truth: Fraction | float, bound: Fraction) -> None:
    """|measured - truth| <= bound, but for float64's own subnormals; nan only where float64 does
    not hold the truth."""
    if isinstance(truth, float):
        assert measured == truth
    elif isnan(measured):
        assert not LEAST + bound < abs(truth) < GREATEST - bound
    else:
        assert isfinite(measured)
        assert abs(Fraction(measured) - truth) <= bound + LEAST / 2


def root(square: Fraction) -> Fraction:
    """Square root to 200 bits."""
    shift = 2 * max(0, 200 - square.numerator.bit_length() + square.denominator.bit_length())
    return Fraction(isqrt((square.numerator << shift) // square.denominator), 1 << shift // 2)


def log2_of(x: Fraction) -> Fraction:
    """log2 to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(((Decimal(x.numerator) / Decimal(x.denominator)).ln()) / Decimal(2).ln())
