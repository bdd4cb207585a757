"""The law of a softmax over independent Gaussian logits, of any variance and over any number.

With X the sum of t terms e^z, 1 / X^n is the integral of u^(n-1) e^(-u X) / (n-1)! over u, under
which the terms part: E sum a^2 = t int u L_2(u) L_0(u)^(t-1) du, L_k(u) = E e^(k z - u e^z). Both
integrals are over grids that hold all but 1e-14 of a standard normal's mass, so that what is lost
of averages between 0 and 1 is less than t 1e-14. It is the random energy model at a finite size
(Derrida 1981), which freezes where the variance is some 2 ln t.
"""

from functools import lru_cache
from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_TAIL = 8.0  # standard deviations of the logits that are integrated over
_STEP = 0.1  # of both grids, in the logarithm
_BELOW, _ABOVE = 15.0, 4.0  # how far u goes beyond 1 / X: e^-2x and e^-e^x are what is lost
_ALL = 64  # rows of a causal softmax that are each computed; of more, about so many


class SoftmaxRow(NamedTuple):
    """Of weights a = softmax(logits) in one row.

    Args:
        square: E sum a^2: 1 / t where all t are equal, 1 where one has all.
        slope: E sum_s a_s^2 (1 - 2 a_s + sum_r a_r^2): what the gradient keeps on its way to
            logits, relative to that of independent values.
    """

    square: float
    slope: float


class SoftmaxRows(NamedTuple):
    """The same of many rows, each [positions]."""

    square: NDArray[np.float64]
    slope: NDArray[np.float64]


@lru_cache(maxsize=1024)
def softmax_row(variance: float, keys: int) -> SoftmaxRow:
    """Of a row over so many keys. / variance: of its logits."""
    square, slope = _moments(variance, np.array([keys]))
    return SoftmaxRow(float(square[0]), float(slope[0]))


@lru_cache(maxsize=1024)
def softmax_rows(variance: float, positions: int) -> SoftmaxRows:
    """Of causal attention: each row over its position's own past, itself included."""
    every = np.arange(1, positions + 1)
    some = np.unique(np.geomspace(1, positions, _ALL).round().astype(int))
    found = _moments(variance, some)
    return SoftmaxRows(*(np.interp(np.log(every), np.log(some), each) for each in found))


def _moments(variance: float, counts: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """Of rows of so many logits each."""
    sigma = sqrt(variance)
    if sigma < 1e-4:
        return 1 / counts, (1 - 1 / counts) / counts
    edge = _TAIL * sigma
    z = np.linspace(-edge, edge, max(201, int(2 * edge / _STEP)))
    weight = np.exp(-(z**2) / (2 * variance))
    weight /= weight.sum()
    top = edge + _ABOVE
    log_u = np.arange(-edge - log(counts.max()) - _BELOW, top, _STEP)
    u = np.exp(log_u)[:, None]
    decay = np.exp(-u * np.exp(z))
    # u^k L_k, each bounded by its power's maximum
    parts = [(decay * (u * np.exp(z)) ** k) @ weight for k in range(5)]
    t = counts.astype(float)
    with np.errstate(divide="ignore"):
        log_l0 = np.log(parts[0])[:, None]

    def over_u(values: NDArray, others: int) -> NDArray:
        """[counts] of the integral of values L_0^(t - others) d(log u)."""
        powers = np.exp(np.maximum(t - others, 0) * log_l0)
        return _STEP * (values[:, None] * np.where(t >= others, powers, 0.0)).sum(0)

    square = t * over_u(parts[2], 1)
    cube = t * over_u(parts[3] / 2, 1)
    squares = t * over_u(parts[4] / 6, 1) + t * (t - 1) * over_u(parts[2] ** 2 / 6, 2)
    return square, square - 2 * cube + squares
