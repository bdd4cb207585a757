"""The gradient that a cross entropy hands back to random logits, before any run.

Logits of K classes are Gaussian and independent, as of a readout with random weights; those of two
samples are correlated. With 1 / S = int exp(-s S) ds the classes part, and every expectation is an
integral over log s of powers of Gaussian means. All integrands are smooth and vanish at both ends,
where the trapezoidal rule converges exponentially (Trefethen & Weideman 2014).
"""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

_STEP = 0.25  # of log s, and at most of a logit
_PER_SPREAD = 8  # points to one standard deviation
_REACH = 8.0  # standard deviations
_BEYOND = 30.0, 5.0  # of log s, where e^-s is 1 to rounding, and where it is 0


@dataclass(frozen=True)
class HandedBack:
    """E (p - y)(p - y)' summed over classes, p the softmax of logits, y the label.

    Attributes:
        own: of a sample with itself.
        between: of two samples with labels of their own.
    """

    own: float
    between: float


def handed_back(variance: float, correlation: float, classes: int) -> HandedBack:
    """What a cross entropy hands back to logits.

    Args:
        variance: of a logit.
        correlation: of two samples' logits of one class.
        classes: how many.
    """
    spread = sqrt(variance)
    places = np.arange(-_BEYOND[0] - _REACH * spread, _BEYOND[1] + _REACH * spread, _STEP)
    kept, exponential = _means(places, spread, 1), _means(places, spread, 0)
    squares = _means(places, spread, 2)
    own = float((squares * exponential ** (classes - 1)).sum() * _STEP)
    true = float((kept * exponential ** (classes - 1)).sum() * _STEP)  # E p: 1 / classes
    shared, weights = _normal(spread * sqrt(correlation))
    apart = spread * sqrt(1 - correlation)
    shifted = places[:, None] + shared
    one, none = _means(shifted, apart, 1), _means(shifted, apart, 0)
    both = (one * weights) @ one.T
    rest = (none * weights) @ none.T
    between = float((both * rest ** (classes - 1)).sum() * _STEP**2)
    return HandedBack(1 - 2 * true + classes * own, classes * between - 1 / classes)


def _means(places: NDArray[np.float64], spread: float, power: int) -> NDArray[np.float64]:
    """E a^power e^-a with a = s e^z, z a logit of that spread, at places log s."""
    logits, weights = _normal(spread)
    found = np.zeros_like(places)
    for z, weight in zip(logits, weights, strict=True):
        a = np.exp(np.minimum(places + z, 50.0))
        found += weight * a**power * np.exp(-a)
    return found


def _normal(spread: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of a normal variable of that spread, and their weights."""
    if spread == 0:
        return np.zeros(1), np.ones(1)
    fine = min(_STEP, spread / _PER_SPREAD)
    many = ceil(_REACH * spread / fine)
    values = fine * np.arange(-many, many + 1, dtype=np.float64)
    weights: NDArray[np.float64] = np.exp(-((values / spread) ** 2) / 2)
    return values, weights / weights.sum()
