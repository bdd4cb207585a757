"""Laws of what an activation receives, seen over two samples of one neuron."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import inf

import numpy as np
from scipy.special import roots_genlaguerre

# Values of a norm from which one of its outputs counts as Gaussian. A coordinate of a sphere has
# E z^4 = 3 (n - 1) / (n + 1), which is 1 % less than a Gaussian's at 200.
GAUSSIAN_FROM = 200

_NODES = 48  # of Gauss's rule over sigma^2
_NEARLY_GAUSSIAN = 200  # degrees of freedom past which that rule's weights leave float64


@dataclass(frozen=True, slots=True)
class Gaussian:
    """u = gain z + shift, z Gaussian. / variance, correlation: of z, and of z between two
    samples."""

    variance: float
    correlation: float
    gain: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Spherical:
    """u = gain r z + shift, z uniform on the sphere of radius sqrt(size) orthogonal to the ones, or
    on all of it if not `centred`.

    correlation: of what the norm received, between two samples; None where samples are coordinates
    of one z.
    radii, weights: of the mixture over r (r = 1 alone without eps). eps: over the variance that the
    norm received.
    """

    size: int
    correlation: float | None = None
    radii: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] = (1.0,)
    eps: float = 0.0
    gain: float = 1.0
    shift: float = 0.0
    centred: bool = True

    @property
    def dimension(self) -> int:
        """Of the space that the sphere spans."""
        return self.size - self.centred


@dataclass(frozen=True, eq=False)
class Sampled:
    """What only sampled channels tell of; it has no hash, since no cache should keep its points.

    Args:
        draw: gives the channels when first asked, [replicates, channels, 3], as in `sampled_sums`.
        draws: how many draws went into each.
    """

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    draw: Callable[[], np.ndarray]
    draws: int

    @cached_property
    def points(self) -> np.ndarray:
        return self.draw()


Law = Gaussian | Spherical


def values_of(law: Law | Sampled | None) -> float:
    """Of the norm that gave them; inf for what is no norm's output."""
    return law.size if isinstance(law, Spherical) else inf


def is_nearly_gaussian(law: Law | Sampled | None) -> bool:
    return isinstance(law, Gaussian | Spherical) and values_of(law) >= GAUSSIAN_FROM


def gaussian_part(law: Law | Sampled | None) -> tuple[float, float, float]:
    """Variance, correlation between samples, and mean of what is Gaussian, or nearly."""
    if isinstance(law, Gaussian):
        return law.gain**2 * law.variance, law.correlation, law.shift
    assert isinstance(law, Spherical)
    variance = law.gain**2 * sum(w * r**2 for w, r in zip(law.weights, law.radii, strict=True))
    between = law.correlation if law.correlation is not None else -1 / (law.size - 1)
    return variance, between, law.shift


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSlopes:
    """As Slopes, one number for each radius of a norm's law, and z_square, z_product: E z^2 phi'^2,
    E z1 z2 phi' phi'.

    z: what the norm gave, radius included, before gain and shift.
    """

    square: np.ndarray
    product: np.ndarray
    z_square: np.ndarray
    z_product: np.ndarray
    error: float


def moved(law: Law | Sampled, gain: float, shift: float) -> Law | Sampled:
    """The law of gain u + shift."""
    if isinstance(law, Sampled):
        return Sampled(lambda: gain * law.points + shift, law.draws)
    return replace(law, gain=gain * law.gain, shift=gain * law.shift + shift)


@lru_cache
def variance_rule(size: int, degrees: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Values of sigma^2 over the variance, and weights: size times that is chi-squared with so many
    degrees of freedom."""
    if degrees > _NEARLY_GAUSSIAN:
        return _logarithmic_rule(size, degrees)
    nodes, weights = roots_genlaguerre(_NODES, degrees / 2 - 1)
    return tuple((2 * nodes / size).tolist()), tuple((weights / weights.sum()).tolist())


def _logarithmic_rule(size: int, degrees: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same by equal steps of log sigma^2, which converge geometrically and keep the weights in
    range."""
    t = np.linspace(-9, 9, 73) * np.sqrt(2 / degrees)
    log_density = degrees / 2 * (t - np.expm1(t))
    weights = np.exp(log_density)
    return tuple((np.exp(t) * degrees / size).tolist()), tuple((weights / weights.sum()).tolist())
