"""Numbers short enough to stand at a wire or in a column."""

from math import isfinite


def short(value: float, digits: int = 4) -> str:
    """Up to so many digits and 9 characters: -0.1235, 1235, -1.234e-5."""
    if not isfinite(value):
        return str(value)
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    written = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return written if len(written) <= 9 else short(value, digits - 1)
