"""What each path through a train-mode Batch Norm does to the gradient: straight, through the mean,
through the variance."""

from math import inf

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale.run import NormSplit
from depthscale.sketch.counting import REORDER, compiled, float32_array


def split_of(node: Node, gradient: Tensor | None) -> NormSplit | None:
    """The split of a Batch Norm's node in train mode, None for any other. / gradient: [N, C, ...]
    dE/dz that arrives.

    With xhat = (y - mean) / sigma, N values a channel and sigma^2 = var + eps,
    |dE/dy|^2 = (gamma / sigma)^2 (|g|^2 - (sum g)^2 / N - (2 - var / sigma^2) (sum g xhat)^2 / N),
    channel by channel.
    source: arXiv:1502.03167 (the backward pass); error: float32's rounding of the sums, relative to
    sum |g| |y|.
    """
    saved = internals.saved_statistics(node) if gradient is not None else None
    if saved is None or gradient is None or not gradient.numel():
        return None
    n = gradient.numel() // gradient.shape[1]
    mean, inverse = _numbers(saved.mean), _numbers(saved.inverse_sigma)
    gamma = None if saved.gamma is None else _numbers(saved.gamma)
    found = NormSplit(*_terms(_sums(gradient, saved.x), n, mean, inverse, gamma, saved.eps))
    return found if 0 < found.direct < inf and found.sigma2 < inf else None


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


def _sums(g: Tensor, x: Tensor) -> NDArray[np.float64]:
    """Sums of g^2, g and g x over all but the channels. / g, x: [N, C, ...]; returns: [3, C]."""
    some, others = float32_array(g), float32_array(x)
    if some is not None and others is not None:
        sums = np.zeros((3, g.shape[1]))
        if some.size == some.shape[0] * some.shape[1]:
            _add_rows(some.reshape(some.shape[:2]), others.reshape(some.shape[:2]), *sums)
        else:
            _add_planes(
                some.reshape(*some.shape[:2], -1), others.reshape(*some.shape[:2], -1), *sums
            )
        return sums
    g, x = (
        each.detach().to(torch.float64 if each.device.type == "cpu" else torch.float32)
        for each in (g, x)
    )
    dims = [0, *range(2, g.dim())]
    return np.stack([_numbers(each.sum(dims)) for each in (g * g, g, g * x)])


@compiled(error_model="numpy")
def _terms(sums, n, mean, inverse, gamma, eps):
    """The fields of NormSplit; not all are finite where not every sigma is, or all gradients are 0.

    sums: [3, C]; n: values a channel; mean, inverse, gamma: [C].
    """
    whole = direct = mean_term = variance_term = inverse_sigma2 = sigma2 = 0.0
    for c in range(inverse.shape[0]):
        with_xhat = (sums[2, c] - mean[c] * sums[1, c]) * inverse[c]
        inverse2 = inverse[c] * inverse[c]
        slope2 = inverse2 if gamma is None else inverse2 * gamma[c] * gamma[c]
        whole += sums[0, c]
        direct += slope2 * sums[0, c]
        mean_term += slope2 * sums[1, c] * sums[1, c] / n
        variance_term += slope2 * (1 + eps * inverse2) * with_xhat * with_xhat / n
        inverse_sigma2 += inverse2
        sigma2 += 1 / inverse2
    channels = inverse.shape[0]
    return (
        direct / whole,
        mean_term / whole,
        variance_term / whole,
        inverse_sigma2 / channels,
        sigma2 / channels,
    )


@compiled()
def _add_rows(g, x, square, total, product):
    """The sums in one pass. / g, x: [N, C] float32; square, total, product: [C] float64, added
    to."""
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
