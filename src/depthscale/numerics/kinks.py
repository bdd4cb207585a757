"""Find the points at which a function of one variable, its slope or its curvature jumps."""

from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from depthscale.numerics.values import Array, Function

_WINDOWS = 2.0 ** np.arange(-10, 11, 4)  # half widths of the ranges that are looked through
_CELLS = 512
_OFFSET = 0.3819660112501051  # no cell shall begin at a round number, where kinks like to sit
_PARTS = 8
_NARROWEST = 1e-14  # relative to x
_MEMORY = 6
_PERSISTS = 0.3  # a jump keeps its size as its cell shrinks; a smooth change loses it in proportion
_ABOVE_ROUNDING = 100.0
# times the largest |f| on [-8, 8]; where f underflows it jumps too, by nothing that matters
_SMALLEST = 1e-9
_ROUND = 1e-9  # a kink this close to a number of six digits is that number


class _Jump(NamedTuple):
    """A jump of the derivative number `order`, at x, known to lie within a cell of that width."""

    x: float
    width: float
    order: int


def find_kinks(f: Function) -> tuple[float, ...]:
    """Where f, f' or f'' jumps, ascending, for |x| < 1,000. / f: elementwise function of float64
    arrays.

    error: 1e-13 where f or f' jumps, 1e-12 where only f'' does. Jumps below 1e-6 of f, and jumps
    closer to each other than the 512th part of their distance from 0, may be missed.
    """
    found: list[_Jump] = []
    for order in range(3):
        known = len(found)
        for jump in _jumps(f, order):
            if all(
                abs(jump.x - other.x) > 4 * max(jump.width, other.width) for other in found[:known]
            ):
                found.append(jump)
    return tuple(sorted({_rounded(_polished(f, jump)) for jump in found}))


def _jumps(f: Function, order: int) -> list[_Jump]:
    """Candidates: every cell of every window, shrunk around its largest difference while that
    stands above rounding."""
    left, width = _cells()
    sizes = np.full((_MEMORY, len(left)), np.inf)
    active = np.arange(len(left))
    while active.size:
        step = width[active] / _PARTS
        at, largest, clear = _largest_difference(f, left[active], step, order)
        active, at, step, largest = active[clear], at[clear], step[clear], largest[clear]
        sizes[:, active] = np.vstack([sizes[1:, active], largest / step**order])
        left[active] += (at - 1) * step
        width[active] = (order + 3) * step
        active = active[width[active] > _NARROWEST * np.maximum(np.abs(left[active]), _WINDOWS[0])]
    jumping = (sizes[-1] > _PERSISTS * sizes[0]) & (sizes[-1] > _SMALLEST * _size(f))
    return _merged(
        [
            _Jump(float(a + w / 2), float(w), order)
            for a, w in zip(left[jumping], width[jumping], strict=True)
        ]
    )


def _largest_difference(
    f: Function, left: Array, step: Array, order: int
) -> tuple[NDArray[np.intp], Array, NDArray[np.bool_]]:
    """Per cell: at which part its largest difference of order + 1 begins, that difference, whether
    it stands above rounding."""
    x = left[:, None] + step[:, None] * np.arange(_PARTS + 1)
    with np.errstate(all="ignore"):
        y = np.asarray(f(x), float)
        differences = np.nan_to_num(np.abs(np.diff(y, n=order + 1, axis=1)), nan=0.0, posinf=0.0)
        rounding = np.abs(y).max(axis=1)
        if order > 0:
            rounding += np.abs(left) * np.abs(np.diff(y)).max(axis=1) / step
        largest = differences.max(axis=1)
        return (
            differences.argmax(axis=1),
            largest,
            largest > _ABOVE_ROUNDING * np.finfo(float).eps * rounding,
        )


def _size(f: Function) -> float:
    with np.errstate(all="ignore"):
        y = np.abs(np.asarray(f(np.linspace(-8.0, 8.0, 65)), float))
    return float(y[np.isfinite(y)].max(initial=0.0))


def _cells() -> tuple[Array, Array]:
    """left, width of the cells of all windows."""
    grid = (np.arange(_CELLS) + _OFFSET) / _CELLS * 2.0 - 1.0
    left = (_WINDOWS[:, None] * grid[:-1]).ravel()
    return left, np.repeat(_WINDOWS * 2.0 / _CELLS, _CELLS - 1)


def _merged(jumps: list[_Jump]) -> list[_Jump]:
    """Of the jumps that share a place, the one best known."""
    kept: list[_Jump] = []
    for jump in sorted(jumps, key=lambda jump: jump.width):
        if all(abs(jump.x - other.x) > 4 * max(jump.width, other.width) for other in kept):
            kept.append(jump)
    return kept


def _polished(f: Function, jump: _Jump) -> float:
    """Where the polynomials that continue f from both sides meet, with as many derivatives as do
    not jump."""
    if jump.order == 0:
        return jump.x
    reach = 32.0 * jump.width
    t = (1.0 + 31.0 * (1.0 + np.cos(np.linspace(0, np.pi, 13))) / 2.0) / 32.0
    with np.errstate(all="ignore"):
        left, right = (np.asarray(f(jump.x + side * t * reach), float) for side in (-1.0, 1.0))
    if not np.isfinite([left, right]).all():
        return jump.x
    gap = polynomial.polyder(
        polynomial.polyfit(t, right, 5) - polynomial.polyfit(-t, left, 5), jump.order - 1
    )
    meets = [
        float(r.real) for r in polynomial.polyroots(gap) if abs(r.imag) < 1e-6 and abs(r.real) < 0.1
    ]
    return jump.x + min(meets, key=abs, default=0.0) * reach


def _rounded(x: float) -> float:
    nearest = float(f"{x:.6g}") if abs(x) > _ROUND else 0.0
    return nearest if abs(x - nearest) <= _ROUND * max(1.0, abs(x)) else x
