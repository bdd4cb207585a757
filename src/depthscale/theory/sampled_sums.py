"""Sampled sums: what becomes of a sum whose law has no closed form, as of act(stream +
norm(branch)) (arXiv:1512.03385).

A sampled channel is what one channel sees at a point (column 0), in another sample (1), and at
another position of the same sample (2). Forward, second moments are means over channels. Along the
stream slopes depend on each other, since all see the same channel. Given what it saw, though, its
gradient is a sum of independent ones, each times slopes: so E g^2 and E g g' are carried channel by
channel, and a norm that ends a branch gets them weighted with its own output.
"""

from functools import lru_cache
from math import inf, isfinite, log2, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtri

from depthscale.errors import NoTheory
from depthscale.network import Phi, activation
from depthscale.theory.moments.backward import FREE, BackwardMoments, ChannelMoments, Ties, Weighted
from depthscale.theory.moments.forward import ForwardMoments, KnownLaw, Source
from depthscale.theory.moments.laws import (
    GAUSSIAN_FROM,
    Gaussian,
    Law,
    Sampled,
    Spherical,
    WeightedSlopes,
)
from depthscale.theory.moments.log2 import log2_of
from depthscale.theory.moments.sampled_expectations import gaussians, uniform

Array = NDArray[np.float64]

_REPLICATES, _LOG2_CHANNELS = 8, 12


def law_of_sum(stream: ForwardMoments, branch: ForwardMoments, scale: float) -> Sampled | None:
    """The law of stream + scale * branch, or None where neither can be drawn afresh, or the other's
    channels are not known."""
    sides = _sides(stream, branch)
    if sides is None or stream.known.unit or branch.known.unit:
        return None
    old, _ = sides
    return Sampled(lambda: _weighed(_drawn(*sides), stream is old, scale), _draws(old) + 1)


def activated(name: Phi, x: ForwardMoments, law: Sampled) -> ForwardMoments:
    """The output of an activation that receives what is sampled."""
    u = activation(name).phi(law.points)
    square, product, nearby = ((u[..., 0] * u[..., k]).mean(axis=1) for k in range(3))
    spread = (np.square(u[..., 0] - u[..., 1]) / 2).mean()
    found = float(square.mean())
    if not found:
        return x.become_zero()
    between = None if x.places.correlation is None else float(nearby.mean()) / found
    return x.become(
        log2(found),
        float(product.mean()) / found,
        log2_of(float(spread)),
        float(u[..., 0].mean()) / sqrt(found),
        KnownLaw(source=Source(name, law, 0.0, x.received_correlation, x.known.normalized)),
        x.errors._replace(mean_square=max(x.error, _error(square))),
        x.places.with_correlation(between),
    )


def through(name: Phi, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """Below an activation whose slopes and the gradient above it depend on what the channel saw."""
    assert x.law is not None
    u = points(x.law, x.received_correlation)
    slope, above = activation(name).derivative(u), g.ties.channels or alike(g)
    square, product, nearby = (
        moment * slope[..., 0] * slope[..., k] for k, moment in enumerate(above.moments)
    )
    return _gradient(ChannelMoments(square, product, nearby, above.log2_unit), g, x, u)


def below_sum(
    stream: ForwardMoments,
    branch: ForwardMoments,
    scale: float,
    total: Law | Sampled | None,
    g: BackwardMoments,
) -> tuple[BackwardMoments, BackwardMoments]:
    """What a sum sends to its two sides, of which a norm's output needs the gradient weighted with
    it. / total: the sum's law."""
    above = g.ties.channels
    assert above is not None
    if isinstance(total, Gaussian):
        return _of_gaussian_sum(stream, 1.0, branch, scale, total, g), _of_gaussian_sum(
            branch, scale, stream, 1.0, total, g
        )
    sides = _sides(stream, branch)
    assert sides is not None
    found = [_gradient(above, g, side, u) for side, u in zip(sides, _drawn(*sides), strict=True)]
    found[1] = found[1]._replace(ties=found[1].ties._replace(channels=None))
    to_stream, to_branch = found if stream is sides[0] else found[::-1]
    return to_stream, to_branch.times(2 * log2_of(abs(scale)))


def alike(g: BackwardMoments) -> ChannelMoments:
    """A gradient that does not depend on the channel."""
    one = np.ones((_REPLICATES, 1 << _LOG2_CHANNELS))
    return ChannelMoments(one, g.sample_correlation * one, g.position_correlation * one, g.log2_ms)


def points(law: Law | Sampled, near: float | None, draw: int = 0) -> Array:
    """Channels of a law: the same whenever they are asked for, others with another number of the
    draw.

    Args:
        law: to draw from.
        near: correlation between two positions of a sample; None: as between samples.
        draw: its number.

    Returns:
        [replicates, channels, 3].
    """
    return law.points if isinstance(law, Sampled) else _drawn_points(law, near, draw)


@lru_cache(maxsize=16)
def _drawn_points(law: Law, near: float | None, draw: int) -> Array:
    seeds = [1000 * draw + replicate for replicate in range(_REPLICATES)]
    if isinstance(law, Spherical) and law.size < GAUSSIAN_FROM:
        radius = sqrt(_moments(law)[0])
        z = radius * np.array([_shuffled(_on_sphere(law.size, seed), seed) for seed in seeds])
        return law.gain * z + law.shift
    variance, between = _moments(law)
    near = between if near is None else near
    if not isfinite(near + between + variance):
        raise NoTheory("how alike its channels are is not known")
    correlations = np.array([[1, between, near], [between, 1, between], [near, between, 1]])
    eigenvalues, vectors = np.linalg.eigh(variance * correlations)
    root = np.sqrt(np.maximum(eigenvalues, 0.0))[:, None] * vectors.T
    z = np.array([_shuffled(gaussians(3, _LOG2_CHANNELS, seed), seed) @ root for seed in seeds])
    return law.gain * z + law.shift


def _moments(law: Law) -> tuple[float, float]:
    """Variance before gain and shift, and correlation between samples."""
    if isinstance(law, Gaussian):
        return law.variance, law.correlation
    return float(np.dot(law.weights, np.square(law.radii))), -1 / (law.size - 1)


def _on_sphere(size: int, seed: int) -> Array:
    """Three coordinates of a uniform point of mean 0 and mean square 1 in R^size, size >= 6. /
    returns: [channels, 3]."""
    unit, rest = uniform(5, _LOG2_CHANNELS, seed), size - 3
    g, common = ndtri(unit[:, :3]), ndtri(unit[:, 3])
    mean = (g.sum(axis=1) + sqrt(rest) * common) / size
    squares = (g**2).sum(axis=1) + common**2 + 2 * gammaincinv((rest - 1) / 2, unit[:, 4])
    return (g - mean[:, None]) / np.sqrt(squares / size - mean**2)[:, None]


def _shuffled(rows: Array, seed: int) -> Array:
    """So that one draw's n-th channel says nothing of another's."""
    return np.random.default_rng([seed, 2]).permutation(rows)


# ---- the two sides of a sum


def _sides(
    stream: ForwardMoments, branch: ForwardMoments
) -> tuple[ForwardMoments, ForwardMoments] | None:
    """The side with a history, and the one to draw afresh."""
    for old, new in ((stream, branch), (branch, stream)):
        if _is_drawable(new) and (
            _is_drawable(old) or isinstance(old.law, Sampled) or _passed(old) is not None
        ):
            return old, new
    return None


def _is_drawable(x: ForwardMoments) -> bool:
    law = x.law
    if isinstance(
        law, Spherical
    ):  # an instance norm's, and a group's of few entries, see two samples in another way
        return x.places.correlation is None and (
            law.size >= GAUSSIAN_FROM or (law.correlation is None and law.size >= 6)
        )
    return isinstance(law, Gaussian)


def _passed(x: ForwardMoments) -> Source | None:
    """The activation whose output this is, where what it received can be drawn."""
    source = x.known.source if x.law is None else None
    if source is None or source.unit:
        return None
    received = x._replace(
        known=KnownLaw(source.received),
        places=x.places.with_correlation(source.position_correlation),
    )
    return source if isinstance(source.received, Sampled) or _is_drawable(received) else None


def _draws(x: ForwardMoments) -> int:
    source = x.known.source
    law = source.received if x.law is None and source else x.law
    return law.draws if isinstance(law, Sampled) else 0


def _own(x: ForwardMoments) -> Array:
    """Channels of the side with a history."""
    source = _passed(x)
    if source is not None:
        return activation(source.activation).phi(
            points(source.received, source.position_correlation)
        )
    assert x.law is not None
    return points(x.law, x.received_correlation)


def _drawn(old: ForwardMoments, new: ForwardMoments) -> tuple[Array, Array]:
    """Channels of both; the new ones made uncorrelated with the old in every replicate, as they are
    on average."""
    assert new.law is not None
    x, z = _own(old), points(new.law, new.received_correlation, _draws(old) + 1)
    known = np.concatenate([np.ones_like(x[..., :1]), x], axis=-1)
    mean = z.mean(axis=1, keepdims=True)
    fitted = np.linalg.pinv(known) @ (z - mean)
    return x, z - known @ fitted


def _weighed(drawn: tuple[Array, Array], stream_first: bool, scale: float) -> Array:
    stream, branch = drawn if stream_first else drawn[::-1]
    return stream + scale * branch


# ---- from channels to a gradient


def _gradient(
    channels: ChannelMoments, above: BackwardMoments, x: ForwardMoments, u: Array
) -> BackwardMoments:
    """A gradient at x, whose channels are u; weighted with them if x is a norm's output."""
    square, product, nearby = (moment.mean(axis=1) for moment in channels.moments)
    found = float(square.mean())
    if not found:
        return above.become(-inf, 0.0)
    weighted, between = None, None
    if x.known.normalized:
        assert isinstance(x.law, Gaussian | Spherical)
        z = (u - x.law.shift) / x.law.gain if x.law.gain else np.zeros_like(u)
        weighted = _weighted(channels, [z[..., 0] * z[..., k] for k in range(3)], x.law)
    if above.places.correlation is not None or x.places.correlation is not None:
        between = float(nearby.mean()) / found
    return above.become(
        log2(found) + channels.log2_unit,
        float(product.mean()) / found,
        max(above.error, _error(square)),
        above.places.with_correlation(between),
        Ties(weighted, channels=channels),
    )


def _of_gaussian_sum(
    side: ForwardMoments,
    weight: float,
    other: ForwardMoments,
    other_weight: float,
    total: Gaussian,
    g: BackwardMoments,
) -> BackwardMoments:
    """To a side of a Gaussian sum, which tells of the products of the side's values at two points
    by regression."""
    assert g.ties.channels is not None
    plain = g._replace(ties=FREE).times(2 * log2_of(abs(weight)))
    if (
        not side.known.normalized
        or not isinstance(side.law, Gaussian | Spherical)
        or not side.law.gain
    ):
        return plain
    (variance, between), near = _moments(side.law), None
    if side.places.correlation is not None or other.places.correlation is not None:
        ours, theirs = weight**2 * 2.0**side.log2_ms, other_weight**2 * 2.0**other.log2_ms
        mixed = ours * side.position_correlation + theirs * other.position_correlation
        near = mixed / (ours + theirs)
    own = between, between if side.received_correlation is None else side.received_correlation
    sums = total.correlation, total.correlation if near is None else near
    v = (points(total, near) - total.shift) / total.gain
    scale, pairs = weight * side.law.gain / total.gain, []
    for k, (c, d) in enumerate(zip((1.0, *own), (1.0, *sums), strict=True)):
        ours, theirs = (
            q * np.array([[1.0, r], [r, 1.0]]) for q, r in ((variance, c), (total.variance, d))
        )
        slope = scale * ours @ np.linalg.pinv(theirs)
        z = v[..., [0, k]] @ slope.T
        pairs.append(z[..., 0] * z[..., 1] + (ours - scale * slope @ ours)[0, 1])
    weighted = _weighted(g.ties.channels, pairs, side.law, 2 * log2_of(abs(weight)))
    return plain._replace(ties=Ties(weighted))


def _weighted(
    channels: ChannelMoments,
    pairs: list[Array],
    law: Gaussian | Spherical,
    log2_factor: float = 0.0,
) -> Weighted:
    """For the norm that gave z. / pairs: z z' of a point with itself, with another sample, with
    another position."""
    square, product, nearby = (float(each.mean()) for each in channels.moments)
    z_square, z_product, z_nearby = (
        float((a * b).mean()) for a, b in zip(channels.moments, pairs, strict=True)
    )
    radii2 = (
        np.square(law.radii) / np.dot(law.weights, np.square(law.radii))
        if isinstance(law, Spherical)
        else np.ones(1)
    )
    one = np.ones_like(radii2)
    between = WeightedSlopes(
        square * one, product * one, z_square * radii2, z_product * radii2, 0.0
    )
    within = WeightedSlopes(square * one, nearby * one, z_square * radii2, z_nearby * radii2, 0.0)
    return Weighted(between, 1.0, channels.log2_unit + log2_factor, 1.0, within)


def _error(by_replicate: Array) -> float:
    return float(by_replicate.std(ddof=1) / sqrt(len(by_replicate)) / by_replicate.mean())
