"""The law of a softmax over Gaussian logits is what is drawn, and what is exact at its ends."""

import numpy as np
import pytest

from depthscale.theory.space.softmax_law import softmax_row, softmax_rows


@pytest.mark.parametrize("positions", [2, 16, 64])
@pytest.mark.parametrize("variance", [0.05, 0.5, 2.7, 10.0, 43.0])
def test_the_law_is_what_is_drawn(variance: float, positions: int) -> None:
    generator = np.random.default_rng(positions)
    logits = generator.normal(size=(20_000, positions)) * np.sqrt(variance)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    squares = (weights**2).sum(1)
    slopes = squares - 2 * (weights**3).sum(1) + squares**2
    law = softmax_row(variance, positions)
    for drawn, expected in ((squares, law.square), (slopes, law.slope)):
        assert abs(drawn.mean() - expected) < 4 * drawn.std() / np.sqrt(len(drawn))


def test_at_its_ends_the_law_is_exact() -> None:
    even = softmax_row(0.0, 10)
    assert even.square == pytest.approx(1 / 10)
    assert even.slope == pytest.approx(1 / 10 * (1 - 1 / 10))
    alone = softmax_row(2.0, 1)
    assert alone.square == pytest.approx(1.0, abs=1e-9)
    assert alone.slope == pytest.approx(0.0, abs=1e-9)
    frozen = softmax_row(100.0, 4)
    assert frozen.square > 0.8


def test_small_logits_widen_as_their_variance() -> None:
    """E sum a^2 = e^v / t to the leading order in the variance v, less 1 / t of what centring
    takes: (1 + v (1 - 1 / t)) / t."""
    for positions in (4, 32):
        square = softmax_row(1e-3, positions).square
        expected = (1 + 1e-3 * (1 - 1 / positions)) / positions
        assert square == pytest.approx(expected, rel=3e-6)


def test_a_causal_row_is_a_row_over_its_own_past() -> None:
    rows = softmax_rows(1.3, 40)
    for t in (1, 7, 40):
        assert rows.square[t - 1] == pytest.approx(softmax_row(1.3, t).square, rel=1e-3)
