"""Softmax attention over keys that are independent but for what all share, which cancels.

What two queries' weights have in common is taken as a softmax of the common part of their logits;
all else is exact for Gaussian logits of any size. What it makes of positions: `sight`.
"""

from math import sqrt

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Attention
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space import sight
from depthscale.theory.space.position_gram import PositionGram
from depthscale.theory.space.softmax_law import SoftmaxRows, softmax_row, softmax_rows

_FROZEN = 100.0  # variance of logits from where on the law's grids would be large


def attended(
    attention: Attention, q: ForwardMoments, k: ForwardMoments, v: ForwardMoments
) -> ForwardMoments:
    """The output: of what positions share all, of the rest E sum a^2. / raises: NoTheory where the
    logits are not known."""
    square, gram = sight.averaged(v.gram, _weights(attention, q, k))
    log2_ms, samples = v.log2_ms + log2_of(square), v.sample_correlation / square
    error = q.error + k.error + v.error
    return v.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        v.mean / sqrt(square),
        errors=v.errors._replace(mean_square=error),
        places=Places.of(gram),
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
    weights, heads = _weights(attention, q, k), attention.shared_by
    sent, error = g.gram_over(q.places.positions), g.error + v.error + q.error + k.error
    to_q, at_q = sight.sent_to_queries(sent, k.gram, v.gram, weights)
    to_k, at_k = sight.sent_to_keys(sent, q.gram, v.gram, weights)
    to_v, at_v = sight.sent_to_values(sent, weights)
    through = product_of(g.log2_ms + 2 * log2_of(attention.scale), v.log2_ms)
    whole = q.places.positions / k.places.positions  # what values that are all alike would get
    return (
        _sent(g, product_of(through, k.log2_ms), to_q, 0.0, error, at_q),
        _sent(g, product_of(through, q.log2_ms), heads * to_k, 0.0, error, at_k),
        _sent(
            g,
            g.log2_ms,
            heads * to_v,
            g.sample_correlation * whole / to_v if to_v else 0.0,
            g.error + k.error + q.error,
            at_v,
        ),
    )


def _sent(
    g: BackwardMoments,
    log2_unit: float,
    square: float,
    samples: float,
    error: float,
    gram: PositionGram,
) -> BackwardMoments:
    return g.become(product_of(log2_unit, log2_of(square)), samples, error, Places.of(gram))


def _weights(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> sight.AttentionWeights:
    """What two queries' weights have in common is what the common part of their logits gives."""
    t, keys, logits = q.places.positions, k.places.positions, _variances(attention, q, k)
    if attention.causal:
        if t != keys:
            raise NoTheory("causal attention of other positions than its own")
        seen = sight.of_past(t, attention.window or t)
        own, pair, even = (softmax_rows(each, t) for each in (*logits, 0.0))
    else:
        seen = sight.of_all(t, keys)
        own, pair, even = (
            SoftmaxRows(*(np.full(keys, each) for each in softmax_row(variance, keys)))
            for variance in (*logits, 0.0)
        )
    ratio, slope_ratio = (
        float(a.mean() / (b.mean() or 1.0)) for a, b in zip(pair, even, strict=True)
    )
    slopes = own.slope / np.where(even.slope > 0, even.slope, 1.0)
    return sight.AttentionWeights(
        seen,
        np.minimum(1.0, seen.rows(own.square) / attention.keep),
        seen.rows(slopes) / attention.keep,
        np.minimum(1.0, ratio * seen.even),
        slope_ratio,
    )


def _variances(attention: Attention, q: ForwardMoments, k: ForwardMoments) -> tuple[float, float]:
    """Of a row of logits, and of what two rows have in common. / raises: NoTheory where that is not
    known, or so large that the law's grids would be."""
    variance = attention.scale**2 * 2.0 ** (q.log2_ms + k.log2_ms) * (1 - k.position_correlation)
    if not variance <= _FROZEN:
        raise NoTheory(f"its logits have a variance of {variance:.2g} over positions")
    return variance, variance * min(max(q.position_correlation, 0.0), 1.0)
