"""What one norm does to a gradient, from plain tensors: those of a random network or of a user's
own model.

With g = dE/dz arriving at the norm's output, z = (y - <y>) / sigma and <> the mean over the values
that share one sigma, dE/dy = (1/sigma) [g - <g> - z <z g>].
"""

from math import inf, nan, sqrt

from torch import Tensor

from depthscale.network import Norm
from depthscale.run import Terms

Constants = tuple[
    Tensor, Tensor
]  # the mean and the variance of each channel, as a norm in eval mode has them


def norm_terms(
    y: Tensor, at_z: Tensor, at_y: Tensor, norm: Norm, constants: Constants | None = None
) -> Terms:
    """Terms of a norm. / y: its input [samples, features, ...]; at_z, at_y: dE/dz (before gain and
    shift) and dE/dy, of y's shape.

    norm: its kind, eps and size (for layer, rms: the last `size` entries of a sample, or all of
    them at inf; for group, instance: `size` entries). constants: [features] each, statistics that
    are not the batch's; nothing goes through them. Sums are in float64.
    """
    y, g, left = (grouped(each, norm) for each in (y, at_z, at_y))
    centre, variance = (
        _statistics(y, norm)
        if constants is None
        else (each.double()[:, None] for each in constants)
    )
    variance = variance + norm.eps
    z = (y - centre) * variance.rsqrt()
    total = float(g.square().mean())
    if constants is None:
        mean, along = _through_mean(g, norm), (z * g).mean(1, keepdim=True)
        through = (
            float(mean.square().mean()),
            float(((2 - z.square().mean(1, keepdim=True)) * along.square()).mean()),
        )
        formula = g - mean - z * along
    else:
        through, formula = (nan, nan), g
    scaled = left * variance.sqrt()
    return Terms(
        through_mean=_over(through[0], total),
        through_sigma=_over(through[1], total),
        rest=_over(float((scaled - formula).square().mean()), float(scaled.square().mean())),
        variance=float(variance.mean()),
        spread=float(variance.var(correction=0) / variance.mean() ** 2),
        inverse=float(variance.reciprocal().mean()),
        along_z=correlation(z, g),
        direct=_over(float((g.square() / variance).mean()), total),
        gain=_over(float(left.square().mean()), total),
    )


def grouped(values: Tensor, norm: Norm) -> Tensor:
    """[groups, values] in float64: a row for each sigma. / values: [samples, features, ...]."""
    values = values.detach().double()
    if norm.row.mixes_samples:
        return values.transpose(0, 1).flatten(1)
    if norm.size == inf:
        return values.flatten(1)
    return values.reshape(-1, int(norm.size))


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, over all entries; nan where one of the two is constant."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return _over(float((a * b).sum()), sqrt(float(a.square().sum()) * float(b.square().sum())))


def _statistics(y: Tensor, norm: Norm) -> Constants:
    centre = y.mean(1, keepdim=True) if norm.row.centred else y.new_zeros(1)
    return centre, (y - centre).square().mean(1, keepdim=True)


def _through_mean(g: Tensor, norm: Norm) -> Tensor:
    return g.mean(1, keepdim=True) if norm.row.centred else g.new_zeros(len(g), 1)


def _over(a: float, b: float) -> float:
    return a / b if b else nan
