"""What one norm does to a gradient, from plain tensors: those of a random network or of a user's own model.

With g = dE/dz arriving at the norm's output, z = (y - <y>) / sigma and <> the mean over the values that share one sigma,
dE/dy = (1/sigma) [g - <g> - z <z g>].
"""

from dataclasses import dataclass
from math import inf, nan, sqrt

import torch
from torch import Tensor

from depthscale.graph import Norm


@dataclass(frozen=True)
class Terms:
    """Numbers of one norm in one backward pass; means are over neurons (over samples, for norms over a sample's entries).

    through_mean, through_sigma: shares of |dE/dz|^2 that the two terms take away.
    rest: share of |sigma dE/dy|^2 that the formula does not give; rounding where dE/dy is what left this norm.
    variance: mean of sigma^2, eps included. spread: variance of sigma^2 over the square of its mean. inverse: mean of 1 / sigma^2.
    along_z: correlation of z and dE/dz, over all their entries.
    """

    through_mean: float
    through_sigma: float
    rest: float
    variance: float
    spread: float
    inverse: float
    along_z: float

    @property
    def flatness(self) -> float:
        """Mean of 1 / sigma^2 times the mean of sigma^2: 1 where all sigma are equal."""
        return self.inverse * self.variance


def terms(y: Tensor, at_z: Tensor, at_y: Tensor, norm: Norm) -> Terms:
    """Terms of a norm. / y: its input [samples, features, ...]; at_z, at_y: dE/dz (before gain and shift) and dE/dy, of y's shape.

    norm: its kind, eps and size (for layer, rms: the last `size` entries of a sample, or all of them at inf; for group: `size`
    entries). Sums are in float64.
    """
    y, g, left = (grouped(each, norm) for each in (y, at_z, at_y))
    centred = y if norm.kind == "rms" else y - y.mean(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True) + norm.eps
    z = centred * variance.rsqrt()
    total = float(g.square().mean())
    mean, along = _through_mean(g, norm), (z * g).mean(1, keepdim=True)
    formula = g - mean - z * along
    scaled = left * variance.sqrt()
    return Terms(
        through_mean=_over(float(mean.square().mean()), total),
        through_sigma=_over(float(((2 - z.square().mean(1, keepdim=True)) * along.square()).mean()), total),
        rest=_over(float((scaled - formula).square().mean()), float(scaled.square().mean())),
        variance=float(variance.mean()),
        spread=float(variance.var(correction=0) / variance.mean() ** 2),
        inverse=float(variance.reciprocal().mean()),
        along_z=correlation(z, g),
    )


def grouped(values: Tensor, norm: Norm) -> Tensor:
    """[groups, values] in float64: a row for each sigma. / values: [samples, features, ...]."""
    values = values.detach().double()
    if norm.kind == "batch":
        return values.transpose(0, 1).flatten(1)
    if norm.size == inf:
        return values.flatten(1)
    return values.reshape(-1, int(norm.size))


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, over all entries; nan where one of the two is constant."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return _over(float((a * b).sum()), sqrt(float(a.square().sum()) * float(b.square().sum())))


def _through_mean(g: Tensor, norm: Norm) -> Tensor:
    return torch.zeros_like(g[:, :1]) if norm.kind == "rms" else g.mean(1, keepdim=True)


def _over(a: float, b: float) -> float:
    return a / b if b else nan
