"""Rules of what brings the positions of a sample together: convolution, pooling, flattening,
attention.

On white inputs, and as long as convolutions wrap around, any two positions are as alike as any
other two: of one sample by `near`, of two samples by `ratio`. Both classes are closed under every
rule here (arXiv:1806.05393 for convolutions). At a border of zeros (`borders`), and where windows
overlap, positions differ; ratios are then means over all pairs.
"""

from dataclasses import replace
from functools import lru_cache, reduce
from math import exp, log2, sqrt

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Attention, Conv, Part, Pool, Window
from depthscale.theory.laws import Gaussian
from depthscale.theory.neurons import Largest, largest, mean_of
from depthscale.theory.profiles import (
    backward_taps,
    bound_of_pattern,
    forward_taps,
    squared_root,
)
from depthscale.theory.states import Gradient, Signal, Source, Weighted, log2_of, product_of

# variance up to which E e^(2 l) / (E e^l)^2 = e^v is kept by sums over some ten positions
_SMALL_LOGITS = 0.5


def part(part: Part, x: Signal) -> Signal:
    """Some entries or positions are as all are."""
    if part.of == "entries":
        return x
    left = round(x.positions * part.share)
    return replace(_placeless(x), positions=left, near=x.near if left > 1 else None)


def below_part(part: Part, x: Signal, g: Gradient) -> Gradient:
    """The others get nothing: over positions, products are means over more pairs."""
    log2_ms, near = product_of(g.log2_ms, log2(part.share)), g.near
    if part.of == "positions":
        near = g.within * (part.share * x.positions - 1) / max(x.positions - 1, 1)
    return Gradient(log2_ms, g.ratio, g.error, near=near)


def convolved(conv: Conv, x: Signal) -> tuple[Signal, float, int]:
    """What a convolution reads, log2 of the share of its weights that meet an entry, and the
    positions.

    Two places share the taps that lie inside for both: at a border of zeros they are less alike
    than their inputs are.
    """
    seen, into = forward_taps(conv.window, x.profile, x.common), conv.window.places_out
    if seen.pairs == 1:
        return x, log2(seen.mean), into
    ratio = x.ratio * seen.pairs
    near = (
        x.within * (into * seen.pairs - 1) / (into - 1)
        if x.near is not None and into > 1
        else x.near
    )
    spread, alike = (
        x.log2_ms + log2_of(1 - ratio),
        x.ratio / squared_root(x.profile) if x.profile else x.ratio,
    )
    lost = x.spread_error + bound_of_pattern(conv.window, x.profile, x.common, min(1.0, alike))
    return (
        replace(x, ratio=ratio, near=near, log2_spread=spread, spread_error=lost),
        log2(seen.mean),
        into,
    )


def below_conv(conv: Conv, g: Gradient) -> Gradient:
    """Sums over the places in which an entry lies; the mean over entries, those that no place
    reaches included."""
    sent, into = backward_taps(conv.window, g.profile), conv.window.places_in
    factor = conv.sigma_w2 * conv.fan_out / conv.fan_in * sent.mean
    near = g.within * (into * sent.pairs - 1) / max(into - 1, 1)
    kept = g.near is None and (sent.pairs == 1 or not g.ratio)
    return Gradient(
        product_of(g.log2_ms, log2_of(factor)),
        g.ratio * sent.pairs,
        g.error,
        near=None if kept else near,
    )


def _spread_out(window: Window, g: Gradient) -> Gradient:
    """Every place's gradient at entries of its own: ratios are means over more pairs."""
    into, out = window.places_in, window.places_out
    ratio, near = g.ratio * out / into, g.within * (out - 1) / max(into - 1, 1)
    kept = g.near is None and (into == out or not g.ratio)
    return Gradient(
        g.log2_ms + log2(out / into),
        g.ratio if into == out else ratio,
        g.error,
        near=None if kept else near,
    )


def pooled(pool: Pool, x: Signal) -> Signal:
    """The output of a pooling."""
    return _averaged(pool.window, x) if pool.kind == "average" else _largest(pool.window, x)


def below_pool(pool: Pool, x: Signal, g: Gradient) -> Gradient:
    """The gradient at a pooling's input."""
    return (
        _below_average(pool.window, g)
        if pool.kind == "average"
        else _below_largest(pool.window, x, g)
    )


def _averaged(window: Window, x: Signal) -> Signal:
    taps, out, inside = window.taps, window.places_out, window.inside
    count, count2 = taps * inside, (taps * inside) ** 2 * (1 + window.unevenness)
    own, near = (count + (count2 - count) * x.within) / taps**2, x.within * inside**2
    log2_ms, ratio = x.log2_ms + log2_of(own), x.ratio * inside**2 / own
    shared = (
        (window.places_in * window.covers[1] - out * count) / taps**2 / (out * (out - 1))
        if out > 1
        else 0.0
    )
    together = (
        None
        if out == 1 or (x.near is None and not shared)
        else (near + (1 - x.within) * shared) / own
    )
    alike = x.near is None and inside == 1
    log2_ms += log2(
        forward_taps(window, x.profile).mean / inside
    )  # what is larger may be read more often
    spread = x.log2_spread - log2(taps) if alike else log2_ms + log2_of(1 - ratio)
    error = x.error + window.unevenness
    return Signal(
        log2_ms,
        ratio,
        spread,
        x.mean * inside / sqrt(own),
        error=error,
        positions=out,
        near=together,
        spread_error=x.spread_error,
    )


def _below_average(window: Window, g: Gradient) -> Gradient:
    taps, into, out = window.taps, window.places_in, window.places_out
    covers, covers2 = window.covers
    count, count2 = taps * window.inside, (taps * window.inside) ** 2 * (1 + window.unevenness)
    factor = (covers + (covers2 - covers) * g.within) / taps**2
    total = out * (count2 + (out - 1) * count**2 * g.within) / taps**2
    near = (total / factor - into) / (into * (into - 1)) if into > 1 else None
    ratio = g.ratio * (window.inside * out / into) ** 2 / factor
    factor *= backward_taps(window, g.profile).mean * taps / covers
    return Gradient(product_of(g.log2_ms, log2_of(factor)), ratio, g.error, near=near)


def _largest(window: Window, x: Signal) -> Signal:
    source, found = of_windows(window, x)
    ratio, positions = found.product / found.square, window.places_out
    near = None if x.near is None or positions == 1 else found.near / found.square
    log2_ms, error = log2_of(found.square) + source.unit, x.error + found.error
    return Signal(
        log2_ms,
        ratio,
        log2_ms + log2_of(1 - ratio),
        found.mean / sqrt(found.square),
        error=error,
        positions=positions,
        near=near,
        spread_error=x.spread_error,
    )


def _below_largest(window: Window, x: Signal, g: Gradient) -> Gradient:
    """Each place's gradient goes to one entry; what the activation's slope is there depends on its
    being the largest."""
    source, found = of_windows(window, x)
    at = _spread_out(window, g)
    w, v = found.slopes, found.near_slopes
    square = float(w.square.mean())
    if not square:
        return at._replace(below=Gradient(-g.log2_ms * 0 - np.inf, 0.0))
    below = Gradient(
        product_of(at.log2_ms, log2_of(square)),
        at.ratio * float(w.product.mean()) / square,
        at.error + found.error,
        near=None
        if at.near is None and x.near is None
        else at.within * float(v.product.mean()) / square,
    )
    if source.normalized:
        below = below._replace(
            weighted=Weighted(w, at.ratio, at.log2_ms, at.near, v if x.near is not None else None)
        )
    return at._replace(below=below)


def of_windows(window: Window, x: Signal) -> tuple[Source, Largest]:
    if x.source is not None:
        source = x.source
    elif isinstance(x.law, Gaussian) and not x.normalized:
        source = Source("linear", x.law, x.unit, x.near)
    else:
        raise NoTheory(
            "max pooling of values that are no activation's output, so their law is not known"
        )
    if source.near is not None and not isinstance(source.received, Gaussian):
        raise NoTheory("no rule for max pooling of an instance norm's output")
    counts, places = np.unique(
        reduce(np.multiply.outer, [(axis >= 0).sum(axis=1) for axis in window.axes]),
        return_counts=True,
    )
    found = [largest(source.activation, source.received, source.near, int(n)) for n in counts]
    return source, found[0] if len(found) == 1 else mean_of(found, places / places.sum())


def flattened(x: Signal) -> Signal:
    """Positions become entries; two samples share at any entry what they share at any two
    positions."""
    return x if x.positions == 1 else replace(_placeless(x), positions=1, near=None, source=None)


def _placeless(x: Signal) -> Signal:
    """Without what belongs to positions that are no longer there."""
    return replace(x, profile=None, common=None, wavering=0.0)


def below_flatten(x: Signal, g: Gradient) -> Gradient:
    """Each position has weights of its own above, so that two positions of a sample share
    nothing."""
    return g if x.positions == 1 else Gradient(g.log2_ms, g.ratio, g.error, near=0.0)


# ---- attention


def attended(attention: Attention, q: Signal, k: Signal, v: Signal) -> Signal:
    """The output of softmax attention while its logits are small: nearly the mean over positions.

    Logits are Gaussian of variance s over positions, so E sum a^2 = e^s / T. / raises: NoTheory
    where s is not small.
    """
    s, c = _logit_variance(q, k), v.within
    own, pair = (row[0] for row in _weights(attention.causal, v.positions))
    square = c + (1 - c) * min(1.0, own * exp(s))
    near = (c + (1 - c) * min(1.0, pair * exp(s * q.within))) / square
    log2_ms, ratio = v.log2_ms + log2_of(square), v.ratio / square
    error = q.error + k.error + v.error + s * s
    spread = log2_ms + log2_of(1 - ratio)
    mean = v.mean / sqrt(square)
    return Signal(
        log2_ms,
        ratio,
        spread,
        mean,
        error=error,
        positions=v.positions,
        near=near if v.positions > 1 else None,
        spread_error=v.spread_error,
    )


def below_attention(
    attention: Attention, q: Signal, k: Signal, v: Signal, g: Gradient
) -> tuple[Gradient, Gradient, Gradient]:
    """The gradients at q, k and v, to the leading order in the logits.

    Through the logits: dE/dl_ts = a_ts g_t (v_s - y_t), of which only what differs between
    positions is left.
    """
    s, t = _logit_variance(q, k), v.positions
    (own, own_left), (pair, pair_left) = _weights(attention.causal, t)
    to_v = own * exp(s) + (t - 1) * pair * exp(s * q.within) * g.within
    total = 1 + (t - 1) * g.within
    near = (total / to_v - 1) / (t - 1) if t > 1 else None
    at_v = Gradient(
        product_of(g.log2_ms, log2_of(to_v)), g.ratio / to_v, g.error + s * s, near=near
    )
    varies = product_of(g.log2_ms, v.log2_ms + log2_of(1 - v.within))
    to_q = product_of(varies, k.log2_ms + log2_of(1 - k.within) + log2_of(own_left))
    to_k = product_of(
        varies, q.log2_ms + log2_of(own_left + (t - 1) * pair_left * g.within * q.within)
    )
    error = g.error + v.error + 2 * s
    return (
        Gradient(to_q, 0.0, error, near=g.within),
        Gradient(to_k, 0.0, error, near=-1 / max(t - 1, 1)),
        at_v,
    )


def _logit_variance(q: Signal, k: Signal) -> float:
    """Variance of q.k / sqrt(entries) over the positions of k. / raises: NoTheory where it is not
    small."""
    found = 2.0 ** (q.log2_ms + k.log2_ms) * (1 - k.within)
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
