"""NetSpec -> nn.Module: the network as a user would write it, with the weights that simulate draws."""

from torch import Tensor, nn

from depthscale.nets.draw import draw_bias, draw_weight
from depthscale.nets.elementwise import elementwise
from depthscale.spec import NetSpec

_NO_EPS = 2.0**-126  # torch refuses 0; float32's smallest normal number is lost in any other variance


class Elementwise(nn.Module):
    """An activation by name."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        return elementwise(self.name).phi(z)


class FrozenBatchNorm(nn.Module):
    """Batch Norm with the batch's own statistics, detached: the same forward pass, no gradient through them."""

    def __init__(self, eps: float, gamma: float, beta: float):
        super().__init__()
        self.eps, self.gamma, self.beta = eps, gamma, beta

    def forward(self, y: Tensor) -> Tensor:
        still = y.detach()
        sigma = (still.var(0, correction=0) + self.eps).sqrt()
        return self.gamma * (y - still.mean(0)) / sigma + self.beta


def build(spec: NetSpec, seed: int = 0) -> nn.Sequential:
    """The network of one seed. / returns: modules in the order linear, norm, activation, repeated; training mode."""
    modules: list[nn.Module] = []
    for layer in range(1, spec.depth + 1):
        modules.append(_linear(spec, seed, layer))
        if spec.norm == "batch":
            modules.append(_norm(spec))
        modules.append(Elementwise(spec.activation))
    return nn.Sequential(*modules)


def _linear(spec: NetSpec, seed: int, layer: int) -> nn.Linear:
    linear = nn.Linear(spec.width, spec.width, bias=spec.sigma_b2 > 0, device="meta")
    linear.weight = nn.Parameter(draw_weight(spec, seed, layer))
    if spec.sigma_b2 > 0:
        linear.bias = nn.Parameter(draw_bias(spec, seed, layer))
    return linear


def _norm(spec: NetSpec) -> nn.Module:
    if spec.statistics == "frozen":
        return FrozenBatchNorm(spec.eps, spec.gamma, spec.beta)
    norm = nn.BatchNorm1d(spec.width, eps=spec.eps or _NO_EPS)
    nn.init.constant_(norm.weight, spec.gamma)
    nn.init.constant_(norm.bias, spec.beta)
    return norm
