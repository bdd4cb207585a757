"""Laws of the maps and of their fixed points, the answers where theory ends, and the diagram
against single points."""

from math import inf, isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthscale.errors import Divergent, InvalidSpec
from depthscale.numerics import sphere
from depthscale.numerics.estimate import Estimate
from depthscale.theory.classical.critical import critical_line, phase_diagram
from depthscale.theory.classical.fixed_points import c_star, q_star
from depthscale.theory.classical.maps import c_map, chi_1, chi_c, chi_q, q_map
from depthscale.theory.classical.point import classical, depth_scale
from depthscale.theory.corrections.relaxation import relaxation
from tolerances import within

SMOOTH = ("tanh", "erf", "sin", "gelu", "softplus")
names = st.sampled_from([*SMOOTH, "relu", "elu", "leaky_relu(0.3)", "hard_tanh"])
smooth = st.sampled_from(SMOOTH)
bounded = st.sampled_from(["tanh", "erf", "sin", "softsign", "sigmoid"])
weights = st.floats(0.05, 6.0)
biases = st.floats(1e-3, 1.0)
variances = st.floats(1e-3, 20.0)
quick = settings(max_examples=25, deadline=None)


@quick
@given(name=names, q=variances, sigma_w2=weights, sigma_b2=biases)
def test_the_c_map_keeps_1_at_every_variance(
    name: str, q: float, sigma_w2: float, sigma_b2: float
) -> None:
    assert c_map(name, 1.0, q, sigma_w2, sigma_b2).value == pytest.approx(1.0, abs=1e-13)


@quick
@given(name=names, q=variances, sigma_w2=weights, sigma_b2=biases)
def test_the_c_map_increases_and_is_convex(
    name: str, q: float, sigma_w2: float, sigma_b2: float
) -> None:
    values = [c_map(name, c, q, sigma_w2, sigma_b2).value for c in np.linspace(0, 1, 6)]
    assert (np.diff(values) > -1e-13).all()
    assert (np.diff(values, 2) > -1e-13).all()


@quick
@given(name=smooth, q=st.floats(0.05, 5.0), c=st.floats(-0.9, 0.9))
def test_slopes_are_those_of_the_maps(name: str, q: float, c: float) -> None:
    h = 1e-4
    q_slope = (
        q_map(name, q * (1 + h), 1.7, 0.1).value - q_map(name, q * (1 - h), 1.7, 0.1).value
    ) / (2 * h * q)
    assert chi_q(name, q, 1.7).value == pytest.approx(q_slope, rel=1e-6, abs=1e-8)
    scale = q / q_map(name, q, 1.7, 0.1).value
    c_slope = (c_map(name, c + h, q, 1.7, 0.1).value - c_map(name, c - h, q, 1.7, 0.1).value) / (
        2 * h
    )
    assert scale * chi_c(name, c, q, 1.7).value == pytest.approx(c_slope, rel=1e-6, abs=1e-8)
    top = [c_map(name, 1 - k * h, q, 1.7, 0.1).value for k in range(3)]
    assert scale * chi_1(name, q, 1.7).value == pytest.approx(
        (3 * top[0] - 4 * top[1] + top[2]) / (2 * h), rel=1e-4
    )


@quick
@given(name=bounded, sigma_w2=weights, sigma_b2=biases)
def test_q_star_is_a_stable_fixed_point_and_the_one_that_iteration_finds(
    name: str, sigma_w2: float, sigma_b2: float
) -> None:
    q = q_star(name, sigma_w2, sigma_b2)
    assert abs(q_map(name, q.value, sigma_w2, sigma_b2).value - q.value) <= 1e-12 * q.value
    assert abs(chi_q(name, q.value, sigma_w2).value) < 1
    assert 0 < q.error < 1e-9 * q.value
    at = 1.0
    for _ in range(60):
        at = q_map(name, at, sigma_w2, sigma_b2).value
    assert (
        abs(at - q.value)
        <= abs(1 - q.value) * max(0.0, chi_q(name, q.value, sigma_w2).value) ** 20 + 1e-10
    )


@quick
@given(name=bounded, sigma_w2=weights, sigma_b2=biases)
def test_the_phase_agrees_with_chi_1_and_with_c_star(
    name: str, sigma_w2: float, sigma_b2: float
) -> None:
    found = classical(name, sigma_w2, sigma_b2)
    assert found.phase == ("ordered" if found.chi_1.value < 1 else "chaotic")
    assert (found.c_star.value == 1) == (found.phase == "ordered")
    assert found.chi_c.value < 1
    moved = c_map(name, found.c_star.value, found.q_star.value, sigma_w2, sigma_b2).value
    assert abs(moved - found.c_star.value) <= 1e-9


@quick
@given(
    name=st.sampled_from(["tanh", "erf", "sin", "elu", "gelu", "hard_tanh"]),
    sigma_b2=st.floats(1e-4, 2.0),
)
def test_critical_points_are_fixed_points_with_chi_1_equal_to_1(name: str, sigma_b2: float) -> None:
    for point in critical_line(name, sigma_b2):
        weight = point.sigma_w2.value
        assert abs(chi_1(name, point.q_star, weight).value - 1) <= 1e-9
        assert q_map(name, point.q_star, weight, sigma_b2).value == pytest.approx(
            point.q_star, rel=1e-9
        )


def test_c_star_keeps_its_digits_near_the_critical_line() -> None:
    """Of sin it solves exp(-q) sinh(q c) w + b = q c; next to 1 by Taylor: 1 - c = 2 (chi_1 - 1) /
    (w q exp(-q) sinh q)."""
    (point,) = critical_line("sin", 0.1)
    found = classical("sin", point.sigma_w2.value * (1 + 1e-7), 0.1)
    q, w = found.q_star.value, found.sigma_w2
    expected = 2 * (found.chi_1.value - 1) / (w * q * np.exp(-q) * np.sinh(q))
    assert 1 - found.c_star.value == pytest.approx(expected, rel=1e-5)
    assert 0 < 1 - found.c_star.value < 1e-6


def test_a_users_function_has_the_numbers_of_the_table() -> None:
    mine, known = classical(lambda x: np.tanh(x), 1.5, 0.05), classical("tanh", 1.5, 0.05)
    assert mine.q_star.value == pytest.approx(known.q_star.value, rel=1e-12)
    assert mine.xi_c.value == pytest.approx(known.xi_c.value, rel=1e-9)


@pytest.mark.parametrize("batch", [6, 10])
@pytest.mark.parametrize(
    ("name", "phi"),
    [
        ("relu", lambda z: np.maximum(z, 0)),
        ("abs", np.abs),
        ("linear", np.array),
        ("tanh", np.tanh),
        ("silu", lambda z: z / (1 + np.exp(-z))),
    ],
)
def test_relaxation_is_that_of_sampled_neurons(name: str, phi, batch: int) -> None:
    """Two opposite small changes of y's second moments, on the same draws; centred modes keep their
    direction."""
    rng, found, n, step = np.random.default_rng(1), relaxation(batch, name), 80_000, 0.05
    centred = np.eye(batch) - 1 / batch
    correlations = np.zeros((batch, batch))
    for i, j, sign in ((0, 1, 1), (2, 3, 1), (0, 2, -1), (1, 3, -1)):
        correlations[i, j] = correlations[j, i] = sign
    norms = centred @ np.diag([1.0, -1.0, *[0.0] * (batch - 2)]) @ centred
    square = sphere.expect(lambda z: phi(z) ** 2, batch, (0.0,)).value
    spread = 1 - sphere.expect_pair(lambda u, v: phi(u) * phi(v), batch, (0.0,)).value / square
    for mode, expected in ((correlations, found.lambda_m), (norms, found.lambda_l)):
        blocks = []
        for _ in range(10):
            g = rng.standard_normal((n // 10, batch)) @ centred
            outputs = []
            for side in (step, -step):
                values, vectors = np.linalg.eigh(spread * centred + side * mode)
                y = g @ vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
                z = y / np.sqrt((y**2).mean(1, keepdims=True))
                x = phi(z) / np.sqrt(square)
                outputs.append(np.einsum("ni,ij,nj->n", x, mode, x).mean())
            blocks.append((outputs[0] - outputs[1]) / (2 * step * (mode**2).sum()))
        within(
            float(np.mean(blocks)), expected, float(np.std(blocks, ddof=1) / sqrt(10)), bias=0.01
        )


# ---- where theory ends


@pytest.mark.parametrize(
    ("name", "sigma_w2", "sigma_b2", "q", "says"),
    [
        ("relu", 2.0, 0.1, inf, "grows without bound"),
        ("relu", 2.5, 0.0, inf, "grows without bound"),
        ("gelu", 2.5, 0.1, inf, "grows without bound"),
        ("linear", 1.5, 0.0, inf, "keeps every correlation"),
        ("relu", 1.0, 0.0, 0.0, "signal vanishes"),
        ("tanh", 0.8, 0.0, 0.0, "phi is a line there"),
        ("tanh", 1.0, 0.0, 0.0, "signal vanishes"),
        ("tanh", 0.0, 0.0, 0.0, "every layer is 0"),
        ("relu", 2.0, 0.0, 1.0, "every variance is kept"),
    ],
)
def test_an_end_of_theory_is_an_answer_with_advice(
    name: str, sigma_w2: float, sigma_b2: float, q: float, says: str
) -> None:
    found = classical(name, sigma_w2, sigma_b2)
    assert found.q_star.value == q
    assert says in found.advice


def test_an_infinite_expectation_is_an_answer_with_advice() -> None:
    def steep(x: np.ndarray) -> np.ndarray:
        return np.exp(x * x)

    found = classical(steep, 1.0, 0.1)
    assert found.phase == "undefined"
    assert isnan(found.chi_1.value)
    assert "expectation does not exist" in found.advice


def test_what_is_nan_is_never_without_advice() -> None:
    for name in ("relu", "tanh", "gelu", "softplus", "abs", "selu"):
        for sigma_w2 in (0.0, 0.5, 1.0, 2.0, 4.0):
            for sigma_b2 in (0.0, 0.1):
                found = classical(name, sigma_w2, sigma_b2)
                unknown = [
                    v for v in vars(found).values() if isinstance(v, Estimate) and isnan(v.value)
                ]
                assert found.advice or not unknown


def test_arguments_that_mean_nothing_are_refused_by_name() -> None:
    for wrong in (-0.1, inf, float("nan")):
        with pytest.raises(InvalidSpec, match="sigma_w2"):
            classical("tanh", wrong, 0.1)
        with pytest.raises(InvalidSpec, match="sigma_b2"):
            critical_line("tanh", wrong)
    with pytest.raises(InvalidSpec, match="correlation"):
        c_map("tanh", 1.2, 1.0, 1.0, 0.1)
    with pytest.raises(InvalidSpec, match="q0"):
        classical("tanh", 1.0, 0.1, q0=0.0)
    with pytest.raises(Divergent, match="no correlation"):
        c_star("tanh", 0.0, 0.0, 0.0)
    with pytest.raises(InvalidSpec, match="at least 3 samples"):
        relaxation(2)


def test_depth_scales_at_the_ends() -> None:
    assert depth_scale(Estimate(1.0, 1e-15)).value == inf
    assert depth_scale(Estimate(0.0, 0.0)).value == 0.0
    assert depth_scale(Estimate(np.exp(-1 / 7), 0.0)).value == pytest.approx(7)
    assert depth_scale(Estimate(-np.exp(-1 / 7), 0.0)).value == pytest.approx(7)


# ---- the diagram


@pytest.mark.parametrize("name", ["tanh", "erf", "relu"])
def test_every_line_of_the_diagram_has_its_depth_scale(name: str) -> None:
    diagram = phase_diagram(name, 4.0, 0.5, levels=(3.0, 12.0))
    assert {line.phase for line in diagram.levels} == (
        {"ordered"} if name == "relu" else {"ordered", "chaotic"}
    )
    for line in (*diagram.levels, diagram.critical):
        assert (line.sigma_w2 <= 4.0).all()
        assert ((line.sigma_b2 >= 0) & (line.sigma_b2 <= 0.5)).all()
        for i in range(1, len(line.q_star) - 1, 7):
            found = classical(name, float(line.sigma_w2[i]), float(line.sigma_b2[i]))
            if line.phase == "critical":
                assert found.chi_1.value == pytest.approx(1.0, abs=1e-9)
            elif 0 < line.sigma_b2[i] < 0.5:
                assert found.xi_c.value == pytest.approx(line.xi_c, rel=1e-5)
                assert found.phase == line.phase


def test_relu_has_an_edge_at_2_and_tanh_has_none() -> None:
    assert set(phase_diagram("relu").edge.sigma_w2) == {2.0}
    assert not (phase_diagram("erf").edge.sigma_b2 > 0).any()
