"""Numbers and findings in words, for a page: as many digits as the error allows."""

import re
from collections.abc import Mapping
from math import exp, floor, inf, isfinite, isinf, log, log10, sqrt
from typing import Any

from scipy.special import ndtri, stdtrit

from depthscale.errors import UnreliableGrowth
from depthscale.measure import Analysis, Factor, Growth, growth_in_words
from depthscale.network import SPEC_NORMS
from depthscale.run import Run

_FACTOR = re.compile(
    r"(?<![\w.])x(?=\d[\d.,e+-]*(\^[\d.+-]+)?([\s,;:)]|\.?$))"
)  # x1.22, but no name such as x1.weight
_LARGEST_LOG = 700.0  # of a number that float64 holds
_SURE = 0.975  # each side of a 95 % interval


def rounded(value: float, error: float = 0.0, digits: int = 5) -> str:
    """The value to two digits of its error, or to so many significant ones."""
    if not isfinite(value):
        return "∞" if value == inf else "–"
    if not 0 < error < inf:
        return f"{value:.{digits}g}"
    if not 1e-4 < abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:.{max(0, 1 - floor(log10(error)))}f}"


def with_error(value: float, error: float, digits: int = 5) -> str:
    """value ± error, the error to two digits and the value to as many places; the value alone where
    there is no error."""
    if not (0 < error < inf and isfinite(value)):
        return rounded(value, digits=digits)
    places = max(0, 1 - floor(log10(error)))
    if not 1e-4 < max(abs(value), error) < 1e6 or places > 8:
        return f"{value:.3g} ± {error:.2g}"
    return f"{value:z.{places}f} ± {error:.{places}f}"


def sentence(text: str) -> str:
    """With a capital, a full stop, and signs of multiplication where a terminal has the letter."""
    signed = _FACTOR.sub("×", text)
    return f"{signed[:1].upper()}{signed[1:]}{'' if signed.endswith('.') else '.'}"


def interval(found: Growth) -> tuple[float, float]:
    """The 95 % interval of a rate, by Student's t on its logarithm."""
    quantile = float(ndtri(_SURE) if isinf(found.degrees) else stdtrit(found.degrees, _SURE))
    reach = min(quantile * found.log_stderr, _LARGEST_LOG - abs(log(found.rate)))
    return exp(log(found.rate) - reach), exp(log(found.rate) + reach)


def between(found: Growth) -> str:
    """That interval in digits."""
    low, high = interval(found)
    return f"{rounded(low, found.stderr)} to {rounded(high, found.stderr)}"


def described(spec: Mapping[str, Any]) -> str:
    """A network in a few words."""
    if "depth" not in spec:
        return f"theory of {spec['model']}" if spec else "a graph of layers"
    batch, norm = spec["batch"], SPEC_NORMS[spec["norm"]]
    over = (
        f" over {'an endless batch' if batch in (inf, 'inf') else f'{batch} samples'}"
        if norm.mixes_samples
        else ""
    )
    frozen = (
        " whose statistics take no gradient"
        if norm.has_statistics and spec["statistics"] == "frozen"
        else ""
    )
    normalized = "without norm" if spec["norm"] == "none" else f"with {norm.name}"
    blocks = "residual blocks" if spec.get("residual") else "layers"
    widths = spec.get("widths") or (spec["width"],)
    wide = " to ".join(f"{width:,}" for width in sorted({min(widths), max(widths)}))
    return (
        f"{spec['depth']:,} {blocks} of {wide} neurons, {spec['activation']}, "
        f"{normalized}{over}{frozen}"
    )


def verdict(profile: Run, theory: Run | None) -> tuple[str, str, str]:
    """What the gradient does, in one sentence of three parts: before the number, the number, after
    it."""
    found = rate(profile)
    if isinstance(found, UnreliableGrowth):
        return (
            f"No growth rate can be given: {str(found).removeprefix('no growth rate: ')}",
            "",
            ".",
        )
    before = "Theory says that towards the input" if not profile.networks else "Towards the input"
    number = f"×{rounded(found.rate, found.stderr)} per {found.step}"
    tail = (
        _interval(found)
        + f"; ×{rounded(found.rms_rate, found.stderr / 2 / sqrt(found.rate))} in RMS"
    )
    if isfinite(found.depth_scale) and found.depth_scale < 1e4:
        tail += f", e-fold every {found.depth_scale:.3g} {found.step}s"
    predicted = rate(theory) if theory is not None and theory is not profile else None
    said = (
        f". Theory says ×{predicted.rate:.5g}{_apart(found, predicted)}."
        if isinstance(predicted, Growth)
        else "."
    )
    law = "" if isinstance(found.law, Factor) else f"; it {growth_in_words(found)}"
    return f"{before} the gradient's mean square {_does(found)} ", number, f" ({tail}{law}){said}"


def rate(profile: Run) -> Growth | UnreliableGrowth:
    """The growth, or why there is none."""
    return Analysis.of(profile).gradient


def rate_of(found: Growth | UnreliableGrowth) -> float:
    """The rate; of a refused one, the estimate."""
    known = found.estimate if isinstance(found, UnreliableGrowth) else found
    return known.rate if known is not None else float("nan")


def said_rate(found: Growth | UnreliableGrowth) -> str:
    """The rate with its error; of a refused one, the estimate."""
    if isinstance(found, Growth):
        return with_error(found.rate, found.stderr)
    return f"{rate_of(found):.3g}"


def said_interval(found: Growth | UnreliableGrowth) -> str:
    """Its interval, in brackets."""
    if isinstance(found, UnreliableGrowth):
        return " (from too few networks to give its error)"
    return f" (95 % interval {between(found)})"


def _does(found: Growth) -> str:
    if found.stderr == 0:
        return (
            "keeps its size:"
            if abs(found.rate - 1) < 1e-9
            else "grows"
            if found.rate > 1
            else "shrinks"
        )
    low, high = interval(found)
    return "grows" if low > 1 else "shrinks" if high < 1 else "keeps its size, within the error:"


def _interval(found: Growth) -> str:
    where = f"layers {found.first_layer} to {found.last_layer}"
    return f"95 % interval {between(found)}, {where}" if found.stderr else where


def _apart(found: Growth, predicted: Growth) -> str:
    """The difference in per cent, for infinite width is what theory is about."""
    relative = found.rate / predicted.rate - 1
    return (
        ", the same to within 0.1 %"
        if abs(relative) < 1e-3
        else f" at infinite width, {abs(relative):.1%} {'less' if relative > 0 else 'more'}"
    )
