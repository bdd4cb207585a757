"""NetSpec -> nn.Module: the network as a user would write it, with the weights that simulate
draws."""

from torch import Tensor, nn

from depthscale.errors import InvalidSpec
from depthscale.nets.draw import draw_bias, draw_rows
from depthscale.nets.elementwise import elementwise
from depthscale.nets.execute import normalize
from depthscale.network import Affine, Elementwise, Linear, NetSpec, Norm, Op

# torch refuses 0; float32's smallest normal number is lost in any other variance
_NO_EPS = 2.0**-126


class Phi(nn.Module):
    """An activation by name."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        return elementwise(self.name).phi(z)


class Normalize(nn.Module):
    """A norm that torch has no module for: without eps, or with statistics held fixed."""

    def __init__(self, norm: Norm):
        super().__init__()
        self.norm = norm

    def forward(self, y: Tensor) -> Tensor:
        return normalize(self.norm, y)


class Scale(nn.Module):
    """gain x + shift."""

    def __init__(self, gain: float, shift: float):
        super().__init__()
        self.gain, self.shift = gain, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.shift


def build(spec: NetSpec, seed: int = 0) -> nn.Sequential:
    """The network of one seed, as modules in the order of its graph's operations; training mode.

    raises: InvalidSpec for residual networks, which are no sequence.
    """
    if spec.residual is not None:
        raise InvalidSpec("a residual network is no sequence of modules; run it with simulate")
    ops = spec.graph().ops[1:]
    return nn.Sequential(*(_module(op, seed) for op in ops))


def _module(op: Op, seed: int) -> nn.Module:
    match op.what:
        case Linear():
            return _linear(op.what, seed, op.layer)
        case Norm(_, _, eps, "batch") if op.what.row.mixes_samples:
            return nn.BatchNorm1d(0, eps=eps or _NO_EPS, affine=False, track_running_stats=False)
        case Norm():
            return Normalize(op.what)
        case Affine(gain, shift):
            return Scale(gain, shift)
        case Elementwise(name):
            return Phi(name)
    raise InvalidSpec(f"{op.name} has no module of its own")


def _linear(what: Linear, seed: int, layer: int) -> nn.Linear:
    linear = nn.Linear(what.fan_in, what.fan_out, bias=what.sigma_b2 > 0, device="meta")
    linear.weight = nn.Parameter(draw_rows(what, seed, layer))
    if what.sigma_b2 > 0:
        linear.bias = nn.Parameter(draw_bias(what.fan_out, what.sigma_b2, seed, layer))
    return linear
