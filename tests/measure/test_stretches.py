"""Laws of depth: a power, a transient onto a plateau, and depths that turn are told from each other
and from chance."""

import numpy as np
import pytest

from depthscale.measure.law import plateau, power_law
from depthscale.measure.stretches import Stretch, stretches

N = 28
PLACE = np.arange(1.0, N + 1)


def steps(*parts: tuple[float, int], spread: float = 0.05, seed: int = 0) -> np.ndarray:
    """log steps of parts (mean, how many)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, spread, count) for mean, count in parts])


@pytest.mark.parametrize(
    "parts",
    [
        ((0.7, 14), (-0.7, 14)),
        ((-0.7, 9), (0.7, 19)),
        ((0.7, 9), (-0.7, 10), (0.7, 9)),
        ((0.5, 9), (0.0, 9), (-0.5, 10)),
    ],
)
def test_a_depth_that_turns_is_cut_where_it_turns(parts: tuple[tuple[float, int], ...]) -> None:
    found = stretches(steps(*parts))
    assert [each.steps for each in found] == [count for _, count in parts]
    assert [each.direction for each in found] == [int(np.sign(mean)) for mean, _ in parts]
    for each, (mean, _) in zip(found, parts, strict=True):
        assert abs(np.log(each.rate) - mean) < 4 * each.log_stderr
        low, high = each.interval
        assert low < each.rate < high


@pytest.mark.parametrize(
    "parts",
    [
        ((0.7, 14), (0.1, 14)),  # two rates of one direction
        ((0.7, 20), (-0.3, 3)),  # what falls is nothing beside what grows
        ((0.02, 14), (-0.02, 14)),  # too little to matter
        ((0.7, 28),),
    ],
)
def test_what_goes_one_way_does_not_turn(parts: tuple[tuple[float, int], ...]) -> None:
    assert stretches(steps(*parts, spread=0.005)) == ()


@pytest.mark.parametrize("n", [6, 28, 60])
def test_chance_does_not_turn(n: int) -> None:
    """Random walks, of Gaussian steps and of steps with heavy tails: under 1 in 500 (5 of 600 has
    probability 0.01 at that)."""
    rng = np.random.default_rng(n)
    walks = [rng.normal(0, 0.3, n) if k % 2 else 0.3 * rng.standard_t(4, n) for k in range(600)]
    assert sum(bool(stretches(walk)) for walk in walks) < 5


def test_a_stretch_without_spread_is_sure() -> None:
    assert [Stretch(0, 2, rate, 0.0).direction for rate in (2.0, 1.0, 0.5)] == [1, 0, -1]


@pytest.mark.parametrize("seed", range(5))
def test_a_transient_onto_a_plateau_is_no_power_of_depth(seed: int) -> None:
    """Steps 1, .6, .36, ...: their sum is 2.5, and beyond ten steps nothing is left; from either
    end, up or down."""
    noise = np.random.default_rng(seed).normal(0, 0.02, N)
    for sign, turned in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        log_steps = sign * (0.6 ** (PLACE - 1))[::turned] + noise
        found = plateau(log_steps)
        assert found is not None
        assert found.better(power_law(log_steps, PLACE))
        assert found.from_input == (turned == 1)
        assert found.first == pytest.approx(sign, abs=4 * found.stderr + 0.01)
        assert (found.kept, found.reach) == (0.6, 5)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_power_of_depth_is_no_plateau_and_no_cut(exponent: float, seed: int) -> None:
    """As residual networks grow: steps exponent log((k + 1) / k)."""
    log_steps = exponent * np.log((PLACE + 1) / PLACE) + np.random.default_rng(seed).normal(
        0, 0.03, N
    )
    law, level = power_law(log_steps, PLACE), plateau(log_steps)
    assert law is not None
    assert level is not None
    assert law.better
    assert not level.better(law)
    assert law.exponent == pytest.approx(exponent, abs=5 * law.stderr)


def test_two_rates_do_not_pass_for_a_steep_power_of_depth() -> None:
    """x2 a step, then x0.85: a power of 9 fits better than one factor, but not than two."""
    log_steps = steps((np.log(2), 19), (np.log(0.85), 9))
    law = power_law(log_steps, PLACE)
    assert law is not None
    assert law.evidence > 6
    assert law.exponent > 5
    assert not law.better


def test_neither_law_is_found_in_a_constant_factor() -> None:
    for seed in range(100):
        log_steps = steps((0.4, N), spread=0.1, seed=seed)
        law, level = power_law(log_steps, PLACE), plateau(log_steps)
        assert law is not None
        assert level is not None
        assert not law.better
        assert not level.better(law)
