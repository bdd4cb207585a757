"""Tables: the same numbers as computed one at a time, within the error, for a walk's price."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthscale.errors import Divergent, InvalidSpec
from depthscale.network.activations import activation
from depthscale.numerics.closed_forms import ERF, leaky
from depthscale.numerics.estimate import Estimate, Estimates
from depthscale.numerics.gaussian import expect, expect_pair
from depthscale.numerics.table import Table, expect_at, expect_pair_at, together_at

ERF_SQUARE = expect_at(lambda x: activation("erf").phi(x) ** 2)
CLIP_SQUARE = expect_at(lambda x: np.clip(x, -1, 1) ** 2, (-1.0, 1.0))
RELU = activation("relu")
RELU_PAIR = expect_pair_at(RELU.phi, RELU.phi, 2.0, 2.0, (0.0,), (0.0,))
laws = settings(max_examples=100, deadline=None, derandomize=True)


def require_same(table: Estimate, truth: float) -> None:
    assert abs(table.value - truth) <= table.error + 4e-16 * abs(truth), (
        f"{table} against {truth!r}"
    )
    assert table.error <= 1e-12 * abs(truth)


@laws
@given(st.floats(-600, 600))
def test_a_table_over_the_variance_is_the_closed_form(log_q):
    q = float(np.exp(log_q))
    require_same(ERF_SQUARE(q), float(ERF.kernel(q, 1.0)))
    with pytest.raises(AssertionError):
        require_same(ERF_SQUARE(q), float(ERF.kernel(q, 1.0)) * (1 + 1e-11))


@laws
@given(st.floats(1e-3, 1e5))
def test_a_table_is_what_one_at_a_time_gives_also_with_kinks(q):
    direct = expect(lambda x: np.clip(x, -1, 1) ** 2, q, (-1.0, 1.0))
    assert abs(CLIP_SQUARE(q).value - direct.value) <= CLIP_SQUARE(q).error + direct.error


@laws
@given(st.floats(-0.99, 1.0))
def test_a_table_over_the_correlation_is_the_closed_form(c):
    require_same(RELU_PAIR(c), float(leaky(0.0).kernel(2.0, c)))


@pytest.mark.parametrize("c", [-1.0, 1.0, 1 - 1e-15, 0.0, np.cos(np.pi / 8)])
def test_a_table_over_the_correlation_holds_at_its_edges(c):
    direct = expect_pair(RELU.phi, RELU.phi, 2.0, 2.0, float(c), (0.0,), (0.0,))
    assert abs(RELU_PAIR(float(c)).value - direct.value) <= RELU_PAIR(float(c)).error + direct.error


def test_a_walk_through_a_thousand_layers_calls_the_activation_a_few_times():
    calls = []

    def square(x):
        calls.append(x.size)
        return np.tanh(x) ** 2

    at, q = expect_at(square), 3.0
    for _ in range(1000):
        q = 1.7603 * at(q).value + 0.05
    assert q == pytest.approx(0.56965, abs=6e-6)  # the critical point of tanh at sigma_b2 = 0.05
    assert len(calls) <= 20


def test_where_the_series_does_not_converge_every_answer_is_computed():
    asked = []

    def rough(x):
        asked.append(len(x))
        return Estimates(np.abs(x - 0.3), np.zeros(len(x)))

    table = Table(rough, lambda x: (0, x), lambda _, where: where)
    assert table(0.31).value == pytest.approx(0.01)
    assert table(0.32).value == pytest.approx(0.02)
    assert asked[1:] == [1, 1]


def test_refusals_are_those_of_the_expectation():
    assert expect_at(np.cos)(0.0).value == 1.0
    with pytest.raises(InvalidSpec, match="variance"):
        expect_at(np.cos)(-1.0)
    with pytest.raises(InvalidSpec, match="correlation"):
        RELU_PAIR(1.5)
    with pytest.raises(Divergent):
        expect_at(lambda x: np.exp(x * x))(1.0)


def test_several_numbers_together_are_computed_a_few_times_and_told_from_then_on():
    """E x^2 and E |x|: their closed forms, at first as computed and then by series; the twin is
    1e-11 off."""
    calls = []

    def both(q: float) -> tuple[Estimate, Estimate]:
        calls.append(q)
        return expect(lambda x: x**2, q), expect(np.abs, q, (0.0,))

    at, asked = together_at(both, 2), np.linspace(0.6, 1.9, 400)
    for q in asked:
        square, size = at(float(q))
        require_same(square, float(q))
        require_same(size, float(np.sqrt(2 * q / np.pi)))
        with pytest.raises(AssertionError):
            require_same(size, float(np.sqrt(2 * q / np.pi)) * (1 + 1e-11))
    assert len(calls) < 60
