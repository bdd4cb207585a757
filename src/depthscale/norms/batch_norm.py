"""Batch Norm's forward and backward pass, fused: sums over the batch and nothing in between.

sigma = sqrt(variance + eps) with the biased variance; z = (y - mean) / sigma, all per neuron over
the batch.
source: arXiv:1502.03167 (Ioffe & Szegedy 2015), algorithm 1 and section 3.
"""

from typing import NamedTuple

from torch import Tensor

Over = int | tuple[int, ...]  # dimensions that share a mean and a variance


class GradientTerms(NamedTuple):
    """The three ways from dE/dz to dE/dy, which add up to it; each of the gradient's shape."""

    direct: Tensor
    through_mean: Tensor
    through_variance: Tensor


def normalize(centred: Tensor, variance: Tensor, eps: float | Tensor) -> tuple[Tensor, Tensor]:
    """Normalized values and 1 / sigma. / centred: [..., batch, width] y - mean; variance: [..., 1,
    width]; both are used up."""
    inverse_std = variance.add_(eps).rsqrt_()
    return centred.mul_(inverse_std), inverse_std


def backward(
    gradient: Tensor, z: Tensor, inverse_std: Tensor, over: Over = 0, centred: bool = True
) -> Tensor:
    """dE/dy from dE/dz: (1/sigma) [dE/dz - <dE/dz> - z <z dE/dz>], <> the mean over the batch;
    without the second term where no mean was taken away.

    gradient, z: [batch, width]; inverse_std: [1, width]. / returns: [batch, width].
    Exact for eps = 0; with eps the last term keeps <z^2> < 1 and the formula stays exact, since it
    is written in z.
    """
    through_variance = (z * gradient).mean(over, keepdim=True)
    direct = gradient - gradient.mean(over, keepdim=True) if centred else gradient.clone()
    return direct.addcmul_(z, through_variance, value=-1).mul_(inverse_std)


def three_terms(gradient: Tensor, z: Tensor, inverse_std: Tensor, over: Over = 0) -> GradientTerms:
    """dE/dy term by term: dE/dz / sigma, - <dE/dz> / sigma, and - z <z dE/dz> / sigma.

    In the staged walk these are what centre receives from normalize, what x receives from mean, and
    what centre receives from square. / source: Luther 2020, "Why Batch Norm Causes Exploding
    Gradients", equation of dE/dy.
    """
    return GradientTerms(
        gradient * inverse_std,
        -(gradient.mean(over, keepdim=True) * inverse_std).expand_as(gradient),
        -z * (z * gradient).mean(over, keepdim=True) * inverse_std,
    )


def frozen_backward(gradient: Tensor, inverse_std: Tensor) -> Tensor:
    """dE/dy with mean and variance held fixed: dE/dz / sigma."""
    return gradient * inverse_std
