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
    Norm,
    Op,
    Operation,
    Part,
    Phi,
    Pool,
    Unknown,
    activation,
)
from depthscale.theory import borders, norm, positions, sampled_sums
from depthscale.theory.border_profile import mixed
from depthscale.theory.laws import (
    GAUSSIAN_FROM,
    Gaussian,
    Law,
    Sampled,
    gaussian_part,
    is_nearly_gaussian,
    moved,
    values_of,
)
from depthscale.theory.moments import mean_slope, slopes, values, weighted_slopes
from depthscale.theory.sampled_expectations import CLOSE
from depthscale.theory.states import (
    EXACT,
    NO_LAW,
    BackwardMoments,
    Errors,
    ForwardMoments,
    KnownLaw,
    Places,
    Source,
    Ties,
    Weighted,
    log2_of,
    product_of,
    sum_of,
)

# |log2| of a variance from which a homogeneous activation is asked at variance 1 instead
_BEYOND = 400.0


def forward_rule(what: Operation, inputs: tuple[ForwardMoments, ...]) -> ForwardMoments:
    """The output of an operation. / raises: NoTheory where it has no rule for these inputs."""
    match what:
        case Input(variance, correlation, size, near):
            log2_ms = log2_of(variance)
            law = _gaussian(log2_ms, correlation)
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
            return _add(scale, *inputs)
        case Dropout(keep):
            return _dropout(keep, inputs[0])
        case Pool():
            return positions.pooled(what, inputs[0])
        case Flatten():
            return positions.flattened(inputs[0])
        case Attention():
            return positions.attended(what, *inputs)
        case Part():
            return positions.part(what, inputs[0])
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
            return _below_add(scale, inputs[0], inputs[1], g)
        case Affine(gain, _):
            return (g.times(2 * log2_of(abs(gain))),)
        case Conv():
            return (positions.below_conv(op.what, g),)
        case Input() | Embedding():
            return ()
        case Dropout(keep):
            return (_below_dropout(keep, g),)
        case Pool():
            return (positions.below_pool(op.what, inputs[0], g),)
        case Flatten():
            return (positions.below_flatten(inputs[0], g),)
        case Attention():
            q, k, v = inputs
            return positions.below_attention(op.what, q, k, v, g)
        case Part():
            return (positions.below_part(op.what, inputs[0], g),)
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
        known=_gaussian(log2_ms, samples),
        places=places._replace(correlation=between),
    )


def _at_most_1(correlation: float) -> float:
    """What rounding may have led past 1; nan stays."""
    return 1.0 if correlation > 1 else correlation


def _gaussian(log2_ms: float, correlation: float) -> KnownLaw:
    if abs(log2_ms) < _BEYOND or log2_ms != log2_ms:
        return KnownLaw(Gaussian(2.0**log2_ms, correlation))
    return KnownLaw(Gaussian(1.0, correlation), log2_ms)


def _affine(gain: float, shift: float, x: ForwardMoments) -> ForwardMoments:
    scale = 2 * log2_of(abs(gain))
    scaled, mean = x.log2_ms + scale, x.mean if gain > 0 else -x.mean
    law = moved(x.law, gain, shift) if x.law else None
    x = x._replace(known=x.known._replace(law=law, source=None), log2_spread=x.log2_spread + scale)
    if not shift:
        return x._replace(log2_ms=scaled, mean=mean)
    if scaled > _BEYOND:
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
        places=x.places._replace(correlation=None if own is None else correlation(own)),
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
        x.places._replace(correlation=between),
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
        g.places._replace(correlation=between),
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


def _add(scale: float, stream: ForwardMoments, branch: ForwardMoments) -> ForwardMoments:
    """Two uncorrelated signals."""
    if stream.mean and branch.mean:
        raise NoTheory("both sides have a mean over entries")
    weight = 2 * log2_of(abs(scale))
    log2_ms = sum_of(stream.log2_ms, branch.log2_ms + weight)
    if log2_ms == -inf:
        return stream._replace(errors=EXACT).become_zero(KnownLaw(Gaussian(0.0, 0.0)))
    share = 2.0 ** (stream.log2_ms - log2_ms)
    own, theirs = stream.places, branch.places
    between, profile = None, None
    if own.correlation is not None or theirs.correlation is not None:
        between = share * stream.position_correlation + (1 - share) * branch.position_correlation
    if own.profile or theirs.profile:
        ratio = scale**2 * 2.0 ** (branch.log2_ms - stream.log2_ms)
        profile = mixed(own.profile, theirs.profile, 1 / (1 + ratio))
    law = _law_of_sum(stream, branch, scale)
    error = max(stream.error, branch.error)
    if law.law:  # what is sampled comes from the sphere itself where that is small
        error += sum(2 / n for n in map(values_of, (stream.law, branch.law)) if n >= GAUSSIAN_FROM)
    other_mean = branch.mean * sqrt(1 - share)
    return stream.become(
        log2_ms,
        share * stream.sample_correlation + (1 - share) * branch.sample_correlation,
        sum_of(stream.log2_spread, branch.log2_spread + weight),
        stream.mean * sqrt(share) + (other_mean if scale > 0 else -other_mean),
        law,
        Errors(error, max(stream.errors.spread, branch.errors.spread)),
        Places(own.positions, between, profile),
    )


def _below_add(
    scale: float, stream: ForwardMoments, branch: ForwardMoments, g: BackwardMoments
) -> tuple[BackwardMoments, BackwardMoments]:
    if g.ties.channels:
        total = _law_of_sum(stream, branch, scale).law
        return sampled_sums.below_sum(stream, branch, scale, total, g)
    if stream.known.normalized or branch.known.normalized:
        # a norm below sees slopes that depend on its output
        g = g._replace(error=g.error + abs(g.sample_correlation))
    return g, g.times(2 * log2_of(abs(scale)))


def _law_of_sum(stream: ForwardMoments, branch: ForwardMoments, scale: float) -> KnownLaw:
    """Law and unit of stream + scale * branch, as far as they are known: Gaussian where both are,
    or nearly, else sampled."""
    if not (is_nearly_gaussian(stream.law) and is_nearly_gaussian(branch.law)):
        return KnownLaw(sampled_sums.law_of_sum(stream, branch, scale))
    if not (stream.mean or branch.mean):
        log2_ms = sum_of(stream.log2_ms, branch.log2_ms + 2 * log2_of(abs(scale)))
        share = 2.0 ** (stream.log2_ms - log2_ms)
        return _gaussian(
            log2_ms, share * stream.sample_correlation + (1 - share) * branch.sample_correlation
        )
    if stream.known.unit or branch.known.unit:
        return NO_LAW
    (v, c, m), (w, d, n) = (gaussian_part(x.law) for x in (stream, branch))
    total = v + scale**2 * w
    if not 0 < total < inf:
        return NO_LAW
    return KnownLaw(Gaussian(total, (v * c + scale**2 * w * d) / total, shift=m + scale * n))


def _dropout(keep: float, x: ForwardMoments) -> ForwardMoments:
    """E x^2 / keep at a point; two points are kept independently, so that their product stays."""
    own = x.places.correlation
    return x.become(
        x.log2_ms - log2(keep),
        x.sample_correlation * keep,
        x.log2_ms + log2_of(1 / keep - x.sample_correlation),
        x.mean * sqrt(keep),
        places=x.places._replace(correlation=None if own is None else own * keep),
    )


def _below_dropout(keep: float, g: BackwardMoments) -> BackwardMoments:
    own = g.places.correlation
    places = g.places._replace(correlation=None if own is None else own * keep)
    return g.become(g.log2_ms - log2(keep), g.sample_correlation * keep, places=places)
