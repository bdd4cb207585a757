"""What an activation makes of positions that zeros around an image have made unlike: it passes a
power of the variance on, 1 where it is homogeneous (`border_profile`)."""

from math import log2

from depthscale.network import Phi, activation
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.expectations import powers
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.laws import Gaussian, Spherical
from depthscale.theory.moments.log2 import log2_of
from depthscale.theory.space.border_profile import (
    PositionProfile,
    log_variance,
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


def _powers(name: Phi, x: ForwardMoments) -> tuple[tuple[float, float], tuple[float, float]]:
    """As `moments.powers`; of what is sampled that is homogeneous, or the whole power counts as
    error."""
    if isinstance(x.law, Gaussian | Spherical):
        return powers(name, x.law)
    even = 0.0 if activation(name).homogeneous else 2.0
    return (1.0, even), (0.0, even)
