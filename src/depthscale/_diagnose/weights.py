"""Weights whose size does not suit the activation that follows them."""

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, log2

from depthscale._diagnose.words import place
from depthscale.errors import DepthscaleError
from depthscale.measure import Analysis
from depthscale.network import Activation, activation
from depthscale.numerics import gaussian, two_to
from depthscale.run import Reading, kept

_PART = 0.5  # of the rate's logarithm that the weights must make to be its cause
_LINEAR = activation("linear")


@dataclass(frozen=True)
class Weights:
    """One layer's weights. / sigma_w2: fan_in times their mean square; phi: the activation that
    follows at once, linear for none; slope2: E phi'^2 at the variance measured. Their product is
    chi, the gradient's factor of a random layer. kinds: of the two operations."""

    where: str
    fan_in: int
    sigma_w2: float
    phi: Activation
    slope2: float
    kinds: tuple[str, str]

    @property
    def chi(self) -> float:
        return self.sigma_w2 * self.slope2

    @property
    def says(self) -> str:
        said = f"The weights of {place(self.where)} have fan_in x variance {self.sigma_w2:.3g}"
        if self.phi is _LINEAR:
            return f"{said}; without an activation 1 keeps the scale"
        asks = f"; {self.phi} asks for {1 / self.slope2:.3g}" if self.phi.homogeneous else ""
        return (
            f"{said}, and {self.phi}'s mean squared slope of {self.slope2:.3g} makes that "
            f"x{self.chi:.3g} a layer{asks}"
        )

    @property
    def advice(self) -> str:
        """What to draw the weights with instead: a normal law of this standard deviation, as
        torch's initializations take a weight's second axis for the inputs, whatever it is."""
        if not self.phi.homogeneous:
            return (
                f"give the weights the variance at which {self.phi} is critical, as `depthscale "
                f"phase --activation {self.phi}` shows, or add a norm"
            )
        variance, std = 1 / self.slope2, (1 / self.slope2 / self.fan_in) ** 0.5
        suits = "" if self.phi is _LINEAR else f", as {self.phi} asks for"
        return (
            f"give the weights a variance of {variance:.3g} / fan_in{suits} "
            f"(torch.nn.init.normal_ with std={std:.3g})"
        )


def blamed_weights(case: Analysis, rate: float) -> Weights | None:
    """The middle layer's weights, where chi explains the rate; None where something else makes it,
    as behind a norm."""
    layers = weights_of(case)
    if not layers:
        return None
    middle = sorted(layers, key=lambda found: found.chi)[len(layers) // 2]
    per_step = (
        log2(middle.chi) * len(layers) / len(case.depth.pairs) if middle.chi and case.depth else 0.0
    )
    return middle if per_step * log2(rate) > 0 and abs(per_step) > _PART * abs(log2(rate)) else None


def weights_of(case: Analysis) -> list[Weights]:
    """Those of every layer of the bulk that an activation or another layer follows at once."""
    return kept(case, "_weights", lambda: [w for op in case.bulk if (w := _weights(case, op))])


def _weights(case: Analysis, op: Reading) -> Weights | None:
    reader = _reader(case, op)
    if op.map is None or reader is None:
        return None
    phi = _LINEAR if reader.map is not None else reader.phi
    if phi is None:
        return None
    log2_variance = case.trace.ops[reader.meaning.reads[0]].log2_activation_ms
    slope2 = _slope2(phi, 0.0 if phi.homogeneous and isfinite(log2_variance) else log2_variance)
    if slope2 is None:
        return None
    kinds = (op.op, reader.op)
    return Weights(op.name, op.map.fan_in, op.map.sigma_w2, phi, slope2, kinds)


@lru_cache(4096)
def _slope2(phi: Activation, log2_variance: float) -> float | None:
    """E phi'^2 under a Gaussian of that variance, of which a homogeneous one's does not depend."""
    if phi is _LINEAR:
        return 1.0
    try:
        return gaussian.expect(
            lambda z: phi.derivative(z) ** 2, two_to(log2_variance), phi.breaks
        ).value
    except (DepthscaleError, OverflowError):
        return None


def _reader(case: Analysis, op: Reading) -> Reading | None:
    """The first operation that takes a map's output, behind its biases."""
    later = (case.trace.ops[i] for i in case.trace.readers[op.id])
    takes = (each for each in later if op.id in each.meaning.reads and each.meaning.part_of is None)
    reader = next(takes, None)
    return _reader(case, reader) if reader is not None and reader.adds_parameter else reader
