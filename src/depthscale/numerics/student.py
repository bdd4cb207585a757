"""Student's t in the units of a normal deviate: how surely a few measurements say what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

_MANY = 1000  # degrees of freedom


def normal_deviate(t: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """The standard normal number with the tail of Student's t; t itself where there are many degrees of freedom, or none."""
    return -np.sign(t) * ndtri(stdtr(degrees, -np.abs(t))) if 0 < degrees < _MANY else t


def as_sure_as(deviate: float, degrees: float) -> float:
    """The multiple of a standard error over few measurements that is as sure as `deviate` over many: the inverse of the above."""
    return -float(stdtrit(degrees, ndtr(-deviate))) if 0 < degrees < _MANY else deviate
