"""Laws of what an activation receives, seen over two samples of one neuron."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import roots_genlaguerre

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
    """What only virtual channels tell of. / draw: gives them when first asked, [replicates,
    channels, 3], as in `channels`.

    draws: how many draws went into each.
    """

    draw: Callable[[], np.ndarray]
    draws: int

    @cached_property
    def points(self) -> np.ndarray:
        return self.draw()


Law = Gaussian | Spherical


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
