"""Small rules of what passes one operation, forward and backward, where samples are alike; a
norm's, a convolution's and those of sampled sums have files of their own."""

from dataclasses import replace
from functools import lru_cache, wraps
from math import inf, log2, prod, sqrt

from depthscale.errors import NoTheory
from depthscale.network import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Input,
    Linear,
    Multiply,
    Norm,
    Op,
    Operation,
    Pad,
    Part,
    Phi,
    Pool,
    Prepend,
    Repeat,
    Unknown,
    activation,
)
from depthscale.theory import norm, sampled_sums, sums
from depthscale.theory.moments.backward import BackwardMoments, Ties, Weighted
from depthscale.theory.moments.expectations import mean_slope, slopes, values, weighted_slopes
from depthscale.theory.moments.forward import (
    NO_LAW,
    ForwardMoments,
    KnownLaw,
    Places,
    Source,
    gaussian_law,
)
from depthscale.theory.moments.laws import (
    Gaussian,
    Law,
    Sampled,
    moved,
)
from depthscale.theory.moments.log2 import log2_of, product_of, sum_of
from depthscale.theory.moments.sampled_expectations import CLOSE
from depthscale.theory.space import attention, borders, positions

_FARTHEST = 400.0  # log2 of a mean square beside which float64 holds no shift


def forward_rule(what: Operation, inputs: tuple[ForwardMoments, ...]) -> ForwardMoments:
    """The output of an operation. / raises: NoTheory where it has no rule for these inputs."""
    match what:
        case Input(variance, correlation, size, near):
            log2_ms = log2_of(variance)
            law = gaussian_law(log2_ms, correlation)
            return _source(log2_ms, correlation, Places(prod(size), near), law)
        case Embedding(variance, vocabulary, size):
            return _source(log2_of(variance), 1 / vocabulary, Places(prod(size)), NO_LAW)
        case Linear():
            return linear(what, inputs[0])
        case Conv():
            seen, log2_share = positions.convolved(what, inputs[0])
            output = linear(what, seen, log2_share, Places(what.window.places_out))
            return positions.behind_border(what.window, inputs[0], output)
        case Norm():
            return norm.forward(what, inputs[0])
        case Affine(gain, shift):
            return _affine(gain, shift, inputs[0])
        case Elementwise(name):
            return borders.activated(name, inputs[0], _elementwise(name, inputs[0]))
        case Add(scale):
            return sums.added(scale, *inputs)
        case Multiply():
            return _multiplied(*inputs)
        case Dropout(keep):
            return _dropout(keep, inputs[0])
        case Pool():
            return positions.pooled(what, inputs[0])
        case Flatten():
            return positions.flattened(inputs[0])
        case Attention():
            return attention.attended(what, *inputs)
        case Part():
            return positions.part(what, inputs[0])
        case Prepend():
            return positions.prepended(what, inputs[0])
        case Pad():
            return borders.padded(what, inputs[0])
        case Repeat():
            return inputs[0]
        case Unknown(name):
            raise NoTheory(f"theory has no rule for {name}")


_remembered = lru_cache(maxsize=1 << 14)(forward_rule)


@wraps(forward_rule)
def remembered_rule(what: Operation, inputs: tuple[ForwardMoments, ...]) -> ForwardMoments:
    """forward_rule, which equal layers ask once; what is sampled has no hash, so that no cache
    keeps its points."""
    try:
        return _remembered(what, inputs)
    except TypeError:
        return forward_rule(what, inputs)


def backward_rule(
    op: Op, inputs: list[ForwardMoments], g: BackwardMoments
) -> tuple[BackwardMoments, ...]:
    """What an operation sends to each of its inputs. / raises: NoTheory where it has no rule."""
    match op.what:  # the commonest first: a thousand layers ask
        case Linear():
            weights = log2_of(op.what.sigma_w2) + log2_of(op.what.fan_out / op.what.fan_in)
            return (g.become(product_of(g.log2_ms, weights), g.sample_correlation),)
        case Elementwise(name):
            sent = g.ties.below or _through_slopes(name, inputs[0], g)
            return (borders.below_activation(name, inputs[0], g, sent),)
        case Norm():
            return (norm.backward(op.what, inputs[0], g),)
        case Add(scale):
            return sums.below(scale, inputs[0], inputs[1], g)
        case Affine(gain, _):
            return (g.times(2 * log2_of(abs(gain))),)
        case Conv():
            return (positions.below_conv(op.what, g),)
        case Input() | Embedding():
            return ()
        case Multiply():
            a, b = inputs
            return _below_product(b, g), _below_product(a, g)
        case Dropout(keep):
            return (_below_dropout(keep, g),)
        case Pool():
            return (positions.below_pool(op.what, inputs[0], g),)
        case Flatten():
            return (positions.below_flatten(inputs[0], g),)
        case Attention():
            q, k, v = inputs
            return attention.below_attention(op.what, q, k, v, g)
        case Part():
            return (positions.below_part(op.what, inputs[0], g),)
        case Prepend():
            return (positions.below_prepend(op.what, inputs[0], g),)
        case Pad():
            return (borders.below_pad(op.what, inputs[0], g),)
        case Repeat(times):  # whose copies have readers of their own
            return (g.times(log2(times)),)
        case Unknown(name):
            raise NoTheory(f"theory has no rule for {name}")


def _source(log2_ms: float, correlation: float, places: Places, law: KnownLaw) -> ForwardMoments:
    spread = log2_ms + log2_of(1 - correlation)
    return ForwardMoments(log2_ms, correlation, spread, known=law, places=places)


def linear(
    map_: Linear | Conv, x: ForwardMoments, log2_share: float = 0.0, places: Places | None = None
) -> ForwardMoments:
    """Weights see x's second moments, or what is left of them without the mean over entries; biases
    are common to all samples.

    Args:
        map_: the linear map.
        x: what it reads.
        log2_share: log2 of the share of the weights that meet an entry.
        places: of the output but for its correlation, by default x's.
    """
    x = x.without_mean() if map_.rows == "standardized" else x
    places = places or x.places.with_profile(x.places.profile)
    weights, bias = log2_of(map_.sigma_w2) + log2_share, log2_of(map_.sigma_b2)
    log2_ms = sum_of(x.log2_ms + weights, bias)
    if log2_ms == -inf:
        return x._replace(places=places).become_zero(KnownLaw(Gaussian(0.0, 0.0)))
    ours, theirs = 2.0 ** (x.log2_ms + weights - log2_ms), 2.0 ** (bias - log2_ms)
    samples = _at_most_1(ours * x.sample_correlation + theirs)
    own = x.places.correlation if places.positions > 1 else None
    between = None if own is None else _at_most_1(ours * own + theirs)
    return x.become(
        log2_ms,
        samples,
        x.log2_spread + weights,
        known=gaussian_law(log2_ms, samples),
        places=places.with_correlation(between),
    )


def _at_most_1(correlation: float) -> float:
    """What rounding may have led past 1; nan stays."""
    return 1.0 if correlation > 1 else correlation


def _affine(gain: float, shift: float, x: ForwardMoments) -> ForwardMoments:
    scale = 2 * log2_of(abs(gain))
    scaled, mean = x.log2_ms + scale, x.mean if gain > 0 else -x.mean
    law = moved(x.law, gain, shift) if x.law else None
    x = x._replace(known=x.known._replace(law=law, source=None), log2_spread=x.log2_spread + scale)
    if not shift:
        return x._replace(log2_ms=scaled, mean=mean)
    if scaled > _FARTHEST:
        raise NoTheory(f"a gain of {gain:g} on values of mean square 2^{scaled - scale:.0f}")
    root = 2.0 ** (scaled / 2)
    mean *= root
    square = root**2 + 2 * mean * shift + shift**2
    if not 0 < square < inf:
        raise NoTheory(f"a shift of {shift:g} on values of mean square 2^{scaled:.0f}")

    def correlation(own: float) -> float:
        return (root**2 * own + 2 * mean * shift + shift**2) / square

    own = x.places.correlation
    return x._replace(
        log2_ms=log2_of(square),
        sample_correlation=correlation(x.sample_correlation),
        mean=(mean + shift) / sqrt(square),
        places=x.places.with_correlation(None if own is None else correlation(own)),
    )


def _elementwise(name: Phi, x: ForwardMoments) -> ForwardMoments:
    law, unit = _received(name, x)
    if isinstance(law, Sampled):
        return sampled_sums.activated(name, x, law)
    found = values(name, law)
    if not found.square:
        return x.become_zero()
    product, between = found.product, None
    if x.places.correlation is not None and isinstance(law, Gaussian):
        near_law = replace(law, correlation=x.received_correlation)
        between = _at_most_1(values(name, near_law).product / found.square)
    elif x.places.correlation is not None:
        # an instance norm's output: samples are independent, positions on one sphere
        product, between = found.mean**2, found.product / found.square
    samples = _at_most_1(product / found.square)
    log2_ms = log2_of(found.square) + unit
    log2_spread = log2_ms + log2_of(1 - samples)
    if 1 - x.sample_correlation < CLOSE:
        log2_spread = x.log2_spread + log2_of(slopes(name, law).square)
    return x.become(
        log2_ms,
        samples,
        log2_spread,
        found.mean / sqrt(found.square),
        KnownLaw(source=Source(name, law, unit, x.received_correlation, x.known.normalized)),
        x.errors.plus(found.error, found.spread_error),
        x.places.with_correlation(between),
    )


def _through_slopes(name: Phi, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """Below an activation, whose slopes are independent of the gradient above it."""
    law, _ = _received(name, x)
    if g.ties.channels or isinstance(law, Sampled):
        return sampled_sums.through(name, x, g)
    own, above = x.places.correlation, g.places.correlation
    found = slopes(name, law, not g.sample_correlation and above is None)
    if not found.square:
        return g.become(-inf, 0.0)
    product, nearby, near_law = found.product, found.product, law
    if own is not None and isinstance(law, Gaussian):
        near_law = replace(law, correlation=x.received_correlation)
        nearby = slopes(name, near_law).product
    elif own is not None and g.sample_correlation:
        product = mean_slope(name, law) ** 2
    between, weighted = None, None
    if own is not None or above is not None:
        between = g.position_correlation * nearby / found.square
    if x.known.normalized:
        near_slopes = weighted_slopes(name, near_law) if near_law is not law else None
        weighted = Weighted(
            weighted_slopes(name, law), g.sample_correlation, g.log2_ms, above, near_slopes
        )
    return g.become(
        product_of(g.log2_ms, log2_of(found.square)),
        g.sample_correlation * product / found.square,
        g.error + found.error,
        g.places.with_correlation(between),
        Ties(weighted),
    )


def _received(name: Phi, x: ForwardMoments) -> tuple[Law | Sampled, float]:
    """The law that an activation receives, and log2 of what its square stands for."""
    if not x.log2_ms < inf:
        raise NoTheory("the mean square of its input is not known")
    if x.law is None:
        raise NoTheory("its input is neither Gaussian nor a norm's output, so its law is not known")
    if x.known.unit and not activation(name).homogeneous:
        raise NoTheory(f"{name} of values of mean square 2^{x.log2_ms:.0f}")
    return x.law, x.known.unit


def _multiplied(a: ForwardMoments, b: ForwardMoments) -> ForwardMoments:
    """The product of two signals that are independent, as a gate of weights of its own is."""
    samples = a.sample_correlation * b.sample_correlation
    log2_ms = a.log2_ms + b.log2_ms
    between = a.position_correlation * b.position_correlation
    return a.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        a.mean * b.mean,
        errors=a.errors.plus(*b.errors),
        places=Places(a.places.positions, between if a.places.positions > 1 else None),
    )


def _below_product(other: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """At one side of a product: the gradient times the other side."""
    between = g.position_correlation * other.position_correlation
    positions = other.places.positions
    return g.become(
        product_of(g.log2_ms, other.log2_ms),
        g.sample_correlation * other.sample_correlation,
        g.error + other.error,
        Places(positions, between if positions > 1 else None),
    )


def _dropout(keep: float, x: ForwardMoments) -> ForwardMoments:
    """E x^2 / keep at a point; two points are kept independently, so that their product stays."""
    own = x.places.correlation
    return x.become(
        x.log2_ms - log2(keep),
        x.sample_correlation * keep,
        x.log2_ms + log2_of(1 / keep - x.sample_correlation),
        x.mean * sqrt(keep),
        places=x.places.with_correlation(None if own is None else own * keep),
    )


def _below_dropout(keep: float, g: BackwardMoments) -> BackwardMoments:
    own = g.places.correlation
    places = g.places.with_correlation(None if own is None else own * keep)
    return g.become(g.log2_ms - log2(keep), g.sample_correlation * keep, places=places)
