"""Softmax attention while its logits are small: nearly the mean over positions."""

from functools import lru_cache
from math import exp, sqrt

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Attention
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.log2 import log2_of, product_of

# variance up to which E e^(2 l) / (E e^l)^2 = e^v is kept by sums over some ten positions
_SMALL_LOGITS = 0.5


def attended(
    attention: Attention, q: ForwardMoments, k: ForwardMoments, v: ForwardMoments
) -> ForwardMoments:
    """The output of softmax attention while its logits are small: nearly the mean over positions.

    Logits are Gaussian of variance s over positions, so E sum a^2 = e^s / T. / raises: NoTheory
    where s is not small.
    """
    s, c, positions = _logit_variance(q, k), v.position_correlation, v.places.positions
    own, pair = (row[0] for row in _weights(attention.causal, positions))
    square = c + (1 - c) * min(1.0, own * exp(s))
    near = (c + (1 - c) * min(1.0, pair * exp(s * q.position_correlation))) / square
    log2_ms, samples = v.log2_ms + log2_of(square), v.sample_correlation / square
    error = q.error + k.error + v.error + s * s
    return v.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        v.mean / sqrt(square),
        errors=v.errors._replace(mean_square=error),
        places=Places(positions, near if positions > 1 else None),
    )


def below_attention(
    attention: Attention,
    q: ForwardMoments,
    k: ForwardMoments,
    v: ForwardMoments,
    g: BackwardMoments,
) -> tuple[BackwardMoments, BackwardMoments, BackwardMoments]:
    """The gradients at q, k and v, to the leading order in the logits.

    Through the logits: dE/dl_ts = a_ts g_t (v_s - y_t), of which only what differs between
    positions is left.
    """
    s, t, own_g = _logit_variance(q, k), v.places.positions, g.position_correlation
    (own, own_left), (pair, pair_left) = _weights(attention.causal, t)
    to_v = own * exp(s) + (t - 1) * pair * exp(s * q.position_correlation) * own_g
    total = 1 + (t - 1) * own_g
    between = (total / to_v - 1) / (t - 1) if t > 1 else None
    at_v = g.become(
        product_of(g.log2_ms, log2_of(to_v)),
        g.sample_correlation / to_v,
        g.error + s * s,
        Places(t, between),
    )
    varies = product_of(g.log2_ms, v.log2_ms + log2_of(1 - v.position_correlation))
    to_q = product_of(varies, k.log2_ms + log2_of(1 - k.position_correlation) + log2_of(own_left))
    left = own_left + (t - 1) * pair_left * own_g * q.position_correlation
    to_k = product_of(varies, q.log2_ms + log2_of(left))
    error = g.error + v.error + 2 * s
    return (
        g.become(to_q, 0.0, error, Places(t, own_g)),
        g.become(to_k, 0.0, error, Places(t, -1 / max(t - 1, 1))),
        at_v,
    )


def _logit_variance(q: ForwardMoments, k: ForwardMoments) -> float:
    """Variance of q.k / sqrt(entries) over the positions of k. / raises: NoTheory where it is not
    small."""
    found = 2.0 ** (q.log2_ms + k.log2_ms) * (1 - k.position_correlation)
    if not found <= _SMALL_LOGITS:
        raise NoTheory(
            f"its logits have a variance of {found:.2g} over positions, and softmax is only "
            f"followed up to {_SMALL_LOGITS:g}"
        )
    return found


@lru_cache(maxsize=256)
def _weights(causal: bool, positions: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """sum_s a_ts a_t's for even attention: its mean for t = t' and for t != t', each as it is and
    less what centring takes."""
    if not causal:
        own = 1 / positions
        return (own, own * (1 - own)), (own, own * (1 - own))
    t = np.arange(1, positions + 1)
    harmonic = np.cumsum(1 / t)
    own, own_left = float((1 / t).mean()), float((1 / t - 1 / t**2).mean())
    pairs = positions * (positions - 1) / 2
    pair, pair_left = float(((t - 1) / t).sum()), float(((t - 1 - (harmonic - 1 / t)) / t).sum())
    return (own, own_left), (pair / pairs if pairs else 0.0, pair_left / pairs if pairs else 0.0)
