"""What is random in a network: weights, biases, inputs and cotangents, each from a generator of its own.

Layer l of seed s comes from a generator seeded by (s, l), so any layer can be drawn again without the others.
"""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Generator, Tensor

from depthscale.errors import InvalidSpec, Undefined
from depthscale.spec import NetSpec

_STRIDE = 1_000_003  # between the streams of two seeds: layers of one network never share a stream
_COTANGENT = _STRIDE - 1  # the layer number that stands for the loss
_BIAS = 1 << 31  # added to a stream's number: the biases of its layer

LOSSES = ("independent", "shared")
Loss = str | Callable[[Tensor], Tensor]


def _generator(seed: int, layer: int, offset: int = 0) -> Generator:
    """torch's CPU generator takes 32 bits of a seed, so (seed, layer) is numbered and mixed one to one within 32 bits."""
    key = (seed * _STRIDE + layer + offset) & 0xFFFFFFFF
    for multiplier in (0x85EBCA6B, 0xC2B2AE35):  # MurmurHash3's finalizer, a bijection
        key = ((key ^ (key >> 16)) * multiplier) & 0xFFFFFFFF
    return Generator().manual_seed(key ^ (key >> 16))


def draw_weight(spec: NetSpec, seed: int, layer: int, out: Tensor | None = None) -> Tensor:
    """Weight of a layer. / returns: [width, width], rows are neurons, in `out` if given; fan_in E W^2 = sigma_w2."""
    weight = torch.empty(spec.width, spec.width) if out is None else out
    weight.normal_(0.0, 1.0, generator=_generator(seed, layer))
    if spec.weights == "orthogonal":
        q, r = torch.linalg.qr(weight)
        weight.copy_(q * r.diagonal().sign())  # the sign makes it uniform over the orthogonal group (Mezzadri 2007)
        return weight.mul_(sqrt(spec.sigma_w2))
    return weight.mul_(sqrt(spec.sigma_w2 / spec.width))


def draw_bias(spec: NetSpec, seed: int, layer: int) -> Tensor:
    """Biases of a layer. / returns: [width]."""
    return torch.randn(spec.width, generator=_generator(seed, layer, _BIAS)) * sqrt(spec.sigma_b2)


def draw_input(spec: NetSpec, seed: int) -> Tensor:
    """Independent Gaussian inputs. / returns: [batch, width]."""
    return torch.randn(int(spec.batch), spec.width, generator=_generator(seed, 0)) * sqrt(spec.input_variance)


def draw_cotangent(spec: NetSpec, seed: int, loss: str) -> Tensor:
    """dE/dx_L. / loss: "independent", one standard normal number per sample and neuron, or "shared", one row for all samples.

    returns: [batch, width]
    """
    check_loss(loss)
    rows = int(spec.batch) if loss == "independent" else 1
    drawn = torch.randn(rows, spec.width, generator=_generator(seed, _COTANGENT))
    return drawn.expand(int(spec.batch), spec.width)


def output_gradient(spec: NetSpec, seed: int, loss: Loss, output: Tensor) -> Tensor:
    """dE/dx_L for a named loss, or for a callable of the output [batch, width] by autograd."""
    if isinstance(loss, str):
        return draw_cotangent(spec, seed, loss)
    with torch.enable_grad():
        leaf = output.detach().requires_grad_()
        value = loss(leaf)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InvalidSpec("loss must return one number as a tensor that depends on the output")
    gradient = torch.autograd.grad(value, leaf)[0]
    if not gradient.isfinite().all():
        raise Undefined("the loss has no finite gradient at the network's output; the output may have left float32's range")
    return gradient


def check_loss(loss: Loss) -> None:
    """raises: InvalidSpec for a name that stands for no loss, listing those that do."""
    if not callable(loss) and loss not in LOSSES:
        raise InvalidSpec(f"unknown loss {loss!r}; choose one of {', '.join(LOSSES)}, or pass a callable of the output")
