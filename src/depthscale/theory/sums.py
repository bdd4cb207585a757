"""Sums of two uncorrelated signals: what passes them forward and backward, and their law."""

from math import inf, sqrt

from depthscale.errors import NoTheory
from depthscale.theory import sampled_sums
from depthscale.theory.moments.backward import BackwardMoments
from depthscale.theory.moments.forward import (
    EXACT,
    NO_LAW,
    Errors,
    ForwardMoments,
    KnownLaw,
    Places,
    gaussian_law,
)
from depthscale.theory.moments.laws import (
    GAUSSIAN_FROM,
    Gaussian,
    gaussian_part,
    is_nearly_gaussian,
    values_of,
)
from depthscale.theory.moments.log2 import log2_of, sum_of
from depthscale.theory.space.border_profile import mixed


def added(scale: float, stream: ForwardMoments, branch: ForwardMoments) -> ForwardMoments:
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


def below(
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
        return gaussian_law(
            log2_ms, share * stream.sample_correlation + (1 - share) * branch.sample_correlation
        )
    if stream.known.unit or branch.known.unit:
        return NO_LAW
    (v, c, m), (w, d, n) = (gaussian_part(x.law) for x in (stream, branch))
    total = v + scale**2 * w
    if not 0 < total < inf:
        return NO_LAW
    return KnownLaw(Gaussian(total, (v * c + scale**2 * w * d) / total, shift=m + scale * n))
