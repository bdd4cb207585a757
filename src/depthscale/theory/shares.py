"""Shares: how much of the gradient the two terms of Batch Norm's backward pass take away.

dE/dy = (1/sigma) (g - <g> - z <z g>), g = dE/dz; 1 and z are orthogonal, so |sigma dE/dy|^2 = |g|^2 (1 - rho_mu - rho_sigma).
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

from depthscale.activations import activation
from depthscale.errors import InvalidSpec, NoTheory
from depthscale.theory.laws import Gaussian, Spherical
from depthscale.theory.maps import Given
from depthscale.theory.moments import weighted_slopes

Above = Literal["batch_norm", "independent", "shared"]


@dataclass(frozen=True)
class Shares:
    """Of |dE/dz|^2. / rho_mu: what the gradient through the mean removes; rho_sigma: through the variance; error: relative."""

    rho_mu: float
    rho_sigma: float
    error: float


def batch_norm_shares(batch: float, given: Given = "relu", above: Above = "batch_norm") -> Shares:
    """Of a Batch Norm before an activation, over samples that are alike.

    batch: at least 4, or inf. / above: where the gradient above the activation comes from: a layer whose own Batch Norm has centred
    it, so that two samples' gradients have the correlation -1 / (B - 1); a loss with a cotangent for each sample; or one for all.
    With K = E phi' phi' / E phi'^2 and M = E z z phi' phi' / E phi'^2 between two samples of correlation r above, m = E z^2 phi'^2:
    rho_mu = (1 + (B - 1) r K) / B, rho_sigma = (m + (B - 1) r M) / B.
    raises: InvalidSpec; NoTheory where phi' vanishes. / source: derived here, for arXiv:1902.08129's fixed point.
    """
    a = activation(given)
    if not (batch == inf or (float(batch).is_integer() and batch >= 4)):
        raise InvalidSpec(f"the terms' shares need a batch of at least 4 samples, or inf; got {batch}")
    law = Gaussian(1.0, 0.0) if batch == inf else Spherical(int(batch))
    w = weighted_slopes(a, law)
    square, product, z_square, z_product = (float(each[0]) for each in (w.square, w.product, w.z_square, w.z_product))
    if not square:
        raise NoTheory(f"the derivative of {a.name} vanishes")
    own = 1 / batch
    between = {"batch_norm": -own, "independent": 0.0, "shared": 1 - own}[above]  # (B - 1) r / B
    return Shares(own + between * product / square, (own * z_square + between * z_product) / square, w.error)
