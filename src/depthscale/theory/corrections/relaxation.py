"""Relaxation: how fast a Batch Norm network forgets the second moments of its inputs, layer by
layer; or that it does not."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, log

from depthscale.errors import Divergent, InvalidSpec, NoTheory
from depthscale.network import Activation, Phi, activation, shifted
from depthscale.numerics import gaussian, sphere
from depthscale.theory.classical.maps import Given

# samples from which both kinds of differences exist, and two coordinates of the sphere have a
# density
_FEWEST = 4
_ROUNDING = 1e-9  # of quadrature: an endless batch of a homogeneous activation is at 1 exactly


@dataclass(frozen=True)
class Relaxation:
    """By what one layer multiplies a small distance from the fixed point, where samples are all
    alike.

    lambda_m: of the correlations between samples, their means kept. / lambda_l: of the samples'
    norms. / lambda_g: of the scale, 0, since the norm takes it out at once. / above 1 in size, the
    fixed point is unstable: samples grow unlike.
    """

    lambda_g: float
    lambda_l: float
    lambda_m: float

    @property
    def is_stable(self) -> bool:
        return max(abs(self.lambda_l), abs(self.lambda_m)) <= 1 + _ROUNDING


def relaxation(
    batch: float, given: Given = "relu", gain: float = 1.0, shift: float = 0.0
) -> Relaxation:
    """Eigenvalues of the forward map of Batch Norm before an activation, at its fixed point.

    batch: number of samples, at least 4, or inf; 3 for a homogeneous activation. / given: an
    activation; gain (not 0), shift: of what it receives.
    z is on the sphere that Batch Norm maps to, s = E phi1^2 - E phi1 phi2. A change D of the
    batch's matrix comes out as (B - 1) / (2 B s) E phi phi^T (z^T D z); so lambda_m = (B - 1) / (B
    s) E phi1 phi2 (z1 - z3)(z2 - z4) and lambda_l = (B - 1) / (2 B s) (E phi1^2 (z1^2 - z2^2) - 2 E
    phi1 phi2 (z1^2 - z3^2)). Over an infinite batch they are (E z phi)^2 / Var phi and d log Var
    phi(sqrt(q) z) / d log q at q = 1, which is 1 for ReLU: norms are never forgotten.
    error: rounding for a homogeneous phi, else that of quadrature. / raises: InvalidSpec; NoTheory
    where phi has no spread.
    source: arXiv:1902.08129, theorem 6 of its draft, whose v* is q (1 - c), for ReLU; for any phi
    by the score of the Gaussian.
    """
    a = activation(given)
    if not (batch == inf or (float(batch).is_integer() and batch >= 3)):
        raise InvalidSpec(f"relaxation needs a batch of at least 3 samples, or inf; got {batch}")
    if not gain:
        raise InvalidSpec(
            "relaxation at gain 0: the activation receives one value, and nothing relaxes"
        )
    if a.homogeneous and a.moments and not shift:
        return _homogeneous(batch, a)
    if batch < _FEWEST:
        raise NoTheory(
            f"relaxation over {batch} samples is known for homogeneous activations; take at least "
            f"{_FEWEST}"
        )
    return _of_any(float(batch), given if isinstance(given, str) else a, float(gain), float(shift))


def _homogeneous(batch: float, a: Activation) -> Relaxation:
    """With K the kernel E phi phi over E phi^2, K' its slope, both at rho = -1 / (B - 1), and z
    phi' = phi."""
    assert a.moments
    rho = -1 / (batch - 1)
    square = float(a.moments.kernel(1.0, 1.0))
    spread, slope = (
        1 - float(a.moments.kernel(1.0, rho)) / square,
        float(a.moments.slopes(1.0, rho)) / square,
    )
    if batch == inf:
        return Relaxation(0.0, 1.0, slope / spread)
    left = (batch - 2) * spread + batch * slope / (batch - 1)
    return Relaxation(0.0, left / ((batch + 1) * spread), batch * slope / ((batch + 1) * spread))


@lru_cache(maxsize=1 << 10)
def _of_any(batch: float, given: Phi, gain: float, shift: float) -> Relaxation:
    a = shifted(activation(given), gain, shift)
    try:
        return _infinite(a) if batch == inf else _finite(int(batch), a)
    except Divergent as reason:
        raise NoTheory(f"relaxation of {a.name}: {reason}") from None


def _spread(a: Activation, square: float, product: float) -> float:
    """square - product. / raises: NoTheory where that is rounding."""
    if not square - product > _ROUNDING * square:
        raise NoTheory(f"relaxation of {a.name}, which hardly varies between samples")
    return square - product


def _infinite(a: Activation) -> Relaxation:
    def mean(f) -> float:
        return gaussian.expect(f, 1.0, a.breaks).value

    first = mean(a.phi)
    variance = _spread(a, mean(lambda z: a.phi(z) ** 2), first**2)
    change = mean(lambda z: a.phi(z) ** 2 * (z * z - 1)) - 2 * first * mean(
        lambda z: a.phi(z) * (z * z - 1)
    )
    return Relaxation(0.0, change / (2 * variance), mean(lambda z: z * a.phi(z)) ** 2 / variance)


def _finite(n: int, a: Activation) -> Relaxation:
    """The coordinates that phi does not see are averaged in closed form: their sum is -(u + v),
    their squares' n - u^2 - v^2."""

    def one(f) -> float:
        return sphere.expect(f, n, a.breaks).value

    def two(h) -> float:
        return sphere.expect_pair(lambda u, v: a.phi(u) * a.phi(v) * h(u, v), n, a.breaks).value

    spread = _spread(a, one(lambda z: a.phi(z) ** 2), two(lambda u, v: 1.0))
    own = one(lambda z: a.phi(z) ** 2 * (z * z - (n - z * z) / (n - 1)))
    shared = two(lambda u, v: (u * u + v * v) / 2 - (n - u * u - v * v) / (n - 2))
    crossed = two(
        lambda u, v: u * v + ((u + v) ** 2 + ((u + v) ** 2 - n + u * u + v * v) / (n - 3)) / (n - 2)
    )
    weight = (n - 1) / (n * spread)
    return Relaxation(0.0, weight / 2 * (own - 2 * shared), weight * crossed)


def layers_until_unlike(
    batch: float, given: Given, width: float, gain: float = 1.0, shift: float = 0.0
) -> float:
    """Layers after which samples' squared norms vary by as much as their mean, where lambda_l > 1;
    inf where it is not.

    Width neurons leave them a relative variance of (kurtosis of phi - 1) / width in every layer,
    which later ones multiply by lambda_l^2. To leading order in 1 / width and 1 / batch. / width:
    may be inf. / raises: as `relaxation`.
    """
    grows = relaxation(batch, given, gain, shift).lambda_l ** 2
    if grows <= 1 or width == inf:
        return inf
    a = shifted(activation(given), gain, shift)
    mean = gaussian.expect(a.phi, 1.0, a.breaks).value
    square, fourth = (
        gaussian.expect(lambda z, p=p: (a.phi(z) - mean) ** p, 1.0, a.breaks).value for p in (2, 4)
    )
    return log(1 + (grows - 1) * width / (fourth / square**2 - 1)) / log(grows)
