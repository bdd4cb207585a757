"""Expectations over a sphere: against exact moments, closed forms, a Gegenbauer series and Monte
Carlo."""

from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.special import eval_gegenbauer, gammaln, roots_gegenbauer

from depthscale.errors import Divergent, InvalidSpec
from depthscale.network.activations import activation
from depthscale.numerics import gaussian
from depthscale.numerics.closed_forms import leaky
from depthscale.numerics.estimate import Estimate
from depthscale.numerics.sphere import Sphere, expect, expect_pair

BATCHES = [4, 5, 6, 7, 16, 33, 128, 4096, 10**6, 10**9]
laws = settings(max_examples=30, deadline=None, derandomize=True)


def relu(x):
    return np.maximum(x, 0.0)


def require_sharp(estimate: Estimate, truth: float, relative: float = 1e-12) -> None:
    """The truth lies within the error, and the error within 1e-12."""
    assert abs(estimate.value - truth) <= estimate.error, f"{estimate} against {truth!r}"
    assert estimate.error <= relative * abs(truth)


def require_within(measured: float, expected: float, stderr: float, k: float = 4.0) -> None:
    assert abs(measured - expected) <= k * stderr, f"{measured} against {expected} +- {stderr}"


def coordinate_moment(k: int, d: int) -> float:
    """E z^k for even k on the sphere of radius sqrt(d) in R^d: d^(k/2) (k-1)!! / (d (d+2) ...
    (d+k-2))."""
    return float(np.prod([d * (2 * i + 1) / (d + 2 * i) for i in range(k // 2)]))


@pytest.mark.parametrize("batch", [3, *BATCHES])
def test_even_moments_of_a_coordinate_are_exact(batch):
    for k in (0, 2, 4, 6, 8):
        require_sharp(expect(lambda z, k=k: z**k, batch), coordinate_moment(k, batch - 1))


@pytest.mark.parametrize("batch", BATCHES)
def test_moments_of_two_coordinates_are_exact(batch):
    d, rho = batch - 1, -1.0 / (batch - 1)
    require_sharp(expect_pair(lambda x, y: x * y + 1, batch), 1 + rho)
    require_sharp(expect_pair(lambda x, y: (x * y) ** 2, batch), (1 + 2 * rho**2) * d / (d + 2))
    require_sharp(
        expect_pair(lambda x, y: (x + y) ** 4, batch), (2 + 2 * rho) ** 2 * 3 * d / (d + 2)
    )


@pytest.mark.parametrize("batch", BATCHES)
def test_kinked_functions_have_the_gaussian_closed_forms(batch):
    """Functions of degree 0 and 2 do not see the radius: the arc-cosine kernels hold at every
    batch."""
    rho, kink = -1.0 / (batch - 1), (0.0,)
    require_sharp(expect(lambda z: relu(z) ** 2, batch, kink), 0.5)
    require_sharp(
        expect_pair(lambda x, y: relu(x) * relu(y), batch, kink), float(leaky(0.0).kernel(1.0, rho))
    )
    require_sharp(
        expect_pair(lambda x, y: 1.0 * (x > 0) * (y > 0), batch, kink),
        float(leaky(0.0).slopes(1.0, rho)),
    )


def test_batch_four_is_uniform_on_its_interval():
    """Archimedes: z1 is uniform on [-sqrt 3, sqrt 3]."""
    require_sharp(expect(relu, 4, (0.0,)), sqrt(3) / 4)
    require_sharp(expect(lambda z: 1.0 * (z > 1), 4, (1.0,)), (sqrt(3) - 1) / (2 * sqrt(3)))
    require_sharp(expect(np.exp, 4), float(np.sinh(sqrt(3)) / sqrt(3)))


def test_batch_three_is_a_circle():
    require_sharp(expect(np.abs, 3, (0.0,)), sqrt(2) * 2 / pi)


def test_a_whole_sphere_has_uncorrelated_coordinates():
    for m in (3, 8, 64):
        require_sharp(expect_pair(lambda x, y: (x * y) ** 2, Sphere.whole(m)), m / (m + 2))
        require_sharp(expect(lambda z: z**4, Sphere.whole(m)), 3 * m / (m + 2))
    assert Sphere.centred(9) == Sphere(8, -1 / 8)


@pytest.mark.parametrize("name", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("shape", [Sphere.centred, Sphere.whole])
def test_a_large_sphere_is_gaussian_up_to_one_over_its_size(name, shape):
    a = activation(name)
    limit = gaussian.expect(lambda x: a.phi(x) ** 2, 1.0, a.kinks).value
    gaps = [
        n * (expect(lambda z: a.phi(z) ** 2, shape(n), a.kinks).value - limit)
        for n in (1_000, 10_000, 100_000)
    ]
    assert gaps[2] == pytest.approx(gaps[1], rel=2e-3, abs=1e-8)
    assert abs(gaps[1]) < 1


def gegenbauer_coefficients(phi, batch: int, degree: int) -> np.ndarray:
    """a_k of phi(sqrt(B-1) t) in the orthonormal Gegenbauer polynomials of weight (1 -
    t^2)^((B-4)/2) / mass."""
    alpha, k = (batch - 3) / 2, np.arange(degree + 1)
    t, w = roots_gegenbauer(400, alpha)
    log_norm2 = (
        np.log(pi)
        + (1 - 2 * alpha) * np.log(2)
        + gammaln(k + 2 * alpha)
        - gammaln(k + 1)
        - np.log(k + alpha)
    )
    basis = (
        eval_gegenbauer(k[:, None], alpha, t)
        / np.exp((log_norm2 - 2 * gammaln(alpha)) / 2)[:, None]
    )
    return basis @ (w * phi(sqrt(batch - 1) * t)) / sqrt(w.sum())


def gegenbauer_ratio(batch: int, degree: int) -> np.ndarray:
    """C_k(rho) / C_k(1): what a correlation rho leaves of the k-th term."""
    k = np.arange(degree + 1)
    return eval_gegenbauer(k, (batch - 3) / 2, -1 / (batch - 1)) / eval_gegenbauer(
        k, (batch - 3) / 2, 1.0
    )


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "erf"])
@pytest.mark.parametrize("batch", [5, 8, 16, 64])
def test_a_gegenbauer_series_gives_the_same_numbers(name, batch):
    phi, degree = activation(name).phi, 160 if batch < 32 else 60
    a = gegenbauer_coefficients(phi, batch, degree)
    assert expect(lambda z: phi(z) ** 2, batch).value == pytest.approx(a @ a, rel=1e-12)
    pair = expect_pair(lambda x, y: phi(x) * phi(y), batch).value
    assert pair == pytest.approx(a**2 @ gegenbauer_ratio(batch, degree), rel=1e-11, abs=1e-13)
    with pytest.raises(AssertionError):  # the neighbour's correlation is another number
        assert pair == pytest.approx(
            a**2 @ gegenbauer_ratio(batch + 1, degree), rel=1e-11, abs=1e-13
        )


@pytest.mark.parametrize(
    ("name", "batch"),
    [("hard_tanh", 4), ("hard_tanh", 7), ("relu6", 5), ("elu", 6), ("leaky_relu(0.2)", 4)],
)
def test_drawn_points_give_the_same_numbers(name, batch):
    a = activation(name)
    z = np.random.default_rng(batch).standard_normal((400_000, batch))
    z -= z.mean(axis=1, keepdims=True)
    z /= np.sqrt((z**2).mean(axis=1, keepdims=True))
    for h in (
        lambda x, y: a.phi(x) * a.phi(y),
        lambda x, y: (1 + x * y) * a.derivative(x) * a.derivative(y),
    ):
        drawn, exact = h(z[:, 0], z[:, 1]), expect_pair(h, batch, a.kinks)
        stderr = float(drawn.std() / sqrt(len(drawn)))
        require_within(float(drawn.mean()), exact.value, stderr)
        with pytest.raises(AssertionError):
            require_within(float(drawn.mean()), exact.value + 9 * stderr, stderr)


@pytest.mark.parametrize("batch", [4, 5, 8, 64])
def test_kinks_apart_from_zero_at_small_batch(batch):
    """P(|z1| < 1): the same number through one coordinate and through two, whose kinks cross the
    edge of the sphere."""
    one = expect(lambda z: 1.0 * (np.abs(z) < 1), batch, (-1.0, 1.0))
    parts = [
        expect_pair(
            lambda x, y, inside=inside: (np.abs(x) < 1) * 1.0 * ((np.abs(y) < 1) == inside),
            batch,
            (-1.0, 1.0),
        )
        for inside in (True, False)
    ]
    assert sum(p.value for p in parts) == pytest.approx(one.value, rel=1e-13)
    mirrored = expect_pair(lambda x, y: (np.abs(y) < 1) * 1.0, batch, (-1.0, 1.0))
    assert abs(mirrored.value - one.value) <= mirrored.error + one.error


@pytest.mark.parametrize("batch", [4, 5, 6, 16])
def test_edges_are_known_and_not_hunted(batch):
    """Where a kink meets the edge of the sphere the inner integral has a root; halving towards it
    takes 60 million points."""
    points = []

    def both_positive(x, y):
        points.append(x.size)
        return 1.0 * (x > 0) * (y > 0)

    expect_pair(both_positive, batch, (0.0,))
    assert sum(points) < 1_000_000


@pytest.mark.parametrize("gain", [5.0, 40.0])
def test_gain_and_shift_may_sit_inside_the_function(gain):
    z = np.linspace(-sqrt(7), sqrt(7), 2_000_001)
    weight = np.clip(1 - z * z / 7, 0, None) ** 2
    truth = trapezoid(np.tanh(gain * z + 1) ** 2 * weight, z) / trapezoid(weight, z)
    assert expect(lambda z: np.tanh(gain * z + 1) ** 2, 8).value == pytest.approx(truth, rel=1e-9)


@laws
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.integers(3, 10_000))
def test_polynomials_are_exact(coefficients, batch):
    found = expect(lambda z: np.polyval(coefficients, z), batch)
    degree = len(coefficients) - 1
    truth = sum(
        a * coordinate_moment(degree - i, batch - 1)
        for i, a in enumerate(coefficients)
        if (degree - i) % 2 == 0
    )
    assert abs(found.value - truth) <= found.error


@laws
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(4, 500))
def test_expectation_is_linear_and_symmetric(a, b, batch):
    both = expect_pair(lambda x, y: a * np.tanh(x) * y + b * relu(x) * relu(y), batch, (0.0,))
    one = expect_pair(lambda x, y: x * np.tanh(y), batch)
    two = expect_pair(lambda x, y: relu(y) * relu(x), batch, (0.0,))
    assert (
        abs(both.value - a * one.value - b * two.value)
        <= both.error + abs(a) * one.error + abs(b) * two.error
    )


@laws
@given(st.integers(3, 10**7))
def test_odd_functions_vanish(batch):
    found = expect(np.sin, batch)
    assert abs(found.value) <= found.error


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: expect(np.tanh, 2), "batch >= 3, got 2"),
        (lambda: expect_pair(np.multiply, 3), "batch >= 4"),
        (lambda: Sphere.whole(1), "size >= 2"),
    ],
)
def test_a_sphere_that_is_too_small_is_refused(ask, says):
    with pytest.raises(InvalidSpec, match=says):
        ask()


def test_an_integrand_that_is_not_finite_is_refused():
    with pytest.raises(Divergent, match="Sphere"):
        expect(lambda z: np.log(z), 8)
    with pytest.raises(Divergent):
        expect_pair(lambda x, y: x / (y - y), 8)


def test_the_check_notices_a_wrong_number():
    with pytest.raises(AssertionError):
        require_sharp(expect(lambda z: z**4, 8), 3.0)
    with pytest.raises(AssertionError):
        require_sharp(Estimate(1.0 + 1e-12, 1e-14), 1.0)
