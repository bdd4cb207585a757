"""Weights whose size does not suit the activation that follows them."""

from dataclasses import dataclass
from math import log2, prod

from depthscale._diagnose.words import place
from depthscale.errors import DepthscaleError
from depthscale.measure.analysis import Analysis
from depthscale.network import activation
from depthscale.numerics import gaussian
from depthscale.run import TracedOp

_PRODUCTS = ("linear", "conv1d", "conv2d", "conv3d")
_PART = 0.5  # of the rate's logarithm that the weights must make to be its cause


@dataclass(frozen=True)
class Weights:
    """One layer's weights. / sigma_w2: fan_in times their mean square; phi: the activation that
    follows at once, "linear" for none; slope2: E phi'^2 at the variance measured. Their product is
    chi, the gradient's factor of a random layer."""

    where: str
    op: str
    sigma_w2: float
    phi: str
    slope2: float

    @property
    def chi(self) -> float:
        return self.sigma_w2 * self.slope2

    @property
    def says(self) -> str:
        if self.phi == "linear":
            return (
                f"The weights of {place(self.where)} have fan_in x variance {self.sigma_w2:.3g}; "
                "without an activation 1 keeps "
                "the scale"
            )
        asks = (
            f"; {self.phi} asks for {1 / self.slope2:.3g}"
            if activation(self.phi).homogeneous
            else ""
        )
        return (
            f"The weights of {place(self.where)} have fan_in x variance {self.sigma_w2:.3g}, and "
            f"{self.phi}'s mean squared slope "
            f"of {self.slope2:.3g} makes that x{self.chi:.3g} a layer{asks}"
        )

    @property
    def advice(self) -> str:
        """What to draw the weights with instead."""
        if self.phi == "linear":
            return (
                "give the weights a variance of 1 / fan_in (torch.nn.init.kaiming_normal_ with "
                "nonlinearity='linear')"
            )
        if activation(self.phi).homogeneous:
            rectifier = (
                ", torch.nn.init.kaiming_normal_"
                if self.phi.startswith(("relu", "leaky_relu"))
                else ""
            )
            return (
                f"give the weights a variance of {1 / self.slope2:.3g} / fan_in, as {self.phi} "
                f"asks for{rectifier}"
            )
        critical = f"as `depthscale phase --activation {self.phi}` shows"
        return (
            f"give the weights the variance at which {self.phi} is critical, {critical}, or "
            "add a norm"
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
    return [found for op in case.bulk if (found := _weights(case, op))]


def _weights(case: Analysis, op: TracedOp) -> Weights | None:
    size = next(
        (
            prod(shape[1:]) * ms
            for _, shape, ms in op.weights
            if op.op in _PRODUCTS and len(shape) > 1
        ),
        None,
    )
    reader = next((each for each in case.trace.ops[op.id + 1 :] if op.id in each.reads), None)
    if size is None or reader is None:
        return None
    if reader.op in _PRODUCTS:
        return Weights(op.name, op.op, size, "linear", 1.0)
    try:
        phi = activation(reader.op)
        slope2 = gaussian.expect(
            lambda z: phi.derivative(z) ** 2, 2.0**op.log2_activation_ms, phi.breaks
        ).value
    except (DepthscaleError, OverflowError):
        return None
    return Weights(op.name, op.op, size, reader.op, slope2)
