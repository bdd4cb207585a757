"""What each path through a train-mode Batch Norm does to the gradient: straight, through the mean, through the variance."""

import torch
from torch import Tensor
from torch.autograd.graph import Node

from depthscale.probe import internals
from depthscale.trace import NormSplit


@torch.no_grad()
def split_of(node: Node, gradient: Tensor | None) -> NormSplit | None:
    """The split of a Batch Norm's node in train mode, None for any other. / gradient: [N, C, ...] dE/dz that arrives.

    With xhat = (y - mean) / sigma, N values a channel and sigma^2 = var + eps,
    |dE/dy|^2 = (gamma / sigma)^2 (|g|^2 - (sum g)^2 / N - (2 - var / sigma^2) (sum g xhat)^2 / N), channel by channel.
    source: arXiv:1502.03167 (the backward pass); error: float64's rounding of float32's products.
    """
    saved = internals.saved_statistics(node) if gradient is not None else None
    if saved is None or gradient is None:
        return None
    x, g = (each.detach().transpose(0, 1).flatten(1) for each in (saved.x, gradient))
    n = x.shape[1]
    inverse = saved.inverse_sigma.double()
    square = _rows(g, g)
    total = g.sum(1, dtype=torch.float64)
    with_y = _rows(g, x) - saved.mean.double() * total
    slope2 = (inverse * (1.0 if saved.gamma is None else saved.gamma.double())) ** 2
    variance_share = 1 - saved.eps * inverse**2
    whole = square.sum()
    if not n or not whole > 0:
        return None
    return NormSplit(
        direct=float((slope2 * square).sum() / whole),
        mean_term=float((slope2 * total**2).sum() / n / whole),
        variance_term=float((slope2 * (2 - variance_share) * (with_y * inverse) ** 2).sum() / n / whole),
        inverse_sigma2=float((inverse**2).mean()),
        sigma2=float((inverse**-2).mean()),
    )


def _rows(a: Tensor, b: Tensor) -> Tensor:
    """[C] products of rows, summed in float64."""
    return (a * b).sum(1, dtype=torch.float64)
