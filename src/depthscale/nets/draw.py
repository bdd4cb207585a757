"""What is random in a network: weights, biases, inputs and cotangents, each from a generator of its
own.

Layer l of seed s comes from a generator seeded by (s, l), so any layer can be drawn again without
the others.
"""

from collections.abc import Callable, Sequence
from math import sqrt

import torch
from torch import Generator, Tensor

from depthscale.errors import InvalidSpec, Undefined
from depthscale.network import Linear, NetSpec

_STRIDE = 1_000_003  # between the streams of two seeds: layers of one network never share a stream
_COTANGENT = _STRIDE - 1  # the layer number that stands for the loss
_CALLABLE_UP_TO = 200  # |log2| of an output whose squares and fourth powers float64 holds
_BIAS = 1 << 31  # added to a stream's number: the biases of its layer

LOSSES = ("independent", "shared")
Loss = str | Callable[[Tensor], Tensor]


def _generator(seed: int, layer: int, offset: int = 0) -> Generator:
    """torch's CPU generator takes 32 bits of a seed, so (seed, layer) is numbered and mixed one to
    one within 32 bits."""
    key = (seed * _STRIDE + layer + offset) & 0xFFFFFFFF
    for multiplier in (0x85EBCA6B, 0xC2B2AE35):  # MurmurHash3's finalizer, a bijection
        key = ((key ^ (key >> 16)) * multiplier) & 0xFFFFFFFF
    return Generator().manual_seed(key ^ (key >> 16))


def draw_rows(linear: Linear, seed: int, number: int) -> Tensor:
    """Weight of the n-th linear map of a graph. / returns: [fan_out, fan_in], its rows normalized
    as the map says."""
    return draw_weights(linear, [seed], number)[0]


def draw_weights(
    linear: Linear, seeds: Sequence[int], number: int, out: Tensor | None = None
) -> Tensor:
    """The same for several seeds. / returns: [seeds, fan_out, fan_in], in `out` if given; rows are
    neurons; fan_in E W^2 = sigma_w2."""
    weights = torch.empty(len(seeds), linear.fan_out, linear.fan_in) if out is None else out
    reach = sqrt(3 * linear.sigma_w2 / linear.fan_in)
    for weight, seed in zip(weights.unbind(), seeds, strict=True):
        generator = _generator(seed, number)
        if linear.weights == "uniform":
            weight.uniform_(-reach, reach, generator=generator)
        else:
            weight.normal_(0.0, 1.0, generator=generator)
    if linear.weights == "gaussian":
        weights.mul_(sqrt(linear.sigma_w2 / linear.fan_in))
    if linear.weights == "orthogonal":
        tall = max(1.0, linear.fan_out / linear.fan_in)
        _make_orthogonal(weights).mul_(sqrt(linear.sigma_w2 * tall))
    if linear.rows == "standardized":
        weights -= weights.mean(2, keepdim=True)
    if linear.rows != "free":
        weights *= sqrt(linear.sigma_w2) / weights.norm(dim=2, keepdim=True)
    return weights


def _make_orthogonal(weights: Tensor) -> Tensor:
    """Uniform over matrices with orthonormal rows or columns, in place (Mezzadri 2007: the sign
    makes it uniform)."""
    tall = weights.shape[1] >= weights.shape[2]
    q, r = torch.linalg.qr(weights if tall else weights.mT)
    q *= r.diagonal(dim1=1, dim2=2).sign()[:, None]
    return weights.copy_(q if tall else q.mT)


def draw_bias(width: int, sigma_b2: float, seed: int, layer: int) -> Tensor:
    """Biases of a layer. / returns: [width]."""
    return torch.randn(width, generator=_generator(seed, layer, _BIAS)) * sqrt(sigma_b2)


def draw_input(spec: NetSpec, seed: int) -> Tensor:
    """Independent Gaussian inputs. / returns: [batch, width]."""
    return torch.randn(int(spec.batch), spec.width_of(0), generator=_generator(seed, 0)) * sqrt(
        spec.input_variance
    )


def draw_cotangent(spec: NetSpec, seed: int, loss: str) -> Tensor:
    """dE/dx_L. / loss: "independent", one standard normal number per sample and neuron, or
    "shared", one row for all samples.

    returns: [batch, width]
    """
    check_loss(loss)
    rows = int(spec.batch) if loss == "independent" else 1
    drawn = torch.randn(rows, spec.width_of(spec.depth), generator=_generator(seed, _COTANGENT))
    return drawn.expand(int(spec.batch), spec.width_of(spec.depth))


def output_gradient(spec: NetSpec, seed: int, loss: Loss, output: Tensor, scale: int = 0) -> Tensor:
    """dE/dx_L for a named loss, or for a callable by autograd. / output: [batch, width], which
    stands for output 2^scale.

    A callable gets a copy, in float64 where float32 would be strained; the gradient is of that
    type.
    raises: Undefined where float64 would be, or where the gradient is not finite; InvalidSpec for a
    loss of the wrong kind.
    """
    if isinstance(loss, str):
        return draw_cotangent(spec, seed, loss)
    if abs(scale) > _CALLABLE_UP_TO:
        raise Undefined(
            f"the output is near 2^{scale}, too far from 1 for a loss of one's own; take a named "
            "loss, or less depth"
        )
    with torch.enable_grad():
        leaf = (
            (torch.ldexp(output.double(), torch.tensor(scale)) if scale else output.clone())
            .detach()
            .requires_grad_()
        )
        value = loss(leaf)
    if (
        not isinstance(value, Tensor)
        or value.numel() != 1
        or not value.requires_grad
        or value.is_complex()
    ):
        raise InvalidSpec("loss must return one real number as a tensor that depends on the output")
    gradient = torch.autograd.grad(value, leaf, allow_unused=True)[0]
    if gradient is None:
        raise InvalidSpec("loss must return one real number as a tensor that depends on the output")
    if not gradient.isfinite().all():
        raise Undefined("the loss has no finite gradient at the network's output")
    return gradient


def check_loss(loss: Loss) -> None:
    """raises: InvalidSpec for a name that stands for no loss, listing those that do."""
    if not callable(loss) and loss not in LOSSES:
        raise InvalidSpec(
            f"unknown loss {loss!r}; choose one of {', '.join(LOSSES)}, or pass a callable of the "
            "output"
        )
