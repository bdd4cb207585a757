"""Which law holds of a norm's sigma, decided once: by what it is over, and by what is known of the
values.

source: arXiv:1902.08129 (Yang et al. 2019), Theorems 3.5 to 3.10, rederived; the others by the same
steps.
"""

from math import inf, log2

from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.norm.after_activation import AfterActivation, can_be_sampled
from depthscale.theory.norm.constant import Constant
from depthscale.theory.norm.contract import Regime
from depthscale.theory.norm.infinite import InfiniteBatch
from depthscale.theory.norm.large_sample import LargeSample
from depthscale.theory.norm.norm_shares import Deviation, NormShares
from depthscale.theory.norm.sigma import is_over_many_entries
from depthscale.theory.norm.sphere import Sphere
from depthscale.theory.norm.unknown import Unknown
from depthscale.theory.space.border_profile import PositionProfile, centred, raised


def regime(norm: Norm, y: ForwardMoments) -> Regime:
    """The law of a norm's sigma.

    Args:
        norm: any.
        y: what it receives.

    Returns:
        One of a few final classes.

    Raises:
        NoTheory: where sigma is over few values of a kind that no law is known for.
    """
    if norm.statistics == "running":
        return Constant(norm, y)
    if norm.size < 2 and norm.row.centred:
        raise NoTheory("a norm over 1 value has no sigma: its output is its shift")
    if y.log2_ms != y.log2_ms:
        return Unknown(norm, y)
    if is_over_many_entries(norm, y):
        return Constant(norm, y)
    law = _of_few(norm, y)
    return Unknown(norm, y, law) if y.position_correlation != y.position_correlation else law


def _of_few(norm: Norm, y: ForwardMoments) -> Regime:
    if _are_unlike(norm, y):
        return LargeSample(norm, y)
    if norm.size == inf:
        return InfiniteBatch(norm, y)
    return Sphere(norm, y) if isinstance(y.law, Gaussian) else AfterActivation(norm, y)


def _are_unlike(norm: Norm, y: ForwardMoments) -> bool:
    """Whether the values are neither alike Gaussians nor an activation's output, so that only their
    number helps."""
    if norm.row.over == "positions":
        return False
    apart = y.places.correlation is not None or norm.row.over == "groups"
    if y.places.positions > 1 and apart:
        return True
    return norm.size < inf and not isinstance(y.law, Gaussian) and not can_be_sampled(norm, y)


def forward(norm: Norm, y: ForwardMoments) -> ForwardMoments:
    """The norm's output, with the profile of its positions. / raises: NoTheory."""
    x = regime(norm, y).forward()
    return x._replace(places=x.places.with_profile(_profile(norm, y)))


def _profile(norm: Norm, y: ForwardMoments) -> PositionProfile | None:
    """Less the batch's own mean; none where each position is divided by its own sigma."""
    if norm.row.over == "entries":
        return None
    if norm.row.mixes_samples and norm.statistics != "running":
        return centred(y.places.profile, y.places.shared_profile, y.sample_correlation)
    return y.places.profile


def backward(norm: Norm, y: ForwardMoments, g: BackwardMoments) -> BackwardMoments:
    """The gradient at the norm's input. / raises: NoTheory."""
    sent = regime(norm, y).backward(g)
    if y.places.profile is None or norm.row.over != "entries":
        return sent
    mean, profile = raised(y.places.profile, -1.0, g.places.profile)  # each by its own sigma^2
    return sent.times(log2(mean))._replace(places=sent.places._replace(profile=profile))


def shares(norm: Norm, y: ForwardMoments, g: BackwardMoments) -> NormShares:
    """What the terms through the mean and through sigma take of a gradient.

    Args:
        norm: any.
        y: what it receives.
        g: the gradient that arrives at its output.

    Returns:
        Both shares; 0 for statistics that take no gradient, and for those over the many entries of
        a sample, whose gradients share nothing. Their error is that of the slopes.

    Raises:
        NoTheory: where no law is known.

    Source:
        arXiv:1902.08129, the steps of theorem 3.9.
    """
    if norm.statistics != "batch":
        return NormShares(0.0, 0.0)
    return regime(norm, y).shares(g)


def deviation(norm: Norm, y: ForwardMoments) -> Deviation:
    """sigma^2 of a norm that receives y. / raises: NoTheory where y does not vary."""
    return regime(norm, y).deviation()
