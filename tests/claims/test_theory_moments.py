"""The moments of the activations and what follows from them, to every digit that the theory prints.

Gaussian moments: batch norm at infinite batch and the other normalizers (arXiv:1902.08129;
2102.06171 for the gain); finite
batch: arXiv:1902.08129, theorem 7; closed forms: arXiv:1606.05340 and the arc-cosine kernels.
"""

from decimal import Decimal
from math import asin, cosh, exp, log, pi, sinh, sqrt, tanh
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.special import eval_gegenbauer, gammaln, roots_gegenbauer

from depthscale.network.activations import Activation, activation, shifted
from depthscale.numerics import gaussian, sphere
from depthscale.numerics.closed_forms import arc_cosine, arc_cosine_slope
from knobs import KNOBS

mp: Any = mpmath.mp
ROUNDING = 1e-12


def require_digits(value: float, printed: str) -> None:
    """The value rounds to what is printed, in every digit of it; a printed integer is exact."""
    half_unit = 10.0 ** int(Decimal(printed).as_tuple().exponent) / 2 if "." in printed else 0.0
    assert abs(value - float(printed)) <= half_unit + ROUNDING, f"{value!r} is not {printed}"


def require_no_digits(value: float, printed: str) -> None:
    """A wrong value must not pass for the printed one."""
    with pytest.raises(AssertionError):
        require_digits(value, printed)


def gaussian_moments(a: Activation, q: float = 1.0) -> tuple[float, float, float]:
    """E phi, E phi^2, E phi'^2."""
    mean = gaussian.expect(a.phi, q, a.breaks)
    square = gaussian.expect(lambda x: a.phi(x) ** 2, q, a.breaks)
    slope = gaussian.expect(lambda x: a.derivative(x) ** 2, q, a.breaks)
    return mean.value, square.value, slope.value


def rate_at_infinite_batch(a: Activation) -> float:
    mean, square, slope = gaussian_moments(a)
    return slope / (square - mean**2)


# ---- the Gaussian moments, variance 1

# sin: 16 depth scales are 58.7498, which rounds to 58.7.
# E phi, E phi^2, Var phi, E phi'^2, rate, its root, depth scale, 16 depth scales, layer-norm rate,
# gain
MOMENTS = {
    "linear": "0 1 1 1 1 1 inf inf 1 1",
    "relu": ".39894 .50000 .34085 .50000 1.46694 1.21117 2.610 41.8 1 1.71286",
    "leaky_relu": ".39495 .50005 .34406 .50005 1.45337 1.20556 2.675 42.8 1 1.7048",
    "tanh": "0 .39429 .39429 .46440 1.17781 1.08527 6.110 97.8 1.17781 1.5925",
    "erf": "0 .46456 .46456 .56941 1.22570 1.10711 4.914 78.6 1.22570 1.4672",
    "gelu": ".28209 .42522 .34564 .45585 1.31884 1.14841 3.613 57.8 1.07203 1.7009",
    "silu": ".20662 .35578 .31308 .37948 1.21208 1.10095 5.199 83.2 1.06663 1.7872",
    "sin": "0 .43233 .43233 .56767 1.31304 1.14588 3.672 58.7 1.31304 1.5209",
}


def moments_row(name: str) -> list[float]:
    mean, square, slope = gaussian_moments(activation(name))
    variance = square - mean**2
    rate = slope / variance
    scale = 1 / log(rate) if rate > 1 + ROUNDING else float("inf")
    return [
        mean,
        square,
        variance,
        slope,
        rate,
        sqrt(rate),
        scale,
        16 * scale,
        slope / square,
        1 / sqrt(variance),
    ]


@pytest.mark.parametrize("name", MOMENTS)
def test_gaussian_moments_and_their_rates_have_the_printed_digits(name):
    for value, printed in zip(moments_row(name), MOMENTS[name].split(), strict=True):
        if printed == "inf":
            assert value == float("inf")
        else:
            require_digits(value, printed)


@pytest.mark.parametrize("name", [name for name in MOMENTS if name != "linear"])
def test_moments_of_another_variance_do_not_pass_for_those_of_variance_1(name):
    _, square, slope = gaussian_moments(activation(name), 1.01)
    require_no_digits(square, MOMENTS[name].split()[1])
    if name in ("tanh", "erf", "gelu", "silu", "sin"):
        require_no_digits(slope, MOMENTS[name].split()[3])


def test_batch_norm_relu_gradients_grow_by_pi_over_pi_minus_1_per_layer():
    assert rate_at_infinite_batch(activation("relu")) == pytest.approx(pi / (pi - 1), rel=1e-12)
    with pytest.raises(AssertionError):  # its root is the growth of the norm, not of the square
        assert rate_at_infinite_batch(activation("relu")) == pytest.approx(
            sqrt(pi / (pi - 1)), rel=1e-3
        )


@pytest.mark.parametrize("a", [0.01, 0.2, 0.9, -0.5])
def test_batch_norm_leaky_relu_has_its_closed_rate_at_slope_0_2(a):
    half = (1 + a * a) / 2
    closed = half / (half - (1 - a) ** 2 / (2 * pi))
    rate = rate_at_infinite_batch(activation(f"leaky_relu({a})"))
    assert rate == pytest.approx(closed, rel=1e-12)
    with pytest.raises(AssertionError):
        assert rate == pytest.approx(half / (half - (1 + a) ** 2 / (2 * pi)), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "closed", "wrong"),
    [
        ("abs", 1 / (1 - 2 / pi), 1 / (1 - 1 / pi)),
        (
            "erf",
            (4 / (pi * sqrt(5))) / ((2 / pi) * asin(2 / 3)),
            (4 / (pi * sqrt(3))) / ((2 / pi) * asin(2 / 3)),
        ),
        ("sin", 1 / tanh(1), 1 / tanh(2)),
    ],
)
def test_batch_norm_rates_of_abs_erf_and_sin_are_closed(name, closed, wrong):
    rate = rate_at_infinite_batch(activation(name))
    assert rate == pytest.approx(closed, rel=1e-12)
    with pytest.raises(AssertionError):
        assert rate == pytest.approx(wrong, rel=1e-3)


@pytest.mark.parametrize("knob", KNOBS)
def test_a_shift_of_2_brings_batch_norm_relu_down_to_1_01776(knob):
    name, gain, shift = knob
    require_digits(rate_at_infinite_batch(shifted(activation(name), gain, shift)), KNOBS[knob])
    require_no_digits(
        rate_at_infinite_batch(shifted(activation(name), gain, shift + 0.1)), KNOBS[knob]
    )


# ---- closed forms of pairs

CLOSED = {  # (q, c) -> E phi phi, (q, c) -> E phi' phi', from the formulas as they are printed
    "relu": (lambda q, c: q * j(c) / 2, lambda q, c: slope_of_j(c) / 2),
    "leaky_relu(0.2)": (
        lambda q, c: q * (0.2 * c + 0.64 * j(c) / 2),
        lambda q, c: 0.2 + 0.64 * slope_of_j(c) / 2,
    ),
    "abs": (lambda q, c: q * (-c + 2 * j(c)), lambda q, c: -1 + 2 * slope_of_j(c)),
    "erf": (
        lambda q, c: (2 / pi) * asin(2 * q * c / (1 + 2 * q)),
        lambda q, c: (4 / pi) / sqrt((1 + 2 * q) ** 2 - 4 * q**2 * c**2),
    ),
    "sin": (lambda q, c: exp(-q) * sinh(q * c), lambda q, c: exp(-q) * cosh(q * c)),
    "linear": (lambda q, c: q * c, lambda q, c: 1.0),
}


def j(c: float) -> float:
    return (sqrt(1 - c * c) + (pi - np.arccos(c)) * c) / pi


def slope_of_j(c: float) -> float:
    return 1 - np.arccos(c) / pi


@pytest.mark.parametrize("c", [-0.8, 0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("q", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("name", CLOSED)
def test_kernels_of_six_activations_are_closed_to_1e_12(name, q, c):
    a, (kernel, slopes) = activation(name), CLOSED[name]
    assert a.moments is not None
    for f, closed, coded in (
        (a.phi, kernel, a.moments.kernel),
        (a.derivative, slopes, a.moments.slopes),
    ):
        integrated = gaussian.expect_pair(f, f, q, q, c, a.kinks, a.kinks).value
        assert integrated == pytest.approx(closed(q, c), rel=1e-12, abs=1e-15)
        assert float(coded(q, c)) == pytest.approx(closed(q, c), rel=1e-12, abs=1e-15)
        if name != "linear":
            with pytest.raises(AssertionError):
                assert integrated == pytest.approx(closed(q, 0.99 * c - 0.01), rel=1e-12, abs=1e-15)
    assert float(a.moments.mean(q)) == pytest.approx(
        gaussian.expect(a.phi, q, a.kinks).value, rel=1e-12, abs=1e-15
    )


@pytest.mark.parametrize("c", [-1.0, -1 + 1e-12, -0.9999, -0.88, -0.877, 0.0, 1 - 1e-12, 1.0])
def test_the_arc_cosine_kernel_keeps_16_digits_next_to_minus_1(c):
    with mp.workdps(50):
        exact = mp.mpf(c)
        angle = mp.acos(exact)
        truth, slope = (mp.sin(angle) + (mp.pi - angle) * exact) / mp.pi, 1 - angle / mp.pi
    assert float(arc_cosine(c)) == pytest.approx(float(truth), rel=1e-14, abs=1e-40)
    assert float(arc_cosine_slope(c)) == pytest.approx(float(slope), rel=1e-15, abs=0)


# ---- finite batch

BATCHES = (4, 8, 16, 64, 128, 512)
RATES = {
    "relu": "3.08406 1.78819 1.58995 1.49306 1.47968 1.47007 1.46694",
    "linear": "2 1.2 1.07692 1.01639 1.00800 1.00196 1",
    "tanh": "2.12926 1.35855 1.24626 1.19226 1.18485 1.17954 1.17781",
    "erf": "2.16776 1.40505 1.29384 1.24012 1.23273 1.22742 1.22570",
    "gelu": "2.81494 1.62230 1.43571 1.34375 1.33100 1.32183 1.31884",
    "silu": "2.48720 1.47197 1.31271 1.23361 1.22259 1.21466 1.21208",
}
FROZEN = "4.81636 2.13372 1.72300 1.52146 1.49354 1.47347"
FIXED_CORRELATION = ".16950 .25013 .28568 .31041 .31438 .31733"
SHARE_OF_MEAN = ".15204 .06820 .03258 .00789 .00393 .00098"
SHARE_OF_STD = ".20763 .09373 .04464 .01077 .00536 .00133"


class FiniteBatch:
    """The four expectations over the sphere from which the rates at batch B are made."""

    def __init__(self, name: str, batch: int):
        a, self.batch = activation(name), batch
        self.square = sphere.expect(lambda z: a.phi(z) ** 2, batch, a.kinks).value
        self.product = sphere.expect_pair(lambda x, y: a.phi(x) * a.phi(y), batch, a.kinks).value
        self.slope = sphere.expect(lambda z: a.derivative(z) ** 2, batch, a.kinks).value
        self.own = sphere.expect(
            lambda z: (batch - 1 - z * z) * a.derivative(z) ** 2, batch, a.kinks
        ).value
        self.others = sphere.expect_pair(
            lambda x, y: (1 + x * y) * a.derivative(x) * a.derivative(y), batch, a.kinks
        ).value

    @property
    def rate(self) -> float:
        """Growth of the gradient's mean square per layer."""
        return (self.own + self.others) / ((self.batch - 3) * (self.square - self.product))

    @property
    def rate_without_the_pairs(self) -> float:
        return self.own / ((self.batch - 3) * (self.square - self.product))


@pytest.mark.parametrize("name", RATES)
def test_the_rate_at_batch_4_to_512_has_the_printed_digits(name):
    for batch, printed in zip(BATCHES, RATES[name].split(), strict=False):
        require_digits(FiniteBatch(name, batch).rate, printed)
    require_digits(rate_at_infinite_batch(activation(name)), RATES[name].split()[-1])


@pytest.mark.parametrize("name", RATES)
def test_without_the_pairs_the_rate_at_batch_4_to_512_is_another(name):
    for batch, printed in zip(BATCHES, RATES[name].split(), strict=False):
        require_no_digits(FiniteBatch(name, batch).rate_without_the_pairs, printed)


@pytest.mark.parametrize("batch", [4, 5, 8, 37, 512])
def test_the_relu_rate_at_batch_8_is_closed_and_that_of_linear_is_6_over_5(batch):
    rho = -1 / (batch - 1)
    closed = (batch - 2 + slope_of_j(rho) + j(rho)) / ((batch - 3) * (1 - j(rho)))
    assert FiniteBatch("relu", batch).rate == pytest.approx(closed, rel=1e-12)
    assert FiniteBatch("linear", batch).rate == pytest.approx((batch - 2) / (batch - 3), rel=1e-12)
    with pytest.raises(AssertionError):
        assert FiniteBatch("linear", batch).rate == pytest.approx(
            (batch - 1) / (batch - 3), rel=1e-12
        )


def test_frozen_statistics_fixed_correlation_and_the_shares_of_both_terms_at_batch_4_to_512():
    columns = (FROZEN, FIXED_CORRELATION, SHARE_OF_MEAN, SHARE_OF_STD)
    for batch, *printed in zip(BATCHES, *(c.split() for c in columns), strict=True):
        relu = FiniteBatch("relu", batch)
        spread = relu.square - relu.product
        slopes = sphere.expect_pair(lambda x, y: 1.0 * (x > 0) * (y > 0), batch, (0.0,)).value
        frozen = relu.slope * batch / ((batch - 3) * spread)
        values = (
            frozen,
            relu.product / relu.square,
            2 * (relu.slope - slopes) / batch,
            2 * spread / batch,
        )
        for value, digits in zip(values, printed, strict=True):
            require_digits(value, digits)
            require_no_digits(value * 1.02, digits)


def gegenbauer_rate(name: str, batch: int, degree: int = 150) -> float:
    """sum k (B-3+k) / (B-3) c_k a_k^2 / sum c_k a_k^2, with c_k = 1 - C_k(rho) / C_k(1)."""
    alpha, k = (batch - 3) / 2, np.arange(degree + 1)
    t, w = roots_gegenbauer(400, alpha)
    log_norm2 = gammaln(k + 2 * alpha) - gammaln(k + 1) - np.log(k + alpha)
    a2 = (
        eval_gegenbauer(k[:, None], alpha, t) @ (w * activation(name).phi(sqrt(batch - 1) * t))
    ) ** 2 / np.exp(log_norm2)
    c = 1 - eval_gegenbauer(k, alpha, -1 / (batch - 1)) / eval_gegenbauer(k, alpha, 1.0)
    return float((k * (batch - 3 + k) / (batch - 3) * c) @ a2 / (c @ a2))


@pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "silu"])
@pytest.mark.parametrize("batch", [8, 16])
def test_the_rate_of_a_smooth_activation_at_batch_8_is_its_gegenbauer_series(name, batch):
    assert FiniteBatch(name, batch).rate == pytest.approx(gegenbauer_rate(name, batch), rel=1e-11)
    with pytest.raises(AssertionError):
        assert FiniteBatch(name, batch).rate == pytest.approx(
            gegenbauer_rate(name, batch, degree=5), rel=1e-11
        )


@pytest.mark.parametrize("m", [5, 8, 64])
def test_relu_after_rms_norm_over_8_units_grows_by_7_over_6_and_after_group_norm_by_6_over_5(m):
    whole, centred = sphere.Sphere.whole(m), sphere.Sphere.centred(m)
    relu = activation("relu")

    def rate(shape: sphere.Sphere) -> float:
        d = shape.dimension
        own = sphere.expect(
            lambda z: (d - z * z) * relu.derivative(z) ** 2, shape, relu.kinks
        ).value
        return own / ((d - 2) * sphere.expect(lambda z: relu.phi(z) ** 2, shape, relu.kinks).value)

    assert rate(whole) == pytest.approx((m - 1) / (m - 2), rel=1e-12)
    assert rate(centred) == pytest.approx((m - 2) / (m - 3), rel=1e-12)
    with pytest.raises(AssertionError):
        assert rate(whole) == pytest.approx(rate(centred), rel=1e-6)
