"""Laws of depth: a power, a transient, growing steps and two segments are told from each other and
from a constant factor."""

import numpy as np
import pytest

from depthscale.measure.laws import (
    Factor,
    Power,
    Segments,
    SuperExponential,
    Transient,
    fit_power,
    law_of,
)
from measure.test_segments import steps

N = 28
PLACE = np.arange(1.0, N + 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_transient_onto_a_plateau_is_no_power_of_depth(seed: int) -> None:
    """Steps 1, .6, .36, ...: their sum is 2.5, and beyond ten steps nothing is left; from either
    end, up or down."""
    noise = np.random.default_rng(seed).normal(0, 0.02, N)
    for sign, turned in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        log_steps = sign * (0.6 ** (PLACE - 1))[::turned] + noise
        law = law_of(log_steps, PLACE)
        assert isinstance(law, Transient)
        assert law.from_input == (turned == 1)
        assert law.first == pytest.approx(sign, abs=4 * law.stderr + 0.01)
        assert (law.kept, law.reach) == (0.6, 5)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_power_of_depth_is_no_plateau_and_no_cut(exponent: float, seed: int) -> None:
    """As residual networks grow: steps exponent log((k + 1) / k)."""
    log_steps = exponent * np.log((PLACE + 1) / PLACE) + np.random.default_rng(seed).normal(
        0, 0.03, N
    )
    law = law_of(log_steps, PLACE)
    assert isinstance(law, Power)
    assert law.exponent == pytest.approx(exponent, abs=5 * law.stderr)


def test_two_rates_do_not_pass_for_a_steep_power_of_depth() -> None:
    """x2 a step, then x0.85: a power of 9 fits better than one factor, but not than two."""
    log_steps = steps((np.log(2), 19), (np.log(0.85), 9))
    power = fit_power(log_steps, PLACE)
    assert power is not None
    assert power.evidence > 6
    assert power.exponent > 5
    assert not isinstance(law_of(log_steps, PLACE), Power)


def test_no_law_is_found_in_a_constant_factor() -> None:
    for seed in range(100):
        log_steps = steps((0.4, N), spread=0.1, seed=seed)
        assert isinstance(law_of(log_steps, PLACE), Factor)


@pytest.mark.parametrize("ratio", [1.1, 1.3, 2.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_steps_that_grow_with_depth_are_faster_than_exponential(ratio: float, sign: int) -> None:
    """As of a map whose factor depends on the size that it meets: x -> x^2 doubles every log
    step."""
    noise = np.random.default_rng(0).normal(0, 0.002, 12)
    log_steps = np.asarray(sign * (0.05 * ratio ** np.arange(12) + noise), np.float64)
    law = law_of(log_steps, PLACE[:12])
    assert isinstance(law, SuperExponential)
    assert law.kind == "super-exponential"
    assert law.ratio == pytest.approx(ratio, abs=0.1)
    assert law.last == pytest.approx(log_steps[-1], rel=0.15)


def test_steps_that_differ_in_sign_or_do_not_grow_are_no_super_exponential() -> None:
    rng = np.random.default_rng(1)
    settling = np.asarray(0.6 ** np.arange(6)[::-1], np.float64)
    late = np.concatenate([rng.normal(0, 0.05, 22), settling])
    assert isinstance(law_of(late, PLACE), Transient), "steady up to the last steps"
    two_rates = steps((0.1, 14), (0.7, 14))
    assert isinstance(law_of(two_rates, PLACE), Factor)


def test_noise_free_steps_are_judged_beyond_their_own_error() -> None:
    """A factor that is constant but for rounding has no other law, whatever the rounding looks
    like; a power of depth is one as long as its bend exceeds the error."""
    bent = 1.5 * np.log((PLACE + 1) / PLACE)
    assert isinstance(law_of(0.4 + 1e-13 * bent, PLACE, error=1e-12), Factor)
    assert isinstance(law_of(1e-13 * bent, PLACE, error=1e-12), Factor)
    law = law_of(bent, PLACE, error=1e-12)
    assert isinstance(law, Power)
    assert law.exponent == pytest.approx(1.5, rel=1e-9)
    assert isinstance(law_of(bent, PLACE, error=1.0), Factor)


def test_every_law_has_its_evidence() -> None:
    both_ways = law_of(steps((0.7, 14), (-0.7, 14)), PLACE)
    assert isinstance(both_ways, Segments)
    assert both_ways.evidence > 20
    assert Factor().evidence == 0
