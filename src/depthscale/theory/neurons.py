"""Virtual neurons: expectations over what one neuron sees on a whole batch, by quasi-random sampling, with their error."""

from functools import lru_cache
from math import sqrt

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from depthscale.activations import activation, shifted
from depthscale.theory.laws import Gaussian

_REPLICATES = 8  # independent scramblings, whose spread is the error
_LOG2_POINTS = 12  # points of each


@lru_cache(maxsize=256)
def below_norm_and_activation(
    name: str, law: Gaussian, size: int, of_batch: bool, ratio: float, frozen: bool
) -> tuple[float, float, float]:
    """Mean square of dE/dy over that of g = dE/dx, for x = norm(phi(y)), the norm over `size` values of phi(y).

    law: of y; between samples for a norm over a batch, whose gradients g have that ratio between samples; a sample's entries are
    independent. frozen: no gradient through the statistics.
    dE/dy = phi'(y) (1/sigma) (g - <g> - x <x g>), averaged over g in closed form and over y by sampling.
    returns: factor, its ratio between samples, relative standard error.
    """
    a = shifted(activation(name), law.gain, law.shift)
    found = np.array([_replicate(a, law, size, of_batch, ratio, frozen, seed) for seed in range(_REPLICATES)])
    factor, product = found.mean(axis=0)
    if not factor:
        return 0.0, 0.0, 0.0
    return float(factor), float(product / factor), float(found[:, 0].std(ddof=1) / sqrt(_REPLICATES) / factor)


def _replicate(a, law: Gaussian, size: int, of_batch: bool, ratio: float, frozen: bool, seed: int) -> tuple[float, float]:
    """E of the square and of the product between samples, from one set of points."""
    points = gaussians(size + 1, _LOG2_POINTS, seed)
    shared = law.correlation if of_batch else 0.0
    y = sqrt(law.variance) * _correlated(points, shared)
    x, slope = a.phi(y), a.derivative(y)
    centred = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.square(centred).mean(axis=1, keepdims=True)
    if frozen:
        return float((inverse * slope**2).mean()), float(ratio * _off_diagonal(slope, slope, inverse))
    kept = (1 - ratio) * inverse
    square = kept * slope**2 * (1 - 1 / size - centred**2 * inverse / size)
    z_slope = centred * np.sqrt(inverse) * slope
    product = -(1 - ratio) / size * (_off_diagonal(slope, slope, inverse) + _off_diagonal(z_slope, z_slope, inverse))
    return float(square.mean()), product


def _correlated(points: np.ndarray, correlation: float) -> np.ndarray:
    """Unit Gaussians with one correlation between all columns, also a negative one. / points: [n, columns + 1]."""
    own, common = points[:, 1:], points[:, :1]
    columns = own.shape[1]
    mean = own.mean(axis=1, keepdims=True)
    spread = sqrt(1 - correlation) * (own - mean)
    return spread + sqrt(max(0.0, (1 - correlation) / columns + correlation)) * common


def _off_diagonal(u: np.ndarray, v: np.ndarray, weight: np.ndarray) -> float:
    """E weight u_i v_j over i != j."""
    n = u.shape[1]
    pairs = (u.sum(axis=1) * v.sum(axis=1) - (u * v).sum(axis=1)) / (n * (n - 1))
    return float((weight[:, 0] * pairs).mean())


def gaussians(dimensions: int, log2_points: int, seed: int) -> np.ndarray:
    """Quasi-random standard Gaussians. / returns: [2^log2_points, dimensions]."""
    unit = qmc.Sobol(dimensions, rng=seed).random_base2(log2_points)
    return ndtri(np.clip(unit, 1e-16, 1 - 1e-16))
