"""Softmax attention over keys that are independent but for what all share, which cancels.

What two queries' weights have in common is taken as a softmax of the common part of their logits;
all else is exact for Gaussian logits of any size. Of causal attention each position averages over
its own past, so that positions are unlike: their mean squares are a profile.
"""

from functools import lru_cache
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import NoTheory
from depthscale.network import Attention
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space.border_profile import PositionProfile, profile_of
from depthscale.theory.space.softmax_law import SoftmaxRows, softmax_rows

ByPosition = NDArray[np.float64]
_FROZEN = 100.0  # variance of logits from where on the law's grids would be large


def attended(
    attention: Attention, q: ForwardMoments, k: ForwardMoments, v: ForwardMoments
) -> ForwardMoments:
    """The output: of what positions share all, of the rest E sum a^2. / raises: NoTheory where the
    logits are not known."""
    c, queries = v.position_correlation, q.places.positions
    weights = _weights(attention, q, k)
    squares = c + (1 - c) * np.minimum(1.0, weights.own.square / attention.keep)
    square = float(squares.mean())
    near = (c + (1 - c) * min(1.0, weights.pair)) / square
    log2_ms, samples = v.log2_ms + log2_of(square), v.sample_correlation / square
    error = q.error + k.error + v.error
    return v.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        v.mean / sqrt(square),
        errors=v.errors._replace(mean_square=error),
        places=Places(queries, near if queries > 1 else None, profile_of([squares])),
    )


def below_attention(
    attention: Attention,
    q: ForwardMoments,
    k: ForwardMoments,
    v: ForwardMoments,
    g: BackwardMoments,
) -> tuple[BackwardMoments, BackwardMoments, BackwardMoments]:
    """The gradients at q, k and v.

    Through the logits: dE/dl_ts = a_ts g_t (v_s - y_t), of which only what differs between
    positions is left. A head of keys and values gets the sum of what its heads of queries send.
    """
    sent = _sent(attention, q, k, g)
    error = g.error + v.error + q.error + k.error
    through = product_of(
        g.log2_ms + 2 * log2_of(attention.scale), v.log2_ms + log2_of(1 - v.position_correlation)
    )
    apart = product_of(through, k.log2_ms + log2_of(1 - k.position_correlation))
    own = g.position_correlation
    return (
        g.become(_scaled(apart, sent.to_q), 0.0, error, _lying(sent.to_q, own)),
        g.become(
            _scaled(product_of(through, q.log2_ms), sent.to_k),
            0.0,
            error,
            _lying(sent.to_k, -1 / max(len(sent.to_k) - 1, 1)),
        ),
        _at_values(g, sent, g.error + k.error + q.error),
    )


class _Sent(NamedTuple):
    """What each query and each key is sent, over the gradient's mean square at a query; `whole`:
    of values that are all alike."""

    to_q: ByPosition
    to_k: ByPosition
    to_v: ByPosition
    whole: float


def _sent(attention: Attention, q: ForwardMoments, k: ForwardMoments, g: BackwardMoments) -> _Sent:
    weights, heads = _weights(attention, q, k), attention.shared_by
    t, keys, own = q.places.positions, k.places.positions, g.position_correlation
    arriving = _rows(g.places.profile, t)
    squares, slopes = (arriving * each / attention.keep for each in weights.own)
    shared = (t - 1) * t / keys * own * weights.pair_columns
    to_v = _columns(squares, keys, attention.causal) + weights.pair * shared
    to_k = _columns(slopes, keys, attention.causal)
    to_k = to_k + weights.pair_slope * q.position_correlation * shared
    return _Sent(slopes, heads * to_k, heads * to_v, heads * t / keys)


def _at_values(g: BackwardMoments, sent: _Sent, error: float) -> BackwardMoments:
    """The gradient at the values: alike at two keys as far as queries' own gradients are."""
    mean, keys, queries = float(sent.to_v.mean()), len(sent.to_v), len(sent.to_q)
    if not mean:
        return g.become(-inf, 0.0, error, _lying(sent.to_v, 0.0))
    total = sent.whole * (1 + (queries - 1) * g.position_correlation) / mean
    return g.become(
        product_of(g.log2_ms, log2_of(mean)),
        g.sample_correlation * sent.whole / mean,
        error,
        _lying(sent.to_v, (total - 1) / max(keys - 1, 1)),
    )


def _scaled(log2_ms: float, by: ByPosition) -> float:
    return product_of(log2_ms, log2_of(float(by.mean())))


def _lying(by: ByPosition, correlation: float) -> Places:
    """Positions of these relative mean squares."""
    return Places(len(by), correlation if len(by) > 1 else None, profile_of([by]))


class _Overlaps(NamedTuple):
    """Of one query with itself, row by row; of two, sum_s a_ts a_t's and what the logits' gradient
    keeps of it, means over pairs; and how the sums over pairs lie over the keys, of mean 1."""

    own: SoftmaxRows
    pair: float
    pair_slope: float
    pair_columns: ByPosition


def _weights(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> _Overlaps:
    variance = attention.scale**2 * 2.0 ** (q.log2_ms + k.log2_ms) * (1 - k.position_correlation)
    if not variance <= _FROZEN:
        raise NoTheory(f"its logits have a variance of {variance:.2g} over positions")
    t, keys, causal = q.places.positions, k.places.positions, attention.causal
    if causal and t != keys:
        raise NoTheory("causal attention of other positions than its own")
    common = variance * min(max(q.position_correlation, 0.0), 1.0)
    own, pair = (softmax_rows(each, t, keys, causal) for each in (variance, common))
    square, slope = (float(each.mean()) for each in pair)
    if not causal:
        return _Overlaps(own, square, slope, np.ones(keys))
    even, (even_pair, even_slope, columns) = softmax_rows(0.0, t, keys, True), _pairs_of_even(keys)
    return _Overlaps(
        own,
        even_pair * square / float(even.square.mean()),
        even_slope * slope / (float(even.slope.mean()) or 1.0),
        columns,
    )


def _columns(rows: ByPosition, keys: int, causal: bool) -> ByPosition:
    """What each key gets of what the queries send evenly to those that they see."""
    if not causal:
        return np.full(keys, rows.sum() / keys)
    return np.cumsum((rows / np.arange(1, keys + 1))[::-1])[::-1]


def _rows(profile: PositionProfile | None, positions: int) -> ByPosition:
    rows = np.ones(positions) if profile is None else np.array(profile[0])
    return rows if len(rows) == positions else np.ones(positions)


@lru_cache(maxsize=256)
def _pairs_of_even(positions: int) -> tuple[float, float, ByPosition]:
    """Of two rows t, t' of even causal attention: sum_s a_ts a_t's is 1 / max(t, t')."""
    if positions == 1:
        return 0.0, 0.0, np.ones(1)
    t = np.arange(1, positions + 1)
    harmonic, pairs = np.cumsum(1 / t), positions * (positions - 1) / 2
    square = float(((t - 1) / t).sum()) / pairs
    slope = float(((t - 1 - (harmonic - 1 / t)) / t).sum()) / pairs
    seen = np.cumsum((1 / t)[::-1])[::-1]
    columns = seen**2 - np.cumsum((1 / t**2)[::-1])[::-1]
    return square, slope, columns / columns.mean()
