"""Segments: a depth that grows over one part and shrinks over another is told from chance."""

import numpy as np
import pytest

from depthscale.measure.segments import Segment, _best_part, _ends, segments


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
    found = segments(steps(*parts))
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
    assert segments(steps(*parts, spread=0.005)) == ()


@pytest.mark.parametrize("n", [6, 28, 60])
def test_chance_does_not_turn(n: int) -> None:
    """Random walks, of Gaussian steps and of steps with heavy tails: under 1 in 500 (5 of 600 has
    probability 0.01 at that)."""
    rng = np.random.default_rng(n)
    walks = [rng.normal(0, 0.3, n) if k % 2 else 0.3 * rng.standard_t(4, n) for k in range(600)]
    assert sum(bool(segments(walk)) for walk in walks) < 5


def test_a_segment_without_spread_is_sure() -> None:
    assert [Segment(0, 2, rate, 0.0).direction for rate in (2.0, 1.0, 0.5)] == [1, 0, -1]


@pytest.mark.parametrize("n", [6, 7, 41, 130])
def test_no_other_part_differs_more_from_the_rest(n: int) -> None:
    """Against all parts, each with the variance that two means leave."""
    walk = np.cumsum(np.random.default_rng(n).normal(size=n))
    left = {
        (first, end): sum(part.var() * len(part) for part in (walk[first:end], rest))
        for first in (0, *range(3, n))
        for end in range(first + 3, n - 2)
        if len(rest := np.delete(walk, np.s_[first:end])) >= 3
    }
    best = min(left, key=lambda part: left[part])
    first, end, evidence = _best_part(walk) or (0, 0, 0.0)
    assert (first, end) == best
    assert evidence == pytest.approx(n * np.log(walk.var() * n / left[best]), rel=1e-9)


def test_a_depth_that_breaks_into_a_thousand_parts_is_cut_in_time() -> None:
    """Each part cut off the end is a part of three, one below the other."""
    ends = _ends(np.linspace(0.0, 1.0, 6000) ** 200)
    assert len(ends) > 300
    assert min(np.diff([0, *ends])) >= 3
