"""What each path through a train-mode Batch Norm does to the gradient: straight, through the mean, through the variance."""

from math import inf, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import Node

from depthscale.probe import internals
from depthscale.sketch.kernels import REORDER, compiled
from depthscale.trace import NormSplit


def split_of(node: Node, gradient: Tensor | None) -> NormSplit | None:
    """The split of a Batch Norm's node in train mode, None for any other. / gradient: [N, C, ...] dE/dz that arrives.

    With xhat = (y - mean) / sigma, N values a channel and sigma^2 = var + eps,
    |dE/dy|^2 = (gamma / sigma)^2 (|g|^2 - (sum g)^2 / N - (2 - var / sigma^2) (sum g xhat)^2 / N), channel by channel.
    source: arXiv:1502.03167 (the backward pass); error: float32's rounding of the sums, relative to sum |g| |y|.
    """
    saved = internals.saved_statistics(node) if gradient is not None else None
    if saved is None or gradient is None or not gradient.numel():
        return None
    n = gradient.numel() // gradient.shape[1]
    inverse = _numbers(saved.inverse_sigma)
    if not np.isfinite(inverse).all() or not inverse.all():
        return None
    slope2 = inverse**2 if saved.gamma is None else (inverse * _numbers(saved.gamma)) ** 2
    square, total, with_y = _sums(gradient.detach(), saved.x.detach())
    with_xhat = (with_y - _numbers(saved.mean) * total) * inverse
    whole = float(square.sum())
    if not 0 < whole < inf:
        return None
    return NormSplit(
        direct=float(slope2 @ square) / whole,
        mean_term=float(slope2 @ total**2) / n / whole,
        variance_term=float((slope2 * (1 + saved.eps * inverse**2)) @ with_xhat**2) / n / whole,
        inverse_sigma2=float((inverse**2).mean()),
        sigma2=float((inverse**-2).mean()),
    )


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


def _sums(g: Tensor, x: Tensor) -> NDArray[np.float64]:
    """Sums of g^2, g and g x over all but the channels. / g, x: [N, C, ...]; returns: [3, C]."""
    if g.dtype is x.dtype is torch.float32 and g.device.type == "cpu" and g.is_contiguous() and x.is_contiguous():
        sums = np.zeros((3, g.shape[1]))
        inside = prod(g.shape[2:])
        if inside == 1:
            _add_rows(g.view(g.shape[:2]).numpy(), x.view(g.shape[:2]).numpy(), *sums)
        else:
            _add_planes(g.view(*g.shape[:2], inside).numpy(), x.view(*g.shape[:2], inside).numpy(), *sums)
        return sums
    g, x = (each.to(torch.float64 if each.device.type == "cpu" else torch.float32) for each in (g, x))
    others = [0, *range(2, g.dim())]
    return np.stack([_numbers(each.sum(others)) for each in (g * g, g, g * x)])


@compiled()
def _add_rows(g, x, square, total, product):
    """The sums in one pass. / g, x: [N, C] float32; square, total, product: [C] float64, added to."""
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            value = np.float64(g[i, c])
            square[c] += value * value
            total[c] += value
            product[c] += value * x[i, c]


@compiled(fastmath=REORDER)
def _add_planes(g, x, square, total, product):
    """The same of [N, C, M]."""
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            of_square, of_total, of_product = 0.0, 0.0, 0.0
            for j in range(g.shape[2]):
                value = np.float64(g[i, c, j])
                of_square += value * value
                of_total += value
                of_product += value * x[i, c, j]
            square[c] += of_square
            total[c] += of_total
            product[c] += of_product
