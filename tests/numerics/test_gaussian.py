"""Expectations over a Gaussian: against closed forms and mpmath, always inside the error that is
returned."""

from math import erfc, exp, pi, sqrt
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from depthscale.errors import Divergent, InvalidSpec
from depthscale.numerics.closed_forms import ERF, leaky
from depthscale.numerics.estimate import Estimate
from depthscale.numerics.gaussian import expect, expect_each, expect_pair, expect_pair_each

mp: Any = mpmath.mp
VARIANCES = [1e-30, 1e-4, 1.0, 9.0, 1e3, 1e12, 1e30]
CORRELATIONS = [1.0, 1 - 1e-12, 0.99, 0.5, 0.1, -0.3, -0.9, -1 + 1e-12, -1.0]
laws = settings(max_examples=40, deadline=None, derandomize=True)


def relu(x):
    return np.maximum(x, 0.0)


def step(x):
    return np.where(x > 0, 1.0, 0.0)


def require_honest(estimate: Estimate, truth: float, factor: float = 1.0) -> None:
    """The truth lies within factor times the error."""
    assert abs(estimate.value - truth) <= factor * estimate.error, f"{estimate} against {truth!r}"


def require_sharp(estimate: Estimate, truth: float, relative: float = 1e-12) -> None:
    """Honest, and right to 1e-12."""
    require_honest(estimate, truth)
    assert abs(estimate.value - truth) <= relative * abs(truth)
    assert estimate.error <= relative * abs(truth)


@pytest.mark.parametrize("q", VARIANCES)
def test_closed_forms_of_one_variable_hold_at_every_variance(q):
    require_sharp(expect(relu, q, (0.0,)), sqrt(q / (2 * pi)))
    require_sharp(expect(lambda x: relu(x) ** 2, q, (0.0,)), q / 2)
    require_sharp(expect(lambda x: erf(x) ** 2, q), float(ERF.kernel(q, 1.0)))
    require_sharp(
        expect(lambda x: np.where(x > 1, 1.0, 2.0), q, (1.0,)), 2 - erfc(1 / sqrt(2 * q)) / 2
    )
    require_sharp(expect(lambda x: np.exp(-x * x), q), 1 / sqrt(1 + 2 * q))


@pytest.mark.parametrize("q", [1e-30, 1e-3, 0.5, 4.0, 100.0, 1e12])
def test_tanh_squared_agrees_with_forty_digits(q):
    with mp.workdps(50):
        s = mp.sqrt(mp.mpf(q))
        cuts = sorted(
            {
                mp.mpf(0),
                *(c for c in (1 / s, 3 / s, 10 / s, 30 / s) if c < 30),
                *map(mp.mpf, (1, 3, 6, 12, 30)),
            }
        )
        truth = float(2 * mp.quad(lambda g: mp.tanh(s * g) ** 2 * mp.npdf(g), cuts))
    require_sharp(expect(lambda x: np.tanh(x) ** 2, q), truth)


@pytest.mark.parametrize(
    ("mean", "q"), [(0.7, 2.0), (-3.0, 1.0), (1e-8, 1e-20), (50.0, 4.0), (-2.0, 1e6)]
)
def test_a_mean_and_a_kink_off_centre(mean, q):
    with mp.workdps(40):
        m, s = mp.mpf(mean), mp.sqrt(mp.mpf(q))
        truth = float(m * mp.ncdf(m / s) + s * mp.npdf(m / s))
    require_sharp(expect(relu, q, (0.0,), mean), truth)
    require_sharp(
        expect(lambda x: relu(x + mean), q, (-mean,)), expect(relu, q, (0.0,), mean).value
    )


def test_variance_zero_is_the_value_at_the_mean():
    require_sharp(expect(np.cos, 0.0, (), 0.3), float(np.cos(0.3)))
    assert expect_pair(np.cos, np.tanh, 0.0, 1.0, 0.4).value == expect(np.tanh, 1.0).value
    found = expect_each(np.cos, [0.0, 1.0])
    assert found.value[0] == 1
    require_sharp(found[1], exp(-0.5))


@pytest.mark.parametrize("gain", [1.0, 30.0, 1e3])
def test_a_smooth_bend_far_from_the_centre_is_found(gain):
    """Of tanh(gain (x + 3)), which is tanh of a Gaussian of another mean; from a length of 0.01 on
    it must be told where."""
    moved = expect(lambda x: np.tanh(gain * x + 3 * gain) ** 2, 1.0, (-3.0,) if gain > 100 else ())
    other = expect(lambda x: np.tanh(x) ** 2, gain**2, (), 3 * gain)
    assert moved.value == pytest.approx(other.value, rel=1e-13)


@pytest.mark.parametrize(
    "f", [lambda x: relu(x - 0.3), lambda x: step(x - 0.3), lambda x: np.abs(np.sin(3 * x))]
)
def test_a_kink_that_was_not_given_leaves_the_error_honest(f):
    places = [0.3, *(k * pi / 3 for k in range(-9, 10))]
    require_honest(expect(f), expect(f, 1.0, places).value, factor=10)


@pytest.mark.parametrize("q", [1e-30, 1.0, 9.0, 1e12, 1e30])
@pytest.mark.parametrize("c", CORRELATIONS)
def test_closed_forms_of_a_pair_hold_at_every_correlation(q, c):
    kink = (0.0,)
    require_sharp_or_tiny(
        expect_pair(relu, relu, q, q, c, kink, kink), float(leaky(0.0).kernel(q, c)), q
    )
    require_sharp_or_tiny(
        expect_pair(step, step, q, q, c, kink, kink), float(leaky(0.0).slopes(q, c)), 1.0
    )
    require_sharp_or_tiny(expect_pair(erf, erf, q, q, c), float(ERF.kernel(q, c)), min(q, 1.0))


def require_sharp_or_tiny(estimate: Estimate, truth: float, size: float) -> None:
    """Honest up to the rounding of the closed form, and right to 1e-12 of the truth or 1e-15 of the
    size of the terms."""
    assert abs(estimate.value - truth) <= estimate.error + 4e-16 * abs(truth)
    assert estimate.error <= 1e-12 * abs(truth) + 4e-15 * size


@pytest.mark.parametrize("c", [-0.999999, -0.6, 0.0, 1e-9, 0.3, 0.99999])
def test_a_pair_with_two_variances_and_kinks_apart(c):
    """P(u > 1, v < -2) of a Gaussian pair, from the bivariate normal distribution in 30 digits."""
    q_u, q_v = 4.0, 0.25
    found = expect_pair(lambda u: step(u - 1), lambda v: step(-v - 2), q_u, q_v, c, (1.0,), (-2.0,))
    with mp.workdps(30):
        h, k, r = mp.mpf(1) / 2, mp.mpf(4), mp.sqrt(1 - mp.mpf(c) ** 2)
        cuts = sorted(
            {
                h,
                h + 1,
                h + 4,
                h + 10,
                *(p for p in (-k / mp.mpf(c or 1) + d for d in (-1e-2, 0, 1e-2)) if h < p < 10),
            }
        )
        truth = float(mp.quad(lambda a: mp.npdf(a) * mp.ncdf((-k - c * a) / r), cuts))
    require_honest(found, truth)
    assert found.error <= 1e-12 * truth + 1e-300 + 1e-14 * truth * 100


@pytest.mark.parametrize("q", [1e16, 1e30])
@pytest.mark.parametrize("c", [-0.5, 0.01, 0.9])
def test_what_is_local_meets_the_density_at_the_origin_alone(q, c):
    """Of integral 2 each, E f(u) f(v) -> 4 / (2 pi q sqrt(1 - c^2)) up to O(1 / q): no digit is
    lost next to a large mean."""

    def f(x):
        return 1 / np.cosh(np.clip(x, -300, 300)) ** 2

    require_sharp(expect_pair(f, f, q, q, c), 4 / (2 * pi * q * sqrt(1 - c * c)))


def test_a_pair_is_the_same_from_both_sides():
    one = expect_pair(np.tanh, relu, 2.0, 5.0, 0.7, (), (0.0,))
    other = expect_pair(relu, np.tanh, 5.0, 2.0, 0.7, (0.0,), ())
    assert one == other


def test_kinks_of_both_functions_are_split_at_correlation_1():
    points = []

    def above(x):
        points.append(x.size)
        return step(x - 0.7)

    found = expect_pair(above, above, 1.0, 2.0, 1.0, (0.7,), (0.7,))
    require_sharp(found, erfc(0.7 / sqrt(2)) / 2)
    assert sum(points) < 2000


def test_many_settings_equal_one_at_a_time_in_few_calls():
    calls = []

    def f(x):
        calls.append(x.size)
        return np.tanh(x) ** 2

    q = np.linspace(0.01, 30.0, 1000)
    many = expect_each(f, q)
    assert len(calls) < 20
    assert sum(calls) < 1_000_000
    assert all(
        many.value[i] == pytest.approx(expect(f, q[i]).value, rel=1e-15) for i in range(0, 1000, 50)
    )
    hard = expect_each(lambda x: np.clip(x, -1, 1), q, (-1.0, 1.0), 0.5)
    assert hard.value[37] == pytest.approx(
        expect(lambda x: np.clip(x, -1, 1), q[37], (-1.0, 1.0), 0.5).value, rel=1e-15
    )
    pairs = expect_pair_each(np.tanh, np.tanh, 1.0, 1.0, [0.2, 0.4])
    assert pairs[1] == expect_pair(np.tanh, np.tanh, 1.0, 1.0, 0.4)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: np.exp(x * x), "is inf"),
        (lambda x: np.exp(0.49 * x * x), "outgrows the density"),
        (lambda x: np.full_like(x, np.nan), "is nan"),
        (lambda x: np.log(x), "is -inf|is nan"),
        (lambda x: 1e308 * (1 + x**4), "is inf"),
    ],
)
def test_an_expectation_that_is_not_finite_is_refused_with_its_reason(f, says):
    with pytest.raises(Divergent, match=says):
        expect(f)
    with pytest.raises(Divergent):
        expect_pair(f, np.cos, 1.0, 1.0, 0.5)


@pytest.mark.parametrize("q", [-1.0, float("nan"), float("inf")])
def test_an_impossible_variance_is_refused(q):
    with pytest.raises(InvalidSpec, match="variance must be >= 0"):
        expect(np.tanh, q)


def test_a_pole_at_the_mean_is_refused_at_variance_0():
    with pytest.raises(Divergent, match=r"f\(0\) is -inf"):
        expect(np.log, 0.0)


def test_an_impossible_correlation_is_refused():
    with pytest.raises(InvalidSpec, match=r"\[-1, 1\], got 1.2"):
        expect_pair(np.tanh, np.tanh, 1.0, 1.0, 1.2)


@laws
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(1e-6, 1e6))
def test_polynomials_are_exact(coefficients, q):
    found = expect(lambda x: np.polyval(coefficients, x), q)
    degree = len(coefficients) - 1
    terms = [
        a * odd_factorial(degree - i) * q ** ((degree - i) / 2)
        for i, a in enumerate(coefficients)
        if (degree - i) % 2 == 0
    ]
    require_honest(found, sum(terms))
    assert (
        found.error
        <= 1e-13
        * sum(abs(a) * (degree + 1) ** degree * (q + 1) ** (degree / 2) for a in coefficients)
        + 1e-300
    )


def odd_factorial(k: int) -> float:
    """E g^k for even k: 1, 1, 3, 15, ..."""
    return float(np.prod(np.arange(1, k, 2)))


@laws
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(1e-3, 1e3), st.floats(-2, 2))
def test_expectation_is_linear(a, b, q, mean):
    both = expect(lambda x: a * np.tanh(x) + b * relu(x), q, (0.0,), mean)
    one, two = expect(np.tanh, q, (), mean), expect(relu, q, (0.0,), mean)
    room = both.error + abs(a) * one.error + abs(b) * two.error
    assert abs(both.value - a * one.value - b * two.value) <= room


@laws
@given(st.floats(1e-3, 1e3), st.floats(-1, 1))
def test_odd_functions_vanish_and_pairs_of_them_change_sign_with_the_correlation(q, c):
    require_honest(expect(np.tanh, q), 0.0)
    there, back = (expect_pair(np.tanh, np.tanh, q, q, r) for r in (c, -c))
    assert abs(there.value + back.value) <= there.error + back.error


@laws
@given(st.floats(0.0, 0.99), st.floats(0.001, 0.01))
def test_the_correlation_map_rises(c, more):
    low, high = (expect_pair(np.tanh, np.tanh, 1.5, 1.5, r) for r in (c, c + more))
    assert high.value > low.value


def test_the_checks_notice_a_wrong_number():
    right = expect(relu, 1.0, (0.0,))
    with pytest.raises(AssertionError):
        require_honest(Estimate(right.value * (1 + 1e-12), right.error), 1 / sqrt(2 * pi))
    with pytest.raises(AssertionError):
        require_sharp(Estimate(right.value, 1e-9), 1 / sqrt(2 * pi))
    with pytest.raises(AssertionError):
        require_sharp_or_tiny(Estimate(right.value + 1e-13, 1e-15), right.value, 1.0)
