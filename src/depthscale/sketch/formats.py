"""Number formats and where rounding to nearest (ties to even) leaves their range.

Sources: IEEE 754-2019 (float16), the bfloat16 definition, and OCP 8-bit Floating Point
Specification revision 1.0 (float8).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NumberFormat:
    """largest_lost: largest magnitude that rounds to 0 (half the smallest subnormal, ties to even).

    largest_kept: largest magnitude that still rounds to a finite value, as the tie between that
    value and the next step up;
    tie_kept: whether the tie itself stays finite.
    """

    largest_lost: float
    largest_kept: float
    tie_kept: bool


FORMATS = {
    "float16": NumberFormat(2.0**-25, 65520.0, tie_kept=False),
    "bfloat16": NumberFormat(2.0**-134, (2 - 2.0**-8) * 2.0**127, tie_kept=False),
    "float8_e4m3fn": NumberFormat(2.0**-10, 464.0, tie_kept=True),
    "float8_e5m2": NumberFormat(2.0**-17, 61440.0, tie_kept=False),
}
