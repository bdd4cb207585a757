"""Batch Norm over the first dimension, forward and backward, fused.

sigma = sqrt(variance + eps) with the biased variance; z = (y - mean) / sigma, all per neuron over the batch.
source: arXiv:1502.03167 (Ioffe & Szegedy 2015), algorithm 1 and section 3.
"""

from torch import Tensor


def normalize(centred: Tensor, variance: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Normalized values and 1 / sigma. / centred: [..., batch, width] y - mean; variance: [..., 1, width]; both are used up."""
    inverse_std = variance.add_(eps).rsqrt_()
    return centred.mul_(inverse_std), inverse_std


def backward(gradient: Tensor, z: Tensor, inverse_std: Tensor) -> Tensor:
    """dE/dy from dE/dz: (1/sigma) [dE/dz - <dE/dz> - z <z dE/dz>], <> the mean over the batch.

    gradient, z: [batch, width]; inverse_std: [1, width]. / returns: [batch, width].
    Exact for eps = 0; with eps the last term keeps <z^2> < 1 and the formula stays exact, since it is written in z.
    """
    through_variance = (z * gradient).mean(0, keepdim=True)
    return (gradient - gradient.mean(0, keepdim=True)).addcmul_(z, through_variance, value=-1).mul_(inverse_std)


def frozen_backward(gradient: Tensor, inverse_std: Tensor) -> Tensor:
    """dE/dy with mean and variance held fixed: dE/dz / sigma."""
    return gradient * inverse_std
