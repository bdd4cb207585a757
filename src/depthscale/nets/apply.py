"""The operations of a described network but its linear maps, forward and backward by hand."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from depthscale.nets.elementwise import elementwise
from depthscale.nets.scaled import Scaled
from depthscale.network import Add, Affine, Elementwise, Norm, Operation
from depthscale.norms import batch_norm

# the operation, and dE/d(output) -> dE/d(input) for each input
Pull = Callable[[Operation, Scaled], list[Scaled]]


def apply(what: Operation, inputs: list[Scaled]) -> tuple[Scaled, Pull]:
    """An operation's output, and what takes the gradient through it; an operation that differs in
    its gradient alone (frozen statistics) may be given to that in its place."""
    x = inputs[0]
    match what:
        case Norm(statistics="running", eps=eps):
            return _affine(x, (1 + eps) ** -0.5, 0.0)
        case Norm():
            return _norm(what, x)
        case Affine(gain, shift):
            return _affine(x, gain, shift)
        case Elementwise(name):
            phi = elementwise(name)
            return (
                Scaled(phi.phi(x.tensor), x.power),
                lambda _, g: [Scaled(phi.backward(g.tensor, x.tensor), g.power)],
            )
        case Add(scale):
            return x + inputs[1] * scale, lambda _, g: [g, g * scale]
    raise TypeError(f"a NetSpec has no {type(what).__name__}")


def _affine(x: Scaled, gain: float, shift: float) -> tuple[Scaled, Pull]:
    y = x * gain
    if shift:
        y = y + Scaled(torch.full((1, 1, 1), shift), np.zeros_like(x.power))
    return y, lambda _, g: [g * gain]


def _norm(norm: Norm, y: Scaled) -> tuple[Scaled, Pull]:
    """Powers of y leave with its sigma."""
    rows, over = _by_sigma(norm, y.tensor)
    power, shape = y.power, y.tensor.shape
    centred, variance = _centred(norm, y, rows, over)
    if norm.eps:
        eps = torch.from_numpy(norm.eps * np.exp2(-2.0 * y.power)).to(variance.dtype)
        variance += eps.view(-1, *(1,) * (variance.dim() - 1))
    z, inverse_std = batch_norm.normalize(centred, variance, 0.0)

    def pull(what: Operation, g: Scaled) -> list[Scaled]:
        assert isinstance(what, Norm)
        at_z = g.tensor.view(z.shape)
        if what.statistics == "frozen":
            at_y = batch_norm.frozen_backward(at_z, inverse_std)
        else:
            at_y = batch_norm.backward(at_z, z, inverse_std, over, norm.row.centred)
        return [Scaled(at_y.view(shape), g.power - power)]

    return Scaled(z.view(shape), np.zeros_like(power)), pull


def _by_sigma(norm: Norm, y: Tensor) -> tuple[Tensor, int]:
    """y [networks, batch, width], seen as groups of a sample's entries where these share a sigma;
    and the dimension that does."""
    if norm.row.mixes_samples:
        return y, 1
    size = int(norm.size) if norm.size < y.shape[2] else y.shape[2]
    return y.view(*y.shape[:2], -1, size), 3


def _centred(norm: Norm, y: Scaled, rows: Tensor, over: int) -> tuple[Tensor, Tensor]:
    """What is divided by sigma, and sigma squared."""
    if norm.row.mixes_samples:
        mean, variance, _ = y.over_batch
        return rows - torch.from_numpy(mean), torch.from_numpy(variance).clone()
    centred = rows - rows.mean(over, keepdim=True) if norm.row.centred else rows.clone()
    return centred, centred.square().mean(over, keepdim=True)
