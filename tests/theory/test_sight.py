"""Causal attention over positions that are unlike: its grams are those of matrices, and what
networks show."""

from math import inf

import numpy as np
import pytest

from depthscale.network import (
    Add,
    Attention,
    Graph,
    Input,
    Linear,
    Multiply,
    Norm,
    NormKind,
    Repeat,
)
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.space.position_gram import PositionGram, classes
from depthscale.theory.space.sight import (
    AttentionWeights,
    averaged,
    of_past,
    sent_to_keys,
    sent_to_queries,
    sent_to_values,
)
from depthscale.theory.walk import predict_graph
from graphs import chain, compare, shown


def even(positions: int, window: float) -> AttentionWeights:
    s = of_past(positions, window)
    return AttentionWeights(s, 1 / s.number, np.ones(len(s.number)), s.even, 1.0)


def matrix(positions: int, window: int) -> np.ndarray:
    past = np.triu(np.tril(np.ones((positions, positions))), 1 - window)
    return past / past.sum(axis=1, keepdims=True)


def gram_of(products: np.ndarray) -> tuple[float, PositionGram]:
    """By classes of as many positions as the record has."""
    sizes = classes(len(products))
    starts = (np.cumsum(sizes) - sizes).astype(int)
    blocks = np.add.reduceat(np.add.reduceat(products, starts, 0), starts, 1)
    own = np.add.reduceat(np.diag(products), starts)
    blocks[np.diag_indices(len(sizes))] -= own
    others = np.outer(sizes, sizes) - np.diag(sizes)
    mean = float(np.trace(products)) / len(products)
    pairs = np.divide(blocks, others, out=np.zeros_like(blocks), where=others > 0)
    return mean, PositionGram(sizes, own / sizes / mean, pairs / mean)


def drawn(positions: int) -> np.ndarray:
    """Products of neighbours that are alike, more so later, with mean squares of their own."""
    t = np.arange(1, positions + 1)
    root = np.sqrt(0.5 + 1 / t)
    return np.outer(root, root) * np.exp(-np.abs(np.subtract.outer(np.log(t), np.log(t))))


@pytest.mark.parametrize(
    ("positions", "window", "rtol"), [(1, 1, 1e-9), (9, 9, 1e-9), (40, 7, 1e-9)]
)
def test_even_weights_give_the_products_of_matrices(
    positions: int, window: int, rtol: float
) -> None:
    a, v = matrix(positions, window), drawn(positions)
    mean, gram = gram_of(v)
    for found, expected in (
        (averaged(gram, even(positions, window)), a @ v @ a.T),
        (sent_to_values(gram, even(positions, window)), a.T @ v @ a),
    ):
        square, whole = gram_of(expected)
        assert found[0] * mean == pytest.approx(square, rel=rtol)
        np.testing.assert_allclose(found[1].own, whole.own, rtol=rtol)
        apart = ~np.eye(positions, dtype=bool)
        np.testing.assert_allclose(found[1].pairs[apart], whole.pairs[apart], rtol=rtol)


@pytest.mark.parametrize(("positions", "window"), [(200, 200), (1000, 1000), (600, 100)])
def test_classes_of_many_positions_are_nearly_as_good(positions: int, window: int) -> None:
    a, v = matrix(positions, window), drawn(positions)
    mean, gram = gram_of(v)
    for found, expected in (
        (averaged(gram, even(positions, window)), a @ v @ a.T),
        (sent_to_values(gram, even(positions, window)), a.T @ v @ a),
    ):
        square, whole = gram_of(expected)
        assert found[0] * mean == pytest.approx(square, rel=0.02)
        assert found[1].correlation == pytest.approx(whole.correlation, rel=0.02)


@pytest.mark.parametrize("window", [9, 4])
def test_the_gradient_at_queries_and_keys_is_that_of_matrices(window: int) -> None:
    """dq_t = sum_s a_ts (g_t . (v_s - y_t)) k_s and dk_s = sum_t a_ts (g_t . (v_s - y_t)) q_t, of
    independent g, v, k and q."""
    n = 9
    a, (g, k, v) = matrix(n, window), (drawn(n) ** power for power in (1.0, 0.5, 2.0))
    q, reads = k, np.eye(n)[None] - a[:, None]  # [t, s, keys]: v_s - y_t
    apart = np.einsum("tsi,ij,urj->tsur", reads, v, reads)
    weights = np.einsum("ts,ur,tsur->tsur", a, a, apart)
    at_q = np.einsum("tu,tsur,sr->tu", g, weights, k)
    at_k = np.einsum("tu,tsur,tu->sr", g, weights, q)
    (mean_g, of_g), (mean_k, of_k), (mean_v, of_v) = map(gram_of, (g, k, v))
    unit = mean_g * mean_k * mean_v
    square, whole = gram_of(at_q)
    found = sent_to_queries(of_g, of_k, of_v, even(n, window))
    assert found[0] * unit == pytest.approx(square)
    np.testing.assert_allclose(found[1].own, whole.own, atol=1e-12)
    apart_ = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(found[1].pairs[apart_], whole.pairs[apart_], atol=1e-12)
    square, whole = gram_of(at_k)
    found = sent_to_keys(of_g, of_k, of_v, even(n, window))
    assert found[0] * unit == pytest.approx(square)
    np.testing.assert_allclose(found[1].own, whole.own, atol=1e-12)


def block(at: int, width: int, window: int | None, norm: NormKind) -> list:
    """Norm, causal attention, sum; norm, gate times map, sum; with the stream at `at`."""
    w, of_values = Linear(width, width, 1.0, 0.0), Linear(width, width, 3.0, 0.0)
    return [
        (Norm(norm, inf), [at]),
        (w, [at + 1]),
        (w, [at + 1]),
        (of_values, [at + 1]),
        (Attention(4, True, window), [at + 2, at + 3, at + 4]),
        (w, [at + 5]),
        (Add(), [at, at + 6]),
        (Norm(norm, inf), [at + 7]),
        (w, [at + 8]),
        (w, [at + 8]),
        (Multiply(), [at + 9, at + 10]),
        (Linear(width, width, 0.5, 0.0), [at + 11]),
        (Add(), [at + 7, at + 12]),
    ]


def decoder(
    positions: int, window: int | None, norm: NormKind = "rms", width: int = 256
) -> tuple[Graph, tuple[int, ...]]:
    """Two blocks on small embeddings, as published models have them at the start."""
    start = Input(5e-4, size=(positions,))
    ops = [start, *block(0, width, window, norm), *block(13, width, window, norm)]
    return chain(*ops, samples=2), (2, width, positions)


@pytest.mark.parametrize(
    ("positions", "window", "norm"), [(32, None, "rms"), (32, 8, "rms"), (32, None, "layer")]
)
def test_two_causal_blocks_are_what_networks_show(
    positions: int, window: int | None, norm: NormKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, size = decoder(positions, window, norm)
    measured = shown(graph, size, 24)
    compare(measured, predict_graph(graph), bias=0.07)
    monkeypatch.setattr(  # gradients at two positions that have nothing to do with each other
        BackwardMoments, "gram_over", lambda g, n: PositionGram.even(n, 0.0, g.places.profile)
    )
    with pytest.raises(AssertionError, match="gradient off by"):
        compare(measured, predict_graph(graph), bias=0.07)


def test_heads_that_are_read_several_times_get_what_all_send() -> None:
    w, half = Linear(256, 256, 1.0, 0.0), Linear(256, 128, 1.0, 0.0)
    graph = chain(
        Input(1.0, size=(8,)),
        w,
        (half, [0]),
        (Repeat(2), [2]),
        (half, [0]),
        (Repeat(2), [4]),
        (Attention(4, True), [1, 3, 5]),
        w,
        samples=4,
    )
    compare(shown(graph, (4, 256, 8), 32), predict_graph(graph), bias=0.07)
