"""How near is near: rounding by type, and the one way to compare an estimate with a number."""

import torch

RELATIVE = {torch.float64: 1e-12, torch.float32: 2e-5}  # of sums over a few thousand terms


def within(
    measured: float, expected: float, stderr: float, k: float = 4.0, bias: float = 0.0
) -> None:
    """Assert |measured - expected| <= k stderr + bias. / bias: a known allowance, not a tolerance
    to be widened."""
    distance = abs(measured - expected)
    assert stderr > 0, "an estimate without a standard error can be compared with nothing"
    assert distance <= k * stderr + bias, (
        f"{measured} lies {(distance - bias) / stderr:.1f} standard errors from {expected}"
    )


def agrees(measured: float, printed: str) -> None:
    """Assert that a number rounds to what a table prints, digit by digit."""
    digits = len(printed.partition(".")[2])
    assert (
        f"{measured:.{digits}f}" == printed if "." in printed else round(measured) == int(printed)
    ), f"{measured} is not {printed}"
