"""The spectrum of J J^T, J the Jacobian of a network's output with respect to its input: how far
from an isometry it is."""

from dataclasses import dataclass
from math import inf, log2
from typing import Literal

from depthscale.errors import InvalidSpec, NoTheory
from depthscale.network import activation
from depthscale.numerics import gaussian
from depthscale.theory.classical.maps import Given

_S1 = {"gaussian": -1.0, "orthogonal": 0.0}  # first coefficient of the S-transform of W^T W


@dataclass(frozen=True)
class Spectrum:
    """Of the squared singular values of J. / log2_mean: log2 of their mean, chi_1^L;
    relative_variance: over the squared mean.

    error: relative, of either expectation.
    """

    log2_mean: float
    relative_variance: float
    error: float


def spectrum(
    given: Given,
    depth: int,
    sigma_w2: float = 2.0,
    q: float = 1.0,
    weights: Literal["gaussian", "orthogonal"] = "gaussian",
) -> Spectrum:
    """Of a network without norm, in the limit of infinite width.

    depth: L, at least 1. / q: variance of the preactivations, the same in every layer: q_star, or
    any for a homogeneous activation. The relative variance is L (mu_2 / mu_1^2 - 1 - s_1), mu_k = E
    phi'^2k; s_1 = -1 for Gaussian weights, 0 for orthogonal ones.
    raises: InvalidSpec; NoTheory for other weights, or where phi' vanishes. / source:
    arXiv:1711.04735 (Pennington et al. 2017).
    """
    a = activation(given)
    if not (float(depth).is_integer() and depth >= 1 and sigma_w2 > 0 and 0 < q < inf):
        raise InvalidSpec(
            f"a spectrum needs depth >= 1, sigma_w2 > 0 and q > 0; got {depth}, {sigma_w2} and {q}"
        )
    if weights not in _S1:
        raise NoTheory(
            f"the spectrum is known for {' and '.join(_S1)} weights, not for {weights!r}"
        )
    mu1, mu2 = (
        gaussian.expect(lambda u, k=k: a.derivative(u) ** (2 * k), q, a.breaks) for k in (1, 2)
    )
    if not mu1.value:
        raise NoTheory(f"the derivative of {a.name} vanishes at q = {q:g}")
    variance = depth * (mu2.value / mu1.value**2 - 1 - _S1[weights])
    return Spectrum(
        depth * log2(sigma_w2 * mu1.value),
        max(0.0, variance),
        max(mu1.error / mu1.value, mu2.error / mu2.value),
    )
