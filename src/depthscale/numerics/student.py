"""Student's t in the units of a normal deviate: how surely a few measurements say what they say."""

from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, hyp2f1, ndtr, ndtri, ndtri_exp, stdtr, stdtrit

_MANY = 1000  # degrees of freedom
_LEAST = 1e-300  # of a chance that float64 holds well


def normal_deviate(t: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """The standard normal number with the tail of Student's t; t itself where there are many
    degrees of freedom, or none."""
    if not 0 < degrees < _MANY:
        return t
    tail = stdtr(degrees, -np.abs(t))
    deviate, far = -ndtri(tail), np.isfinite(t) & (tail < _LEAST)
    if np.any(far):
        deviate = np.where(
            far, -ndtri_exp(_log_tail(np.where(far, np.abs(t), 1.0), degrees)), deviate
        )
    return np.sign(t) * deviate


def _log_tail(t: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """log of the chance of -t or less, t > 0, also where float64 does not hold the chance. /
    source: DLMF 8.17.8."""
    a, b = degrees / 2, 0.5
    ratio = degrees * t**-2.0
    x, log_x = ratio / (1 + ratio), log(degrees) - 2 * np.log(t) - np.log1p(ratio)
    return (
        a * log_x
        - b * np.log1p(ratio)
        - log(2 * a)
        - betaln(a, b)
        + np.log(hyp2f1(a + b, 1, a + 1, x))
    )


def as_sure_as(deviate: float, degrees: float) -> float:
    """The multiple of a standard error over few measurements that is as sure as `deviate` over
    many: the inverse of the above."""
    return -float(stdtrit(degrees, ndtr(-deviate))) if 0 < degrees < _MANY else deviate
