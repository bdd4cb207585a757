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
    source: arXiv:1502.03167 (the backward pass); error: float32's rounding of the sums, relative to sum |g| |y|.
    """
    saved = internals.saved_statistics(node) if gradient is not None else None
    if saved is None or gradient is None:
        return None
    x, g = saved.x.detach(), gradient.detach()
    wide = torch.promote_types(g.dtype, torch.float32)
    others = [0, *range(2, g.dim())]
    n = g.numel() // g.shape[1] if g.shape[1] else 0
    inverse = saved.inverse_sigma.double()
    square, total, with_y = ((each.sum(others, dtype=wide)).double() for each in (g * g, g, g * x))
    with_y = with_y - saved.mean.double() * total
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
