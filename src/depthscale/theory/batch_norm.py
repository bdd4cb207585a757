"""Rules of Batch Norm over B samples that are exchangeable: the law of its output, and what it does to the gradient.

z is uniform on the sphere of radius sqrt(B) orthogonal to the ones and independent of sigma; B sigma^2 over y's variance
between samples is chi-squared with B - 1 degrees of freedom. The infinite batch is the limit: z Gaussian, its samples independent.
source: arXiv:1902.08129 (Yang et al. 2019), Theorems 3.5 to 3.10, rederived.
"""

from math import inf, log2

from depthscale.errors import NoTheory
from depthscale.graph import Norm
from depthscale.theory.moments import Moments


def correlation(norm: Norm) -> float:
    """Correlation of z between two samples."""
    return -1.0 / (norm.batch - 1)


def output_variance(norm: Norm, log2_spread: float) -> float:
    """Variance of z before gamma. / log2_spread: log2 of y's variance between samples.

    raises: NoTheory for eps > 0 over a finite batch, where the sphere's radius is not fixed.
    """
    if not norm.eps:
        return 1.0
    if norm.batch < inf:
        raise NoTheory(f"no closed form for eps = {norm.eps:g} over a batch of {norm.batch}; take eps 0 or batch inf")
    return 1 / (1 + norm.eps * 2.0**-log2_spread)


def log2_inverse_variance(norm: Norm, log2_spread: float) -> float:
    """log2 of E 1/sigma^2 = B / ((B - 3) spread); infinite for B <= 3."""
    if norm.batch == inf:
        return log2(output_variance(norm, log2_spread)) - log2_spread
    return log2(norm.batch / (norm.batch - 3)) - log2_spread if norm.batch > 3 else inf


def gradient_factors(norm: Norm, m: Moments, z_variance: float) -> tuple[float, float]:
    """sigma^2 times the mean square of dE/dy where that of dE/dx is 1 and its product between samples is 0, and is 1.

    dE/dy = (1/sigma) (dE/dz - <dE/dz> - z <z dE/dz>): the first factor is E phi'^2 (1 - 1/B - z^2/B), the second loses the
    squares of the batch means of phi' and z phi' as well.
    """
    if norm.batch == inf:
        return m.slope_square, m.slope_square - m.slope_product - (2 - z_variance) * z_variance * m.z_slope_product
    b = norm.batch
    alone = (1 - 1 / b) * m.slope_square - m.z_slope_square / b
    return alone, alone - (1 - 1 / b) * (m.slope_product + m.z_slope_product)
