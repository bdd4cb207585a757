"""Table: a smooth function of one variable that is asked for many times in a row, known by
Chebyshev series piece by piece.

A walk through the layers asks for E f at one variance after the other, each of which depends on the
last. A piece is computed when it is first entered; after that an answer costs some microseconds.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import acos, frexp, ldexp, log2, pi
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from depthscale.errors import InvalidSpec
from depthscale.numerics import gaussian
from depthscale.numerics.estimate import Estimate, Estimates
from depthscale.numerics.values import Array, Function

_NODES = 24
_FEW = 8  # answers that cost less than a piece
_LAST = 4  # so many coefficients tell what the series lacks
# of the largest value in the piece; where the last coefficients are larger, every answer is
# computed
_CONVERGED = 1e-13
_SMALLEST, _LARGEST = 1e-300, 1e300
_LEBESGUE = 3.1  # by how much interpolation at 24 nodes can enlarge the errors of its values


class _Piece(NamedTuple):
    """coefficients of the Chebyshev series, highest first; error of what it gives."""

    coefficients: list[float]
    error: float


class Table:
    """A function by series on the pieces of its line; its error is that of its values and of the
    series.

    locate: x -> the piece it lies in, and where in that, from 0 to 1. / place: the other way, for
    many places in a piece.
    """

    def __init__(
        self,
        evaluate: Callable[[Array], Estimates],
        locate: Callable[[float], tuple[int, float]],
        place: Callable[[int, Array], Array],
    ):
        self._evaluate, self._locate, self._place = evaluate, locate, place
        self._pieces: dict[int, _Piece | None] = {}

    def __call__(self, x: float) -> Estimate:
        i, where = self._locate(x)
        if i not in self._pieces:
            self._pieces[i] = self._piece(i)
        piece = self._pieces[i]
        if piece is None:
            return self._evaluate(np.array([x]))[0]
        return Estimate(_clenshaw(piece.coefficients, 2.0 * where - 1.0), piece.error)

    def _piece(self, i: int) -> _Piece | None:
        """The series on piece i, or None where it has not converged."""
        values = self._evaluate(self._place(i, (1.0 + chebyshev.chebpts1(_NODES)) / 2.0))
        series = chebyshev.chebfit(chebyshev.chebpts1(_NODES), values.value, _NODES - 1)
        lacking = float(np.abs(series[-_LAST:]).sum())
        if not lacking <= _CONVERGED * float(np.abs(values.value).max()) + float(
            values.error.max()
        ):
            return None
        return _Piece(series[::-1].tolist(), lacking + _LEBESGUE * float(values.error.max()))


def expect_at(f: Function, kinks: Sequence[float] = ()) -> Callable[[float], Estimate]:
    """variance -> E f(sqrt(variance) g), for many variances in a row. / f, kinks: as
    `gaussian.expect`.

    error: as `gaussian.expect`, about three times as large. / raises: when called, as
    `gaussian.expect`.
    """
    table = Table(
        lambda variances: gaussian.expect_each(f, variances, kinks),
        _factor_of_four,
        _in_factor_of_four,
    )

    def at(variance: float) -> Estimate:
        return (
            table(variance)
            if _SMALLEST < variance < _LARGEST
            else gaussian.expect(f, variance, kinks)
        )

    return at


def expect_pair_at(
    f: Function,
    g: Function,
    variance_a: float,
    variance_b: float,
    kinks_f: Sequence[float] = (),
    kinks_g: Sequence[float] = (),
) -> Callable[[float], Estimate]:
    """correlation -> E f(u) g(v), for many correlations in a row. / arguments: as
    `gaussian.expect_pair`.

    The series is in the angle arccos(correlation), in which also kinked functions are smooth.
    error: as `gaussian.expect_pair`, about three times as large. / raises: when called, as
    `gaussian.expect_pair`.
    """
    table = Table(
        lambda correlations: gaussian.expect_pair_each(
            f, g, variance_a, variance_b, correlations, kinks_f, kinks_g
        ),
        _eighth_of_half_turn,
        lambda i, where: np.cos((i + where) * (pi / 8)),
    )

    def at(correlation: float) -> Estimate:
        if not -1.0 <= correlation <= 1.0:
            raise InvalidSpec(
                f"a correlation must lie in [-1, 1], got {correlation}; clip it if it is rounding"
            )
        return table(correlation)

    return at


def together_at(
    evaluate: Callable[[float], Sequence[Estimate]], count: int
) -> Callable[[float], tuple[Estimate, ...]]:
    """variance -> several numbers at once: as computed for the first few variances, and by series
    for many in a row.

    evaluate: variance > 0 -> so many Estimates, smooth in it. / error: as theirs, about three times
    as large from a series.
    """
    each, asked = cache(evaluate), 0

    def column(k: int) -> Callable[[Array], Estimates]:
        def values(variances: Array) -> Estimates:
            found = [each(float(q))[k] for q in variances]
            return Estimates(np.array([e.value for e in found]), np.array([e.error for e in found]))

        return values

    tables = [Table(column(k), _factor_of_four, _in_factor_of_four) for k in range(count)]

    def at(variance: float) -> tuple[Estimate, ...]:
        nonlocal asked
        asked += 1
        return tuple(each(variance) if asked <= _FEW else (table(variance) for table in tables))

    return at


def _factor_of_four(variance: float) -> tuple[int, float]:
    """k and u in [0, 1), where variance = 4^(k + u - 1/2)."""
    k = frexp(variance)[1] // 2
    return k, log2(ldexp(variance, -2 * k)) / 2.0 + 0.5


def _in_factor_of_four(k: int, u: Array) -> Array:
    return np.ldexp(np.exp2(2.0 * u - 1.0), 2 * k)


def _eighth_of_half_turn(correlation: float) -> tuple[int, float]:
    """Which eighth of [0, pi] the angle lies in, and where in it."""
    eighths = acos(correlation) / (pi / 8)
    i = min(int(eighths), 7)
    return i, eighths - i


def _clenshaw(coefficients: list[float], t: float) -> float:
    """The Chebyshev series at t in [-1, 1]. / coefficients: highest first."""
    b1 = b2 = 0.0
    for a in coefficients[:-1]:
        b1, b2 = a + 2.0 * t * b1 - b2, b1
    return coefficients[-1] + t * b1 - b2
