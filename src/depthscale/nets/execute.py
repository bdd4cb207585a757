"""Any described network, run operation by operation as its Graph says, for autograd to
differentiate."""

from math import inf

import torch
from torch import Tensor
from torch.nn import functional

from depthscale.errors import InvalidSpec
from depthscale.nets.draw import draw_bias, draw_rows
from depthscale.nets.elementwise import elementwise
from depthscale.network import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Graph,
    Input,
    Linear,
    Multiply,
    Norm,
    Op,
    Pad,
    Part,
    Pool,
    Prepend,
    Repeat,
    Unknown,
    Window,
)


def evaluate(graph: Graph, inputs: Tensor, seed: int) -> list[Tensor]:
    """Every operation's output.

    The n-th linear map's or convolution's weights are those of layer n of the seed.

    Args:
        inputs: [samples, width] or [samples, channels, *size]; tokens: [samples, entries,
            positions].
    """
    outputs: list[Tensor] = []
    linears = 0
    for op in graph.ops:
        linears += isinstance(op.what, Linear | Conv)
        args = [outputs[i] for i in op.inputs]
        outputs.append(_apply(op, args, inputs, seed, linears))
    return outputs


def _apply(op: Op, args: list[Tensor], inputs: Tensor, seed: int, linears: int) -> Tensor:
    match op.what:
        case Input() | Embedding():
            return inputs
        case Conv():
            return _conv(op.what, args[0], seed, linears)
        case Pool(kind, window):
            return _pool(kind, window, args[0])
        case Flatten():
            return args[0].flatten(1)
        case Attention():
            q, k, v = args
            return _attention(op.what, q, k, v)
        case Part(share, of):
            axis = 1 if of == "entries" else 2
            return args[0].narrow(axis, 0, round(args[0].shape[axis] * share))
        case Prepend(positions, variance):
            return _joined(positions, variance, args[0], seed, linears)
        case Pad(before=before, after=after):
            widths = [n for pair in zip(before, after, strict=True) for n in pair[::-1]]
            return functional.pad(args[0], widths[::-1])
        case Repeat(times):
            return args[0].repeat_interleave(times, 1)
        case Unknown(name):
            raise InvalidSpec(
                f"{op.name}: {name} is no operation that can be run from its description"
            )
        case Linear():
            return _linear(op.what, args[0], seed, linears)
        case Norm():
            return normalize(op.what, args[0])
        case Affine(gain, shift):
            return gain * args[0] + shift
        case Elementwise(name):
            return elementwise(name).phi(args[0])
        case Add(scale):
            return args[0] + scale * args[1]
        case Multiply():
            return args[0] * args[1]
        case Dropout(keep):
            return torch.nn.functional.dropout(args[0], 1 - keep)


def _linear(linear: Linear, x: Tensor, seed: int, number: int) -> Tensor:
    """At every position of x. / x: [samples, fan_in, *size]."""
    y = torch.movedim(torch.movedim(x, 1, -1) @ draw_rows(linear, seed, number).T, -1, 1)
    return (
        y + _at_positions(draw_bias(linear.fan_out, linear.sigma_b2, seed, number), y)
        if linear.sigma_b2
        else y
    )


def _conv(conv: Conv, x: Tensor, seed: int, number: int) -> Tensor:
    rows = Linear(
        conv.fan_in, conv.channels_out, conv.sigma_w2, conv.sigma_b2, conv.weights, conv.rows
    )
    window = conv.window
    weight = draw_rows(rows, seed, number).view(conv.channels_out, -1, *window.kernel)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(window.size) - 1]
    y = convolve(_padded(window, x), weight, None, window.stride, 0, window.dilation, conv.groups)
    return (
        y + _at_positions(draw_bias(conv.channels_out, conv.sigma_b2, seed, number), y)
        if conv.sigma_b2
        else y
    )


def _joined(positions: int, variance: float, x: Tensor, seed: int, number: int) -> Tensor:
    """Positions that all samples share before those of x. / x: [samples, entries, positions]."""
    entries = x.shape[1]
    drawn = draw_bias(entries * positions, variance, seed, number).view(1, entries, positions)
    return torch.cat([drawn.expand(len(x), -1, -1), x], 2)


def _at_positions(bias: Tensor, y: Tensor) -> Tensor:
    return bias.view(-1, *(1,) * (y.dim() - 2))


def _padded(window: Window, x: Tensor, value: float = 0.0) -> Tensor:
    around = [side for amount in reversed(window.padding) for side in (amount, amount)]
    return (
        functional.pad(x, around, "circular")
        if window.circular
        else functional.pad(x, around, value=value)
    )


def _pool(kind: str, window: Window, x: Tensor) -> Tensor:
    """Over all places, by unfolding one axis after the other: any dilation, stride and padding. /
    x: [samples, channels, *size]."""
    x = _padded(window, x, -torch.inf if kind == "max" else 0.0)
    for axis, (kernel, stride, dilation) in enumerate(
        zip(window.kernel, window.stride, window.dilation, strict=True)
    ):
        x = x.unfold(2 + axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    return (
        x.flatten(-len(window.size)).mean(-1)
        if kind == "average"
        else x.flatten(-len(window.size)).max(-1).values
    )


def _attention(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q, k, v: [samples, entries, positions]."""
    q, k, v = (x.unflatten(1, (attention.heads, -1)).transpose(2, 3) for x in (q, k, v))
    t = q.shape[2]
    past = torch.ones(t, t, dtype=torch.bool).tril().triu(1 - (attention.window or t))
    found = functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=past if attention.causal else None,
        dropout_p=1 - attention.keep,
        scale=attention.scale / q.shape[-1] ** 0.5,
    )
    return found.transpose(2, 3).flatten(1, 2)


def normalize(norm: Norm, y: Tensor) -> Tensor:
    """A norm with the biased variance. / y: [samples, width], or [samples, channels, *size].

    batch: over samples and positions; layer, rms: over the entries of each position, or groups of
    them; group: over groups of a sample's channels, positions included; instance: over each
    channel's positions.
    """
    if norm.statistics == "running":
        return y / (1 + norm.eps) ** 0.5
    if not norm.row.centred:
        groups = y.unflatten(1, (-1, int(norm.size) if norm.size < inf else y.shape[1]))
        return (groups / (groups.square().mean(2, keepdim=True) + norm.eps).sqrt()).view_as(y)
    flat = y.flatten(2) if y.dim() > 2 else y.unsqueeze(2)
    shaped = flat.reshape(len(y), -1, int(norm.size)) if norm.row.over == "groups" else flat
    dims = {"samples": (0, 2), "entries": (1,), "groups": (2,), "positions": (2,)}[norm.row.over]
    still = shaped.detach() if norm.statistics == "frozen" else shaped
    centred = shaped - still.mean(dims, keepdim=True)
    return (centred / (still.var(dims, correction=0, keepdim=True) + norm.eps).sqrt()).view_as(y)
