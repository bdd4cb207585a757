"""How unlike the samples' mean squares are in a network of finite width, without a norm
to hold them."""

from dataclasses import dataclass
from functools import lru_cache

from depthscale.errors import Divergent
from depthscale.network import Elementwise, Graph, Input, Linear, Phi, activation, shifted
from depthscale.numerics import gaussian
from depthscale.theory.moments.forward import ForwardMoments
from depthscale.theory.moments.laws import Gaussian

_OF_INPUT = 2.0  # kurtosis of a Gaussian, less 1


@dataclass(frozen=True)
class SampleNormFluctuation:
    """Of a sample's mean square at the last layer. / variance: relative; amplified: its change over
    the input's, both relative."""

    amplified: float
    variance: float


def sample_norm_fluctuation(
    graph: Graph, moments: list[ForwardMoments]
) -> SampleNormFluctuation | None:
    """What becomes of the departures that a finite width leaves each sample's mean square, through
    layers without a norm.

    Layer l adds (kurtosis of x_l - 1) / width to their relative variance and multiplies what came
    before by (d log q' / d log q)^2. None for other operations than linear maps and activations,
    and where a law is not known.
    error: relative O(variance). / source: derived here, from the map of q (arXiv:1606.05340).
    """
    amplified, variance, bias, width = 1.0, 0.0, 0.0, 1
    for op, x in zip(graph.ops, moments, strict=True):
        source = x.known.source
        match op.what:
            case Input():
                pass
            case Linear(fan_in, fan_out, _, sigma_b2):
                variance, bias, width = variance or _OF_INPUT / fan_in, sigma_b2, fan_out
            case Elementwise(name) if source and isinstance(source.received, Gaussian):
                law = source.received
                try:
                    slope, kurtosis = _slope_and_kurtosis(name, law)
                except Divergent:
                    return None
                slope *= 1 - bias / (law.variance * 2.0**source.unit)
                amplified, variance = (
                    amplified * slope,
                    slope**2 * variance + (kurtosis - 1) / width,
                )
            case _:
                return None
    return SampleNormFluctuation(amplified, variance)


@lru_cache(maxsize=1 << 14)
def _slope_and_kurtosis(name: Phi, law: Gaussian) -> tuple[float, float]:
    """d log E phi^2 / d log q = E phi^2 (g^2 - 1) / (2 E phi^2), and E phi^4 / (E phi^2)^2."""
    a, q = shifted(activation(name), law.gain, law.shift), law.variance
    square, weighted, fourth = (
        gaussian.expect(f, q, a.breaks).value
        for f in (
            lambda z: a.phi(z) ** 2,
            lambda z: a.phi(z) ** 2 * (z * z / q - 1),
            lambda z: a.phi(z) ** 4,
        )
    )
    return weighted / (2 * square), fourth / square**2
