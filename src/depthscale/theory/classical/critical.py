"""The critical line of an activation, chi_1 = 1, and the lines of equal depth scale, in the plane
of sigma_w2 and sigma_b2.

All are parametric in q: at a given variance E phi^2 and E phi'^2 do not depend on sigma_w2 and
sigma_b2, so on the critical line sigma_w2 = 1 / E phi'(u)^2 and sigma_b2 = q - sigma_w2 E phi(u)^2
(arXiv:1902.06853 calls it the edge of chaos).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from math import exp, inf, isnan, nan, pi

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import Divergent, InvalidSpec
from depthscale.network import Activation, activation
from depthscale.numerics import Estimate
from depthscale.theory.classical import maps
from depthscale.theory.classical.fixed_points import mean_over_the_cap, root, slopes_by_angle
from depthscale.theory.classical.maps import Given

Array = NDArray[np.float64]

LEVELS = (2.0, 3.0, 5.0, 10.0, 30.0)  # xi_c, in layers
_SMALLEST, _LARGEST = 1e-8, 1e4  # of the variances among which a critical point is looked for
_PER_DECADE = 16  # two critical points closer than a factor 10^(1/16) in q are not told apart
_ANGLES = np.array(
    [1e-4, *np.linspace(0.05, pi / 2, 32)]
)  # from a correlation of 1 - 5e-9 down to 0
_HALVINGS = 6  # of the step in q in which a line begins
_ROUNDING = 1e-12
_POINTS = 40  # of a line


@dataclass(frozen=True)
class CriticalPoint:
    """sigma_w2, with its error, and sigma_b2 at which chi_1 = 1 at the fixed point q_star.

    chi_q: slope of the q map there. / stable: whether it is below 1, so that depth leads to q_star.
    """

    q_star: float
    sigma_w2: Estimate
    sigma_b2: float
    chi_q: Estimate

    @property
    def stable(self) -> bool:
        return abs(self.chi_q.value) <= 1 + self.chi_q.error


@dataclass(frozen=True)
class Line:
    """Points at which one number is the same: q_star, sigma_w2, sigma_b2 [n]. / xi_c: in layers;
    inf on the critical line and nan on the edge. / phase: "ordered", "chaotic", "critical", or
    "edge" where chi_q = 1. / part: a line that leaves the diagram and comes back has several,
    numbered along q_star [n].
    """

    xi_c: float
    phase: str
    q_star: Array
    sigma_w2: Array
    sigma_b2: Array
    part: NDArray[np.intp]


@dataclass(frozen=True)
class PhaseDiagram:
    """The critical line and those of equal xi_c, within sigma_w2 <= sigma_w2_max and 0 <= sigma_b2
    <= sigma_b2_max.

    edge: where chi_q reaches 1 and a stable q_star ceases to exist; empty where there is no such
    edge.
    """

    activation: str
    sigma_w2_max: float
    sigma_b2_max: float
    critical: Line
    levels: tuple[Line, ...]
    edge: Line


def critical_line(given: Given, sigma_b2: float) -> tuple[CriticalPoint, ...]:
    """Where the critical line has that sigma_b2.

    Args:
        given: name of an activation, Activation or callable.
        sigma_b2: variance of the biases, >= 0.

    Returns:
        A point of each branch, by ascending q_star; none where the line does not reach that
        sigma_b2. The error of sigma_w2 is that of the expectations and of the root in q.

    Raises:
        InvalidSpec: for an unknown activation or a negative variance.

    Example:
        >>> critical_line("relu", sigma_b2=0.0)[0].sigma_w2.value  # He's initialization
        2.0
        >>> critical_line("relu", sigma_b2=0.1)
        ()

    Source:
        arXiv:1902.06853, the edge of chaos.
    """
    a = activation(given)
    maps.require(sigma_b2=sigma_b2)
    if a.homogeneous:
        return () if sigma_b2 else (_point_at(a, 1.0, 0.0),)
    excess = partial(_excess, a, sigma_b2)
    found = [_point_at(a, 0.0, 0.0)] if not sigma_b2 and not maps.square(a, 0.0).value else []
    return (
        *found,
        *(
            _point_at(a, root(lambda q: excess(q)[0], *ends), sigma_b2)
            for ends in _sign_changes(excess, sigma_b2)
        ),
    )


def phase_diagram(
    given: Given,
    sigma_w2_max: float = 4.0,
    sigma_b2_max: float = 0.5,
    levels: Iterable[float] = LEVELS,
) -> PhaseDiagram:
    """The phase diagram of an activation.

    Points are those at which the fixed point q_star is stable, reached from variances near it.

    Args:
        given: name of an activation, Activation or callable.
        sigma_w2_max: end of the diagram in sigma_w2, > 0.
        sigma_b2_max: end of the diagram in sigma_b2, > 0.
        levels: xi_c in layers, > 0.

    Returns:
        The error of sigma_w2 is 1e-6 relative in the chaotic phase, 1e-4 for kinked activations;
        elsewhere that of the expectations.

    Raises:
        InvalidSpec: for an unknown activation or an empty diagram.

    Example:
        >>> diagram = phase_diagram("tanh", levels=())
        >>> round(float(diagram.critical.sigma_w2[0]), 3)  # 1 / phi'(0)^2, where it leaves the axis
        1.0

    Source:
        arXiv:1611.01232, the phase diagram of tanh.
    """
    a = activation(given)
    maps.require(sigma_w2_max=sigma_w2_max, sigma_b2_max=sigma_b2_max)
    if not sigma_w2_max * sigma_b2_max:
        raise InvalidSpec(
            f"a phase diagram needs ranges above 0, got {sigma_w2_max:g} and {sigma_b2_max:g}"
        )
    rows = [row for q in _variances(a, sigma_w2_max, sigma_b2_max) if (row := _row(a, q))]
    line = partial(_line, a, rows, sigma_w2_max, sigma_b2_max)
    scales = sorted(levels)
    lines = [line(xi, "ordered", partial(_ordered, xi)) for xi in scales]
    lines += [
        _joined(*(line(xi, "chaotic", partial(_chaotic, xi, k)) for k in (0, 1))) for xi in scales
    ]
    return PhaseDiagram(
        a.name,
        sigma_w2_max,
        sigma_b2_max,
        line(inf, "critical", lambda row: row.critical),
        tuple(each for each in lines if len(each.q_star) > 1),
        _straight_edge(a, sigma_b2_max)
        if a.homogeneous
        else line(nan, "edge", lambda row: 1 / row.growth),
    )


# ---- critical points


def _point_at(a: Activation, q: float, sigma_b2: float) -> CriticalPoint:
    """The critical point at a fixed point q; its error grows where the line is steep."""
    slope = maps.chi_1(a, q, 1.0)
    weight = 1 / slope.value
    error = slope.error * weight**2
    if q:
        left, noise = _excess(a, sigma_b2, q)
        step = 1e-4 * q
        further = 1 / maps.chi_1(a, q + step, 1.0).value
        along = abs(_excess(a, sigma_b2, q + step)[0] - left)
        error += abs(further - weight) * (abs(left) + noise) / along if along else 0.0
    return CriticalPoint(q, Estimate(weight, error), sigma_b2, maps.chi_q(a, q, weight))


def _excess(a: Activation, sigma_b2: float, q: float) -> tuple[float, float]:
    """sigma_b2 on the critical line at q, less the one asked for; and its error."""
    slope = maps.chi_1(a, q, 1.0)
    if not slope.value:
        return nan, inf
    found = maps.affine(maps.square(a, q), 1 / slope.value)
    noise = found.error + abs(found.value) * slope.error / slope.value
    return q - found.value - sigma_b2, noise


def _sign_changes(
    excess: Callable[[float], tuple[float, float]], sigma_b2: float
) -> list[tuple[float, float]]:
    """Pairs of variances between which the excess passes 0, beyond its error."""
    largest = max(_LARGEST, 100 * sigma_b2)
    count = int(np.log10(largest / _SMALLEST) * _PER_DECADE) + 1
    found, last, last_value = [], nan, nan
    for q in np.geomspace(_SMALLEST, largest, count).tolist():
        try:
            value, noise = excess(q)
        except Divergent:
            break
        if not abs(value) > noise:
            continue
        if value * last_value < 0:
            found.append((last, q))
        last, last_value = q, value
    return found


# ---- lines of equal depth scale


@dataclass(frozen=True)
class _Row:
    """What one variance q says of every sigma_w2: E phi^2, E phi phi' u / q, 1 / E phi'^2, and E
    phi' phi' by angle if asked."""

    q: float
    square: float
    growth: float
    critical: float
    slope: Callable[[], Callable[[Array], Array]]

    def bias(self, sigma_w2: float) -> float:
        """sigma_b2 with which q is a fixed point; 0 where it is rounding."""
        left = self.q - sigma_w2 * self.square
        return 0.0 if abs(left) < _ROUNDING * self.q else left


def _row(a: Activation, q: float) -> _Row | None:
    """None where an expectation does not exist, or phi is flat."""
    try:
        top = maps.chi_1(a, q, 1.0).value
        slope = cache(lambda: slopes_by_angle(a, q, nodes=20))
        return (
            _Row(q, maps.square(a, q).value, maps.chi_q(a, q, 1.0).value, 1 / top, slope)
            if top
            else None
        )
    except Divergent:
        return None


def _ordered(xi: float, row: _Row) -> float:
    return exp(-1 / xi) * row.critical


def _chaotic(xi: float, which: int, row: _Row) -> float:
    """sigma_w2 at which chi_c = exp(-1 / xi): c_star has mean slope 1 / sigma_w2 above it, and that
    slope at it; or nan.

    which: 0 for the largest such c_star, 1 for the next.
    """
    if row.bias(row.critical) < 0 or row.critical * row.growth >= 1:
        return nan  # as a larger sigma_w2 would be
    wanted, slope = exp(-1 / xi), row.slope()

    def apart(angle: float) -> float:
        return float(slope(np.array(angle))) - wanted * mean_over_the_cap(slope, angle)

    signs = np.sign([apart(angle) for angle in _ANGLES.tolist()])
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    if len(changes) <= which:
        return nan
    at = int(changes[which])
    return 1 / mean_over_the_cap(slope, root(apart, float(_ANGLES[at]), float(_ANGLES[at + 1])))


def _joined(upper: Line, lower: Line) -> Line:
    """One line from the two that meet where a depth scale turns back in q."""
    q, w, b = (
        np.concatenate([getattr(lower, n)[::-1], getattr(upper, n)])
        for n in ("q_star", "sigma_w2", "sigma_b2")
    )
    return Line(upper.xi_c, upper.phase, q, w, b, np.zeros(len(q), np.intp))


def _line(
    a: Activation,
    rows: list[_Row],
    w_max: float,
    b_max: float,
    xi: float,
    phase: str,
    weight: Callable[[_Row], float],
) -> Line:
    """The points of one depth scale that lie in the diagram and whose q is stable, its ends on the
    borders among them."""
    found: list[tuple[float, float, float, int]] = []
    part, last = 0, None
    for row in _with_beginning(a, rows, weight):
        sigma_w2 = weight(row)
        sigma_b2 = row.bias(sigma_w2)
        inside = (
            sigma_w2 <= w_max and 0 <= sigma_b2 <= b_max and abs(sigma_w2 * row.growth) <= 1 + 1e-9
        )
        if last and last[1] * sigma_b2 < 0:
            found += _ends(a, last, (row.q, sigma_b2), 0.0, weight, w_max, part)
        if inside:
            found.append((row.q, sigma_w2, sigma_b2, part))
        if last and (last[1] - b_max) * (sigma_b2 - b_max) < 0:
            found += _ends(a, last, (row.q, sigma_b2), b_max, weight, w_max, part)
        part += not inside
        last = (row.q, sigma_b2)
    columns = np.array(found).reshape(-1, 4).T
    return Line(xi, phase, columns[0], columns[1], columns[2], columns[3].astype(np.intp))


def _with_beginning(a: Activation, rows: list[_Row], weight: Callable[[_Row], float]) -> list[_Row]:
    """The rows, and more where a line begins inside: near c_star = 0, where it falls as a square
    root does."""
    known = [not isnan(weight(row)) for row in rows]
    first = known.index(True) if True in known else 0
    if not first:
        return rows
    low, high, more = rows[first - 1].q, rows[first].q, []
    for _ in range(_HALVINGS):
        row = _row(a, (low + high) / 2)
        if row is None or isnan(weight(row)):
            low = (low + high) / 2
        else:
            high = row.q
            more.insert(0, row)
    return [*rows[:first], *more, *rows[first:]]


def _ends(
    a: Activation,
    below: tuple[float, float],
    above: tuple[float, float],
    border: float,
    weight: Callable[[_Row], float],
    w_max: float,
    part: int,
) -> list[tuple[float, float, float, int]]:
    """Where a line crosses sigma_b2 = border between two points (q, sigma_b2) of it, by three steps
    of false position."""
    q = sigma_w2 = nan
    for _ in range(3):
        q = below[0] + (above[0] - below[0]) * (border - below[1]) / (above[1] - below[1])
        row = _row(a, q)
        sigma_w2 = weight(row) if row else nan
        if not row or not sigma_w2 <= w_max or abs(sigma_w2 * row.growth) > 1:
            return []
        here = (q, row.bias(sigma_w2))
        below, above = (
            (here, above) if (here[1] - border) * (below[1] - border) > 0 else (below, here)
        )
    return [(q, sigma_w2, border, part)]


def _straight_edge(a: Activation, sigma_b2_max: float) -> Line:
    """Of a homogeneous activation, whose q map is a line: the same sigma_w2 for every bias."""
    sigma_b2 = np.array([0.0, sigma_b2_max])
    return Line(
        nan,
        "edge",
        np.full(2, inf),
        np.full(2, 1 / maps.square(a, 1.0).value),
        sigma_b2,
        np.zeros(2, np.intp),
    )


def _variances(a: Activation, sigma_w2_max: float, sigma_b2_max: float) -> list[float]:
    """Where the lines' points lie: up to the largest fixed point in the diagram, closer together at
    small q."""
    grid = np.geomspace(1e-4, 100 * (1 + sigma_b2_max), 128)
    reached = [q for q in grid.tolist() if _starts_inside(a, q, sigma_w2_max, sigma_b2_max)]
    largest = reached[-1] if reached else grid[0]
    return [1e-6 * largest, *(largest * np.linspace(0, 1, _POINTS + 1)[1:] ** 3).tolist()]


def _starts_inside(a: Activation, q: float, sigma_w2_max: float, sigma_b2_max: float) -> bool:
    try:
        return q - sigma_w2_max * maps.square(a, q).value <= sigma_b2_max
    except Divergent:
        return False
