"""Rules of what brings the positions of a sample together: convolution, pooling, flattening,
attention.

On white inputs, and as long as convolutions wrap around, any two positions are as alike as any
other two: of one sample by the position correlation, of two samples by the sample correlation. Both
classes are closed under every rule here (arXiv:1806.05393 for convolutions). At a border of zeros
(`border_profile`), and where windows overlap, positions differ; correlations are then means over
all pairs.
"""

from functools import reduce
from math import inf, log2, prod, sqrt

import numpy as np

from depthscale.errors import NoTheory
from depthscale.network import Conv, Part, Pool, Prepend, Window
from depthscale.theory.moments.backward import BackwardMoments, Ties, Weighted
from depthscale.theory.moments.forward import ForwardMoments, Places, Source
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.moments.log2 import log2_of, product_of, sum_of
from depthscale.theory.moments.sampled_expectations import Largest, largest, mean_of
from depthscale.theory.space.border_profile import (
    PositionProfile,
    WindowMoments,
    backward_moments,
    bound_of_pattern,
    forward_moments,
    profile_of,
    squared_root,
)
from depthscale.theory.space.borders import with_profile
from depthscale.theory.space.position_gram import PositionGram


def part(part: Part, x: ForwardMoments) -> ForwardMoments:
    """Some entries or positions are as all are."""
    if part.of == "entries":
        return x
    return x._replace(places=x.places.reduced(round(x.places.positions * part.share)))


def below_part(part: Part, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """The others get nothing: over positions, products are means over more pairs."""
    log2_ms, between, positions = (
        product_of(g.log2_ms, log2(part.share)),
        g.places.correlation,
        x.places.positions,
    )
    if part.of == "positions":
        between = g.position_correlation * (part.share * positions - 1) / max(positions - 1, 1)
    return g.become(log2_ms, g.sample_correlation, places=Places(positions, between))


def prepended(prepend: Prepend, x: ForwardMoments) -> ForwardMoments:
    """Positions of a size of their own, with which no other has to do; what the others have in
    common is taken as the same for all."""
    own, more = x.places.positions, prepend.positions
    total = own + more
    log2_ms = sum_of(x.log2_ms + log2(own / total), log2_of(prepend.variance) + log2(more / total))
    share = 2.0 ** (x.log2_ms + log2(own / total) - log2_ms)
    samples = share * x.sample_correlation + (1 - share)
    return x.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        x.mean * sqrt(share * own / total),
        places=Places.of(PositionGram.behind_tokens(more, share, x.gram)),
    )


def below_prepend(prepend: Prepend, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """The gradient of the sequence's own positions alone."""
    whole, own = g.gram_over(x.places.positions + prepend.positions), x.places.positions
    square, gram = whole.without_tokens(prepend.positions)
    return g.become(
        product_of(g.log2_ms, log2_of(square)),
        g.sample_correlation,
        places=Places(own, gram.correlation if own > 1 else None, gram.profile),
    )


def convolved(conv: Conv, x: ForwardMoments) -> tuple[ForwardMoments, float]:
    """What a convolution reads, and log2 of the share of its weights that meet an entry.

    Two places share the taps that lie inside for both: at a border of zeros they are less alike
    than their inputs are.
    """
    seen, into = _forward_moments(conv.window, x), conv.window.places_out
    if seen.pairs == 1:
        return x, log2(seen.mean)
    own, samples = x.places.correlation, x.sample_correlation * seen.pairs
    if own is not None and into > 1:
        own = x.position_correlation * (into * seen.pairs - 1) / (into - 1)
    profile, alike = x.places.profile, x.sample_correlation
    if profile:
        alike /= squared_root(profile)
    lost = bound_of_pattern(conv.window, profile, x.places.shared_profile, min(1.0, alike))
    read = x._replace(
        sample_correlation=samples,
        log2_spread=x.log2_ms + log2_of(1 - samples),
        errors=x.errors.plus(0.0, lost),
        places=x.places.with_correlation(own),
    )
    return read, log2(seen.mean)


def _forward_moments(window: Window, x: ForwardMoments) -> WindowMoments:
    return forward_moments(window, x.places.profile, x.places.shared_profile)


def behind_border(window: Window, x: ForwardMoments, y: ForwardMoments) -> ForwardMoments:
    """The output y of a map over windows of x, with what zeros around x make of its positions.

    Of the pattern that samples share a channel's variance over the batch takes part: relative to
    what is left without the mean, by 2 pattern (c / (1 - c'))^2 over channels.
    """
    seen = _forward_moments(window, x)
    if y.places.positions == 1 or not (seen.profile or seen.shared_profile):
        return y
    left = 1 - y.sample_correlation
    fluctuation = 2 * seen.pattern * (x.sample_correlation / left) ** 2 if left > 0 else 0.0
    positions, between, *_ = y.places
    return y._replace(
        places=Places(positions, between, seen.profile, seen.shared_profile, fluctuation)
    )


def below_conv(conv: Conv, g: BackwardMoments) -> BackwardMoments:
    """Sums over the places in which an entry lies; the mean over entries, those that no place
    reaches included."""
    sent, into = backward_moments(conv.window, g.places.profile), conv.window.places_in
    factor = conv.sigma_w2 * conv.fan_out / conv.fan_in * sent.mean
    between = None
    if g.places.correlation is not None or (sent.pairs != 1 and g.sample_correlation):
        between = g.position_correlation * (into * sent.pairs - 1) / max(into - 1, 1)
    return g.become(
        product_of(g.log2_ms, log2_of(factor)),
        g.sample_correlation * sent.pairs,
        places=_places_below(conv.window, g, between),
    )


def _places_below(window: Window, g: BackwardMoments, correlation: float | None) -> Places:
    """Of the gradient at what a window reads; one place alone has no profile to hand down."""
    several = window.places_out > 1
    profile = backward_moments(window, g.places.profile).profile if several else None
    return Places(window.places_in, correlation, profile)


def _spread_out(window: Window, g: BackwardMoments) -> BackwardMoments:
    """Every place's gradient at entries of its own: products are means over more pairs."""
    into, out, samples, between = (
        window.places_in,
        window.places_out,
        g.sample_correlation,
        None,
    )
    if g.places.correlation is not None or (into != out and samples):
        between = g.position_correlation * (out - 1) / max(into - 1, 1)
    return g.become(
        g.log2_ms + log2(out / into),
        samples if into == out else samples * out / into,
        places=_places_below(window, g, between),
    )


def pooled(pool: Pool, x: ForwardMoments) -> ForwardMoments:
    """The output of a pooling."""
    if pool.kind == "max":
        return _of_profile(pool.window, x, _largest(pool.window, x))
    y = behind_border(pool.window, x, _averaged(pool.window, x))
    return y._replace(places=y.places._replace(variance_fluctuation=0.0))


def below_pool(pool: Pool, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """The gradient at a pooling's input."""
    if pool.kind == "average":
        return _below_average(pool.window, g)
    return _below_largest(pool.window, x, g)


def _averaged(window: Window, x: ForwardMoments) -> ForwardMoments:
    taps, out, inside = window.taps, window.places_out, window.inside
    own, apart = x.position_correlation, x.places.correlation is not None
    count, count2 = taps * inside, (taps * inside) ** 2 * (1 + window.unevenness)
    square, near = (count + (count2 - count) * own) / taps**2, own * inside**2
    log2_ms, samples = x.log2_ms + log2_of(square), x.sample_correlation * inside**2 / square
    shared, between = 0.0, None
    if out > 1:
        shared = (window.places_in * window.covers[1] - out * count) / taps**2 / (out * (out - 1))
    if out > 1 and (apart or shared):
        between = (near + (1 - own) * shared) / square
    # what is larger may be read more often
    log2_ms += log2(forward_moments(window, x.places.profile).mean / inside)
    alike = not apart and inside == 1
    return x.become(
        log2_ms,
        samples,
        x.log2_spread - log2(taps) if alike else log2_ms + log2_of(1 - samples),
        x.mean * inside / sqrt(square),
        errors=x.errors.plus(window.unevenness),
        places=Places(out, between),
    )


def _below_average(window: Window, g: BackwardMoments) -> BackwardMoments:
    taps, into, out, own = window.taps, window.places_in, window.places_out, g.position_correlation
    covers, covers2 = window.covers
    count, count2 = taps * window.inside, (taps * window.inside) ** 2 * (1 + window.unevenness)
    factor = (covers + (covers2 - covers) * own) / taps**2
    total = out * (count2 + (out - 1) * count**2 * own) / taps**2
    between = (total / factor - into) / (into * (into - 1)) if into > 1 else None
    samples = g.sample_correlation * (window.inside * out / into) ** 2 / factor
    factor *= backward_moments(window, g.places.profile).mean * taps / covers
    return g.become(
        product_of(g.log2_ms, log2_of(factor)), samples, places=_places_below(window, g, between)
    )


def _largest(window: Window, x: ForwardMoments) -> ForwardMoments:
    source, found = of_windows(window, x)
    samples, positions = found.product / found.square, window.places_out
    apart = x.places.correlation is not None and positions > 1
    log2_ms = log2_of(found.square) + source.unit
    return x.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        found.mean / sqrt(found.square),
        errors=x.errors.plus(found.error),
        places=Places(positions, found.near / found.square if apart else None),
    )


def _of_profile(window: Window, x: ForwardMoments, y: ForwardMoments) -> ForwardMoments:
    """The output y of a max pooling of x, where windows are cut or positions differ."""
    if y.places.positions == 1:
        return y
    mean, pairs, profile, shared = _profile_of_largest(window, x)
    y = y._replace(log2_ms=y.log2_ms + log2(mean), places=y.places._replace(shared_profile=shared))
    if profile is None:
        return y
    y = with_profile(y, profile, pairs)
    return y._replace(places=y.places._replace(shared_profile=shared))


def _profile_of_largest(
    window: Window, x: ForwardMoments
) -> tuple[float, float, PositionProfile | None, PositionProfile | None]:
    """Of each axis as if windows were cut there alone, times the mean of the input's own profile in
    a window.

    Returns:
        By what the mean square is larger for that profile; the mean product over all pairs, over
        that of two points at one place; the output's profile, and what it shares.
    """
    source, _ = of_windows(window, x)
    cut, seen, roots = [], [], []
    for i, axis in enumerate(window.axes):
        counts, others = (axis >= 0).sum(axis=1).tolist(), window.taps // window.kernel[i]
        found = {
            n: largest(source.activation, source.received, source.position_correlation, n * others)
            for n in set(counts)
        }
        own = x.places.profile[i] if x.places.profile else np.ones(window.size[i])
        mean = np.append(own, 0.0)[axis].sum(axis=1) / counts
        cut.append(np.array([found[n].square for n in counts]))
        seen.append(cut[-1] * mean)
        roots.append(np.sqrt([max(found[n].product, 0.0) for n in counts] * mean))
    larger = prod(
        float(after.mean() / before.mean()) for before, after in zip(cut, seen, strict=True)
    )
    pairs = prod(
        float(root.mean() ** 2 / np.square(root).mean()) if root.any() else 1.0 for root in roots
    )
    shared = profile_of(roots) if all(root.any() for root in roots) else None
    return larger, pairs, profile_of(seen), shared


def _below_largest(window: Window, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """Each place's gradient goes to one entry; what the activation's slope is there depends on its
    being the largest."""
    source, found = of_windows(window, x)
    at, apart = _spread_out(window, g), x.places.correlation is not None
    w, v = found.slopes, found.near_slopes
    square = float(w.square.mean())
    if not square:
        return at._replace(ties=Ties(below=BackwardMoments(-inf, 0.0)))
    own, between, weighted = at.places.correlation, None, None
    if own is not None or apart:
        between = at.position_correlation * float(v.product.mean()) / square
    if source.normalized:
        weighted = Weighted(w, at.sample_correlation, at.log2_ms, own, v if apart else None)
    below = at.become(
        product_of(at.log2_ms, log2_of(square)),
        at.sample_correlation * float(w.product.mean()) / square,
        at.error + found.error,
        at.places.with_correlation(between),
        Ties(weighted),
    )
    return at._replace(ties=Ties(below=below))


def of_windows(window: Window, x: ForwardMoments) -> tuple[Source, Largest]:
    known = x.known
    if known.source is not None:
        source = known.source
    elif isinstance(known.law, Gaussian) and not known.normalized:
        source = Source("linear", known.law, known.unit, x.places.correlation)
    else:
        raise NoTheory(
            "max pooling of values that are no activation's output, so their law is not known"
        )
    if source.position_correlation is not None and not isinstance(source.received, Gaussian):
        raise NoTheory("no rule for max pooling of an instance norm's output")
    counts, places = np.unique(
        reduce(np.multiply.outer, [(axis >= 0).sum(axis=1) for axis in window.axes]),
        return_counts=True,
    )
    found = [
        largest(source.activation, source.received, source.position_correlation, int(n))
        for n in counts
    ]
    return source, found[0] if len(found) == 1 else mean_of(found, places / places.sum())


def flattened(x: ForwardMoments) -> ForwardMoments:
    """Positions become entries; two samples share at any entry what they share at any two
    positions."""
    if x.places.positions == 1:
        return x
    return x._replace(known=x.known._replace(source=None), places=Places())


def below_flatten(x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """Each position has weights of its own above, so that two positions of a sample share
    nothing."""
    if x.places.positions == 1:
        return g
    return g.become(g.log2_ms, g.sample_correlation, places=Places(x.places.positions, 0.0))
