"""Relaxation: how fast a Batch Norm network forgets the second moments of its inputs, layer by layer."""

from dataclasses import dataclass
from math import inf

from depthscale.activations import activation
from depthscale.errors import InvalidSpec, NoTheory
from depthscale.theory.maps import Given


@dataclass(frozen=True)
class Relaxation:
    """By what one layer multiplies a small distance from the fixed point, where samples are all alike.

    lambda_m: of the correlations between samples, their means kept. / lambda_l: of the samples' norms. / lambda_g: of the
    scale, 0, since the norm takes it out at once. / over an infinite batch lambda_l is 1: norms are never forgotten.
    """

    lambda_g: float
    lambda_l: float
    lambda_m: float


def relaxation(batch: float, given: Given = "relu") -> Relaxation:
    """Eigenvalues of the forward map of Batch Norm before a homogeneous activation, at its fixed point.

    batch: number of samples, at least 3, or inf. / given: linear, relu, abs, leaky_relu(a) or prelu(a).
    With K the kernel E phi phi over E phi^2, K' its slope, both at rho = -1 / (B - 1): lambda_m = B K' / ((B + 1)(1 - K)),
    lambda_l = ((B - 2)(1 - K) + B K' / (B - 1)) / ((B + 1)(1 - K)); for linear both are (B - 1) / (B + 1).
    error: rounding. / raises: InvalidSpec; NoTheory for an activation without these kernels.
    source: arXiv:1902.08129, theorem 6 of its draft, whose v* is q (1 - c); leaky ones by linearity in the kernel.
    """
    a = activation(given)
    if not (batch == inf or (float(batch).is_integer() and batch >= 3)):
        raise InvalidSpec(f"relaxation needs a batch of at least 3 samples, or inf; got {batch}")
    if not (a.homogeneous and a.moments):
        raise NoTheory(f"relaxation is known for linear, relu, abs, leaky_relu(a) and prelu(a), not for {a.name}")
    rho = -1 / (batch - 1)
    square = float(a.moments.kernel(1.0, 1.0))
    spread, slope = 1 - float(a.moments.kernel(1.0, rho)) / square, float(a.moments.slopes(1.0, rho)) / square
    if batch == inf:
        return Relaxation(0.0, 1.0, slope / spread)
    left = (batch - 2) * spread + batch * slope / (batch - 1)
    return Relaxation(0.0, left / ((batch + 1) * spread), batch * slope / ((batch + 1) * spread))
