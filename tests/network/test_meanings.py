"""What a model computes is known however it is written."""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import depthscale as ds
from depthscale.network import (
    Affine,
    Conv,
    Elementwise,
    Norm,
    Pad,
    Repeat,
    Unknown,
    meanings,
)

WIDTH = 16


class Between(nn.Module):
    """A function of what a layer makes, so that it reads an operation and not an input."""

    def __init__(self, f: Callable[[Tensor], Tensor]):
        super().__init__()
        self.f, self.layer = f, nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.layer(x)).relu()


def meant(f: Callable[[Tensor], Tensor]) -> tuple[Any, ...]:
    """The operations that the value before the last relu stands for, and that the relu reads."""
    torch.manual_seed(0)
    trace = ds.probe(Between(f), torch.randn(8, WIDTH))
    last = trace.ops[trace.ops[-1].reads[0]]
    assert last.meaning.reads == (1,), "it reads the layer's output and nothing else"
    return last.meaning.what


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (F.relu6, "relu6"),
        (lambda x: F.hardtanh(x, 0.0, 6.0), "relu6"),
        (lambda x: x.clamp(0, 6), "relu6"),
        (lambda x: torch.clamp(x, min=0.0), "relu"),
        (F.hardtanh, "hard_tanh"),
        (lambda x: x.clamp(-1, 1), "hard_tanh"),
        (lambda x: F.leaky_relu(x, 0.3), "leaky_relu(0.3)"),
        (lambda x: F.elu(x, 0.7), "elu(0.7)"),
        (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh"),
        (lambda x: x * x.sigmoid(), "silu"),
        (lambda x: x.sigmoid() * x, "silu"),
        (lambda x: x / (1 + (-x).exp()), "silu"),
        (lambda x: x * torch.sigmoid(1.702 * x), "quick_gelu"),
        (lambda x: x * torch.tanh(F.softplus(x)), "mish"),
        (lambda x: x * F.relu6(x + 3) / 6, "hard_swish"),
        (lambda x: x * 0.5 * (1 + torch.erf(x / sqrt(2))), "gelu"),
        (
            lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3))),
            "gelu_tanh",
        ),
        (lambda x: x / (1 + x.abs()), "softsign"),
    ],
)
def test_an_activation_is_known_however_it_is_written(f: Any, name: str) -> None:
    assert meant(f) == (Elementwise(name),)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.hardtanh(x, -2.0, 2.0),
        lambda x: x.clamp(max=6.0),
        lambda x: F.softplus(x, beta=2.0),
    ],
)
def test_another_function_is_none_of_them(f: Any) -> None:
    assert not any(isinstance(what, Elementwise) for what in meant(f))


def names(f: Callable[[Tensor], Tensor]) -> set[str]:
    trace = ds.probe(Between(f), torch.randn(8, WIDTH))
    return {op.phi.name for op in trace.ops if op.phi is not None}


def test_a_product_that_is_no_activation_is_taken_for_none() -> None:
    assert "silu" not in names(lambda x: x * torch.sigmoid(2 * x))
    assert "silu" not in names(lambda x: x * torch.sigmoid(x.flip(0)))
    assert "silu" in names(lambda x: x * torch.sigmoid(x))


def rms(x: Tensor, dim: int = -1) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(dim, keepdim=True) + 0.1)


def centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


@pytest.mark.parametrize(
    ("f", "kind", "eps"),
    [
        (rms, "rms", 0.1),
        (lambda x: rms(x.double()), "rms", 0.1),
        (lambda x: x / (x * x).mean(-1, keepdim=True).sqrt(), "rms", 0.0),
        (lambda x: x / torch.sqrt(0.2 + x.square().mean(1, keepdim=True)), "rms", 0.2),
        (lambda x: rms(centred(x)), "layer", 0.1),
        (
            lambda x: centred(x) / (x.var(-1, unbiased=False, keepdim=True) + 0.3).sqrt(),
            "layer",
            0.3,
        ),
    ],
)
def test_a_norm_is_known_however_it_is_written(f: Any, kind: str, eps: float) -> None:
    assert meant(f) == (Norm(kind, WIDTH, eps),)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: rms(x, 0),
        lambda x: x * torch.rsqrt((2 * x).mean(-1, keepdim=True) + 9),
        lambda x: x.flip(0) * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)),
        lambda x: 2 * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)),
        lambda x: x / (x.var(-1, unbiased=False, keepdim=True) + 0.3).sqrt(),
        lambda x: centred(x) / (x.var(-1, keepdim=True) + 0.3).sqrt(),
    ],
)
def test_what_is_nearly_a_norm_is_none(f: Any) -> None:
    torch.manual_seed(0)
    trace = ds.probe(Between(f), torch.randn(8, WIDTH))
    assert all(op.norm is None for op in trace.ops)


class Gained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.gain = nn.Parameter(torch.full((WIDTH,), 3.0))
        self.shift = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return (self.gain * rms(self.layer(x)) + self.shift).relu()


def test_the_gain_that_follows_a_norm_belongs_to_it() -> None:
    trace = ds.probe(Gained(), torch.randn(8, WIDTH))
    last = trace.ops[trace.ops[-1].reads[0]]
    assert last.meaning.what == (Norm("rms", WIDTH, 0.1), Affine(3.0, 0.0))
    assert all(op.meaning.part_of == last.id for op in trace.ops[2 : last.id])
    assert trace.ops[2].norm is None


def test_constant_factors_are_scales() -> None:
    assert meant(lambda x: 30 * x) == (Affine(30.0, 0.0),)
    assert meant(lambda x: x / 4) == (Affine(0.25, 0.0),)


def test_one_slope_of_prelu_is_read_and_several_are_none() -> None:
    assert names(nn.PReLU(init=0.5)) == {"relu", "prelu(0.5)"}
    assert names(nn.PReLU(WIDTH)) == {"relu"}


def test_a_pool_that_was_given_another_shape_than_was_made_has_no_window() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.avg_pool1d(self.conv(x).reshape(4, 2, 9), [3])

    trace = ds.probe(Model(), torch.randn(4, 1, 3, 3))
    assert [type(each) for each in trace.ops[-1].meaning.what] == [Unknown]


@pytest.mark.parametrize("eps", ["small", {"a": 1}, [1.0]])
def test_settings_that_no_call_takes_have_no_rule(eps: Any) -> None:
    """As of a record that was damaged: the operation is unknown, and what was measured stays."""
    run = ds.probe(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)), torch.randn(4, 16))
    *before, last = run.graph.ops
    assert last.call is not None
    assert isinstance(last.meaning.what[0], Norm)
    call = replace(last.call, settings={**last.call.settings, "eps": eps})
    graph = replace(run.graph, ops=(*before, replace(last, call=call)))
    assert meanings(replace(run, graph=graph).ops)[-1].what == (Unknown("layer_norm"),)


class OnImages(nn.Module):
    """A function of what a convolution makes of images."""

    def __init__(self, f: Callable[[Tensor], Tensor]):
        super().__init__()
        self.f, self.layer = f, nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.layer(x)).relu()


@pytest.mark.parametrize(
    ("f", "what"),
    [
        (lambda x: F.pad(x, (0, 1, 2, 3)), Pad((6, 5), (2, 0), (3, 1))),
        (lambda x: F.pad(x, (1, 1)), Pad((6, 5), (0, 1), (0, 1))),
        (nn.ZeroPad2d(2), Pad((6, 5), (2, 2), (2, 2))),
        (lambda x: F.pad(x, (0, 0, 0, 0)), Affine(1.0, 0.0)),
        (lambda x: F.pad(x, (1, 1, 1, 1), value=1.0), Unknown("pad")),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), Unknown("pad")),
        (lambda x: F.pad(x, (1, 1, 1, 1, 1, 1)), Unknown("pad")),  # channels, too
        (lambda x: F.pad(x, (0, -1)), Unknown("pad")),
    ],
)
def test_zeros_around_images_are_known(f: Callable[[Tensor], Tensor], what: Any) -> None:
    trace = ds.probe(OnImages(f), torch.randn(2, 4, 6, 5))
    (called,) = [op for op in trace.ops if op.op == "pad"]
    assert called.meaning.what == (what,)


def test_a_convolution_without_padding_is_known_by_its_word() -> None:
    found = []
    for padding in ("valid", 0):
        torch.manual_seed(0)
        run = ds.probe(nn.Conv2d(4, 4, 3, padding=padding), torch.randn(2, 4, 6, 5))
        found.append(run.ops[-1].meaning.what)
    assert found[0] == found[1]
    assert isinstance(found[0][0], Conv)


@pytest.mark.parametrize(
    ("f", "times"),
    [
        (lambda x: x[:, :, None].expand(-1, -1, 3, -1, -1), 3),
        (lambda x: x.repeat_interleave(2, 1), 2),
        (lambda x: x.repeat_interleave(2, 3), None),  # positions
    ],
)
def test_heads_that_are_repeated_are_known(
    f: Callable[[Tensor], Tensor], times: int | None
) -> None:
    trace = ds.probe(OnImages(f), torch.randn(2, 4, 6, 5))
    (what,) = trace.ops[-2].meaning.what
    assert what == (Repeat(times) if times else Unknown("repeat_interleave"))
