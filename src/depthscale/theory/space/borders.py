"""What an activation makes of positions that zeros around an image have made unlike: it passes a
power of the variance on, 1 where it is homogeneous (`border_profile`)."""

from math import inf, log2, prod, sqrt

import numpy as np

from depthscale.network import Pad, Phi, activation
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.expectations import powers
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.laws import Gaussian, Spherical
from depthscale.theory.moments.log2 import log2_of, product_of
from depthscale.theory.space.border_profile import (
    PositionProfile,
    log_variance,
    profile_of,
    raised,
    squared_root,
)


def activated(name: Phi, x: ForwardMoments, even: ForwardMoments) -> ForwardMoments:
    """An activation's output. / x: its input; even: the output as if positions were alike."""
    if x.places.profile is None:
        return even._replace(places=even.places.with_profile(None))
    (power, bend), _ = _powers(name, x)
    mean, profile = raised(x.places.profile, power)
    error = abs(bend) * log_variance(profile) / 2
    output = even._replace(log2_ms=even.log2_ms + log2(mean), errors=even.errors.plus(error))
    return with_profile(output, profile, squared_root(profile))


def with_profile(x: ForwardMoments, profile: PositionProfile, pairs: float) -> ForwardMoments:
    """Correlations, known for two points at one place, become those of the mean over all pairs,
    which is that times `pairs`."""
    own, samples = x.places.correlation, x.sample_correlation * pairs
    places = x.places.with_profile(profile)
    return x._replace(
        sample_correlation=samples,
        log2_spread=x.log2_ms + log2_of(1 - samples),
        places=places.with_correlation(None if own is None else own * pairs),
    )


def below_activation(
    name: Phi, x: ForwardMoments, above: BackwardMoments, even: BackwardMoments
) -> BackwardMoments:
    """The gradient at an activation's input x. / even: as if positions were alike."""
    if x.places.profile is None:
        return even
    _, (power, bend) = _powers(name, x)
    mean, profile = raised(x.places.profile, power, above.places.profile)
    error = even.error + abs(bend) * log_variance(x.places.profile) / 2
    return even.times(log2(mean))._replace(
        error=error, places=even.places._replace(profile=profile)
    )


def padded(pad: Pad, x: ForwardMoments) -> ForwardMoments:
    """Zeros around it, which take part in every mean."""
    share = prod(pad.size) / prod(pad.size_out)
    own, positions = x.places.positions, prod(pad.size_out)
    shared = x.places.shared_profile
    log2_ms, samples = x.log2_ms + log2(share), x.sample_correlation * share
    between = x.position_correlation * (own - 1) / max(positions - 1, 1)
    return x.become(
        log2_ms,
        samples,
        log2_ms + log2_of(1 - samples),
        x.mean * sqrt(share),
        places=Places(
            positions,
            between if positions > 1 else None,
            _with_zeros(pad, x.places.profile),
            shared and _with_zeros(pad, shared),
        ),
    )


def _with_zeros(pad: Pad, profile: PositionProfile | None) -> PositionProfile:
    rows = profile or tuple((1.0,) * n for n in pad.size)
    padded = [
        np.pad(row, (before, after))
        for row, before, after in zip(rows, pad.before, pad.after, strict=True)
    ]
    return tuple(tuple((row / row.mean()).tolist()) for row in padded)


def below_pad(pad: Pad, x: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """What the zeros would get is lost; products go as the roots of mean squares."""
    profile = g.places.profile or tuple((1.0,) * n for n in pad.size_out)
    inside = [
        np.array(row)[before : before + n]
        for row, before, n in zip(profile, pad.before, pad.size, strict=True)
    ]
    square = prod(float(row.mean()) for row in inside)
    if not square:
        return g.become(-inf, 0.0, places=Places(x.places.positions))
    kept = prod(float(np.sqrt(row).mean()) ** 2 for row in inside) / squared_root(profile) / square
    own = g.places.correlation
    places = Places(x.places.positions, None if own is None else own * kept, profile_of(inside))
    return g.become(product_of(g.log2_ms, log2(square)), g.sample_correlation * kept, places=places)


def _powers(name: Phi, x: ForwardMoments) -> tuple[tuple[float, float], tuple[float, float]]:
    """As `moments.powers`; of what is sampled that is homogeneous, or the whole power counts as
    error."""
    if isinstance(x.law, Gaussian | Spherical):
        return powers(name, x.law)
    even = 0.0 if activation(name).homogeneous else 2.0
    return (1.0, even), (0.0, even)
