"""Softmax attention over keys that are independent but for what all share, which cancels.

What two queries' weights have in common is taken as a softmax of the common part of their logits;
all else is exact for Gaussian logits of any size. Causal attention makes positions unlike
(`causal`).
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Attention
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space import causal
from depthscale.theory.space.softmax_law import SoftmaxRow, softmax_row, softmax_rows

_FROZEN = 100.0  # variance of logits from where on the law's grids would be large


def attended(
    attention: Attention, q: ForwardMoments, k: ForwardMoments, v: ForwardMoments
) -> ForwardMoments:
    """The output: of what positions share all, of the rest E sum a^2. / raises: NoTheory where the
    logits are not known."""
    c, queries = v.position_correlation, q.places.positions
    if attention.causal:
        square, gram = causal.averaged(v.gram, _causal_weights(attention, q, k))
        places = Places.of(gram)
    else:
        weights = _weights(attention, q, k)
        square = c + (1 - c) * min(1.0, weights.own.square / attention.keep)
        near = (c + (1 - c) * min(1.0, weights.pair)) / square
        places = Places(queries, near if queries > 1 else None)
    log2_ms, samples = v.log2_ms + log2_of(square), v.sample_correlation / square
    error = q.error + k.error + v.error
    return v.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        v.mean / sqrt(square),
        errors=v.errors._replace(mean_square=error),
        places=places,
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
    sent = (_sent_causal if attention.causal else _sent)(attention, q, k, g)
    error, heads = g.error + v.error + q.error + k.error, attention.shared_by
    through = product_of(
        g.log2_ms + 2 * log2_of(attention.scale), v.log2_ms + log2_of(1 - v.position_correlation)
    )
    apart = product_of(through, k.log2_ms + log2_of(1 - k.position_correlation))
    (to_q, at_q), (to_k, at_k), (to_v, at_v) = sent
    values = product_of(g.log2_ms, log2_of(heads * to_v))
    whole = attention.shared_by * q.places.positions / k.places.positions  # of values all alike
    return (
        g.become(product_of(apart, log2_of(to_q)), 0.0, error, at_q),
        g.become(
            product_of(product_of(through, q.log2_ms), log2_of(heads * to_k)), 0.0, error, at_k
        ),
        g.become(
            values,
            g.sample_correlation * whole / (heads * to_v) if to_v else 0.0,
            g.error + k.error + q.error,
            at_v,
        ),
    )


class _Sent(NamedTuple):
    """What queries, keys and values are sent, each its mean square over the gradient's at a query,
    and how its positions lie."""

    to_q: tuple[float, Places]
    to_k: tuple[float, Places]
    to_v: tuple[float, Places]


def _sent(attention: Attention, q: ForwardMoments, k: ForwardMoments, g: BackwardMoments) -> _Sent:
    weights = _weights(attention, q, k)
    t, keys, own = q.places.positions, k.places.positions, g.position_correlation
    square, slope = (each / attention.keep for each in weights.own)
    shared = (t - 1) * own
    to_v = t / keys * (square + weights.pair * shared)
    to_k = t / keys * (slope + weights.pair_slope * q.position_correlation * shared)
    total = t / keys * (1 + (t - 1) * own)  # at all keys together
    return _Sent(
        (slope, Places(t, own if t > 1 else None, g.places.profile)),
        (to_k, _alike(keys, -1 / max(keys - 1, 1))),
        (to_v, _alike(keys, (total / to_v - 1) / max(keys - 1, 1) if to_v else 0.0)),
    )


def _sent_causal(
    attention: Attention, q: ForwardMoments, k: ForwardMoments, g: BackwardMoments
) -> _Sent:
    weights, sent = _causal_weights(attention, q, k), g.gram_over(q.places.positions)
    found = (
        causal.sent_to_queries(sent, weights),
        causal.sent_to_keys(sent, q.gram, weights),
        causal.sent_to_values(sent, weights),
    )
    return _Sent(*((mean, Places.of(gram)) for mean, gram in found))


def _alike(positions: int, correlation: float) -> Places:
    return Places(positions, correlation if positions > 1 else None)


class _Overlaps(NamedTuple):
    """Of one query with itself; of two, sum_s a_ts a_t's and what the logits' gradient keeps of it,
    means over pairs."""

    own: SoftmaxRow
    pair: float
    pair_slope: float


def _weights(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> _Overlaps:
    keys = k.places.positions
    own, pair = (softmax_row(each, keys) for each in _variances(attention, q, k))
    return _Overlaps(own, *pair)


def _causal_weights(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> causal.Weights:
    t = q.places.positions
    if t != k.places.positions:
        raise NoTheory("causal attention of other positions than its own")
    variance, common = _variances(attention, q, k)
    own, pair, even = (softmax_rows(each, t) for each in (variance, common, 0.0))
    square, slope = (float(a.mean() / (b.mean() or 1.0)) for a, b in zip(pair, even, strict=True))
    square_at, slope_at = (causal.rows_of(each, t) for each in own)
    return causal.Weights(
        np.minimum(1.0, square_at / attention.keep),
        slope_at / attention.keep,
        *causal.even_pairs(t, square, slope),
    )


def _variances(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> tuple[float, float]:
    """Of a row of logits, and of what two rows have in common. / raises: NoTheory where that is not
    known, or so large that the law's grids would be."""
    variance = attention.scale**2 * 2.0 ** (q.log2_ms + k.log2_ms) * (1 - k.position_correlation)
    if not variance <= _FROZEN:
        raise NoTheory(f"its logits have a variance of {variance:.2g} over positions")
    return variance, variance * min(max(q.position_correlation, 0.0), 1.0)
