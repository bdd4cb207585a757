"""checks: what the founding argument says of each step, beside what the networks of one run show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np

from depthscale.experiments.founding import Founding
from depthscale.profile import Array, Profile, Quantity

_FAR = 3.0  # standard errors
_PER_WIDTH = 2.0  # allowance for finite width: relative, times depth / width (measured prefactors lie below 1.5)


@dataclass(frozen=True)
class Check:
    """One statement. / formula: as `report.mathml` reads it; stderr: of measured, over seeds; verdict: in a few words."""

    statement: str
    formula: str
    predicted: float
    measured: float
    stderr: float
    verdict: str


@dataclass(frozen=True)
class _Levels:
    """One network's log2 mean squares, [layers] each."""

    gradient: Array
    activation: Array
    variance: Array

    @classmethod
    def of(cls, profile: Profile, seeds: list[int] | None = None) -> "_Levels":
        """Means over those seeds, or the profile's own."""
        quantities = profile.gradient, profile.activation, profile.preactivation_batch_variance
        return cls(*(_mean(each, seeds) for each in quantities))


_Statistic = Callable[[_Levels, _Levels, _Levels], float]


def checks(found: Founding) -> Iterator[Check]:
    """The argument's steps in turn. / found: with predictions, three layers or more, and ReLU."""
    depth = found.measured[0].depth
    for statement, formula, statistic in _statements(depth, found.measured[0].loss == "shared"):
        predicted = statistic(*(_Levels.of(profile) for profile in found.predicted))
        measured = statistic(*(_Levels.of(profile) for profile in found.measured))
        stderr = _jackknife(found.measured, statistic)
        allowance = _PER_WIDTH * depth / found.measured[0].spec["width"]
        yield Check(statement, formula, predicted, measured, stderr, _verdict(predicted, measured, stderr, allowance))


def _statements(depth: int, shared: bool) -> list[tuple[str, str, _Statistic]]:
    """vanilla, batch norm, frozen statistics -> a number; p is the mean square of a gradient. / shared: one cotangent for all."""
    last = "they are large, for its gradient is the same in every sample" if shared else "they are small too"
    top, bulk = depth - 1, slice(2, depth + 1)

    def per_layer(levels: _Levels) -> float:
        return float(2.0 ** ((levels.gradient[1] - levels.gradient[top]) / (top - 1)))

    def at_top(levels: _Levels) -> float:
        return float(2.0 ** (levels.gradient[top] - levels.gradient[depth]))

    return [
        ("Without norm, matrix and ReLU undo each other", "p(x_{l-1}) / p(x_l) = 2 · frac{1}{2}", lambda v, b, f: per_layer(v)),
        (
            "After Batch Norm, ReLU keeps half of the mean square",
            "⟨x^2⟩ = frac{1}{2}",
            lambda v, b, f: float(np.exp2(b.activation[1:]).mean()),
        ),
        (
            "The batch variance of a preactivation",
            "σ^2 ≈ 2 Var(ReLU(z)) = frac{π−1}{π}",
            lambda v, b, f: float(np.exp2(b.variance[bulk]).mean()),
        ),
        (
            "Third approximation: with frozen statistics a layer multiplies by 1/σ² alone",
            "p(x_{l-1}) / p(x_l) = ⟨1 / σ^2⟩",
            lambda v, b, f: per_layer(f),
        ),
        (
            "First and second: in the bulk, the terms through σ and μ take almost nothing away",
            "frac{p_{l-1} / p_l}{⟨1 / σ^2⟩} ≈ 1",
            lambda v, b, f: per_layer(b) / per_layer(f),
        ),
        ("Together: the growth of the squared gradient per layer", "λ ≈ frac{π}{π−1}", lambda v, b, f: per_layer(b)),
        (
            f"Under the loss {last}: what they leave of the squared gradient in the last layer",
            "1 − ρ_μ − ρ_σ",
            lambda v, b, f: at_top(b) / at_top(f),
        ),
        (
            "The first layer sees inputs of variance 1, not a centred ReLU's",
            "p(x_0) / p(x_1) = λ σ^2 / σ_1^2",
            lambda v, b, f: float(2.0 ** (b.gradient[0] - b.gradient[1])),
        ),
    ]


def _mean(quantity: Quantity, seeds: list[int] | None) -> Array:
    if seeds is None or quantity.log2_samples is None:
        return quantity.log2_mean_square
    return Quantity.over_seeds(quantity.log2_samples[seeds]).log2_mean_square


def _jackknife(measured: tuple[Profile, ...], statistic: _Statistic) -> float:
    """Standard error of a statistic of means over seeds, the networks being paired: each seed left out in turn."""
    seeds = measured[0].seeds
    if seeds < 2:
        return nan
    all_but = [[other for other in range(seeds) if other != s] for s in range(seeds)]
    values = np.array([statistic(*(_Levels.of(profile, kept) for profile in measured)) for kept in all_but])
    return float(sqrt(seeds - 1) * values.std())


def _verdict(predicted: float, measured: float, stderr: float, allowance: float) -> str:
    if not (isfinite(predicted) and isfinite(measured) and stderr > 0):
        return "not tested: one seed" if isfinite(measured) else "no number"
    apart, relative = abs(measured - predicted) / stderr, abs(measured / predicted - 1)
    if apart <= _FAR:
        return "holds"
    return f"holds to {relative:.1%}, as finite width allows" if relative <= allowance else f"off by {relative:.1%}"
