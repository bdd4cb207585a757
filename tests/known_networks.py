"""Networks whose verdict is known before they are looked at: by theory, by the literature, or by
how they were built."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from depthscale import NetSpec, Residual

WIDTH, BATCH = 256, 64
Made = tuple[nn.Module, Any]


@dataclass(frozen=True, eq=False)
class Known:
    """make: a network and its inputs, from the random state. / severity: of the worst finding, None
    for no finding above an info.

    rules: those that must be among the findings, and `absent` ones that must not; named: what the
    verdict must speak of.
    theory: description of the same network, or its rate by hand; None where there is no theory. /
    probing: further arguments.
    """

    make: Callable[[], Made]
    severity: str | None = None
    rules: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    named: str = ""
    theory: NetSpec | float | None = None
    probing: dict[str, Any] = field(default_factory=dict)


def he(fan_in: int, fan_out: int, sigma_w2: float = 2.0, sigma_b2: float = 0.0) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, 0.0, sqrt(sigma_w2 / fan_in))
    nn.init.normal_(layer.bias, 0.0, sqrt(sigma_b2))
    return layer


def mlp(
    depth: int,
    *after: Callable[[], nn.Module],
    batch: int = BATCH,
    width: int = WIDTH,
    layer: Callable[..., nn.Module] = he,
    **how: float,
) -> tuple[nn.Sequential, Tensor]:
    """depth times a linear layer and what follows it."""
    stack = [
        part
        for _ in range(depth)
        for part in (layer(width, width, **how), *(make() for make in after))
    ]
    return nn.Sequential(*stack), torch.randn(batch, width)


def batch_norm() -> nn.Module:
    return nn.BatchNorm1d(WIDTH)


def layer_norm() -> nn.Module:
    return nn.LayerNorm(WIDTH)


class Residuals(nn.Module):
    """x + W phi(norm(x)), or norm(x + W phi(x)), `depth` times."""

    def __init__(self, depth: int, form: str, norm: Callable[[], nn.Module], sigma_w2: float = 2.0):
        super().__init__()
        self.blocks = nn.ModuleList(Block(form, norm(), sigma_w2) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    def __init__(self, form: str, norm: nn.Module, sigma_w2: float):
        super().__init__()
        self.form, self.norm, self.fc = form, norm, he(WIDTH, WIDTH, sigma_w2)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "pre":
            return x + self.fc(torch.relu(self.norm(x)))
        return self.norm(x + self.fc(torch.relu(x)))


class Standardized(nn.Module):
    """A linear layer whose rows have mean 0 and a norm that keeps the signal of a ReLU: gain^2 = 2
    / (1 - 1/pi)."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.weight - self.weight.mean(1, keepdim=True)
        return linear(x, rows / rows.norm(dim=1, keepdim=True) * sqrt(2 / (1 - 1 / pi)))


def lecun(depth: int, phi: Callable[[], nn.Module]) -> Made:
    return mlp(depth, phi, sigma_w2=1.0)


def orthogonal(depth: int) -> Made:
    network, x = mlp(depth)
    for layer in network:
        nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
    return network, x


def torch_default(depth: int) -> Made:
    return mlp(depth, nn.ReLU, layer=nn.Linear)


def convolutions(depth: int, channels: int = 32) -> Made:
    parts: list[nn.Module] = []
    for _ in range(depth):
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        parts += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*parts), torch.randn(16, channels, 8, 8)


def turning(*sigma_w2: float, depth: int = 15) -> Made:
    """Parts of equal depth, from the input on, whose gradients grow or shrink by sigma_w2 / 2 a
    layer."""
    parts = (
        part
        for each in sigma_w2
        for _ in range(depth)
        for part in (he(WIDTH, WIDTH, each), nn.ReLU())
    )
    return nn.Sequential(*parts), torch.randn(BATCH, WIDTH)


def power_iteration(depth: int, kept: float = 0.95, width: int = 32) -> Made:
    """One symmetric matrix in every layer, with a norm: all but the first direction of a signal
    falls by `kept` a layer, whatever the draw, so that samples end on that direction, with either
    sign."""
    directions, _ = torch.linalg.qr(torch.randn(width, width))
    values = torch.full((width,), kept).index_fill(0, torch.tensor([0]), 1.0)
    network, x = mlp(depth, lambda: nn.RMSNorm(width), width=width)
    for weight in (each for each in network.parameters() if each.dim() == 2):
        weight.data.copy_(directions * values @ directions.T)
    return network, x


def dead(depth: int) -> Made:
    """Biases so low that nearly all units stay off."""
    network, x = mlp(depth, nn.ReLU)
    nn.init.constant_(network[4].bias, -4.0)  # type: ignore[arg-type]
    return network, x


def silent(depth: int, which: int) -> Made:
    """Biases of one layer so low that all its units stay off."""
    network, x = mlp(depth, nn.ReLU)
    nn.init.constant_(network[2 * which].bias, -20.0)  # type: ignore[arg-type]
    return network, x


def one_layer(
    depth: int, which: int, factor: float, *after: Callable[[], nn.Module], **how: Any
) -> Made:
    """One layer's weights times a factor, the first layer being number 0."""
    network, x = mlp(depth, *(after or (nn.ReLU,)), **how)
    maps = [part for part in network if isinstance(part, nn.Linear)]
    maps[which].weight.data.mul_(factor)
    return network, x


class Beside(nn.Module):
    """Layers, then x + branch(x), then layers."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.below, self.branch, self.above = mlp(2, nn.ReLU)[0], branch, mlp(2, nn.ReLU)[0]

    def forward(self, x: Tensor) -> Tensor:
        x = self.below(x)
        return self.above(x + self.branch(x))


def beside(factor: float, last: float = 1.0) -> Made:
    """A branch of 6 layers whose weights have that factor, the last layer also one of its own."""
    branch = nn.Sequential(*mlp(5, nn.ReLU)[0], he(WIDTH, WIDTH))
    for part in branch:
        if isinstance(part, nn.Linear):
            part.weight.data.mul_(factor)
    branch[-1].weight.data.mul_(last)  # type: ignore[operator]
    return Beside(branch), torch.randn(BATCH, WIDTH)


def in_type(made: Made, dtype: torch.dtype) -> Made:
    return made[0].to(dtype), made[1].to(dtype)


class LogInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = he(WIDTH, WIDTH), he(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.before(x).log())


class RootInside(nn.Module):
    """A square root of what a ReLU made 0: values are fine, the slope is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = he(WIDTH, WIDTH), he(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.relu(self.before(x)).sqrt())


def published(
    name: str, config: str, inputs: Callable[[], Any], **settings: Any
) -> Callable[[], Made]:
    """A transformers model with its own initialization."""

    def make() -> Made:
        import transformers

        return getattr(transformers, name)(getattr(transformers, config)(**settings)), inputs()

    return make


def tokens(count: int = 2, length: int = 32) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 500, (count, length))}


def images(count: int, size: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(count, 3, size, size)}


def _spec(depth: int, **more: Any) -> NetSpec:
    fields: dict[str, Any] = {"depth": depth, "width": WIDTH, "batch": BATCH} | more
    return NetSpec(**fields)


_TANH: dict[str, Any] = {"activation": "tanh"}


def _bn(depth: int, batch: int) -> Known:
    spec = _spec(depth, norm="batch", batch=batch, eps=1e-5)
    severity = {20: "warn", 40: "error", 100: "error"}[depth]
    return Known(
        lambda: mlp(depth, batch_norm, nn.ReLU, batch=batch),
        severity,
        ("gradient-explodes",),
        (),
        "batch_norm",
        spec,
    )


def _bn_with(
    phi: Callable[[], nn.Module],
    name: str,
    severity: str | None,
    rules: tuple[str, ...],
    depth: int = 40,
) -> Known:
    spec = _spec(depth, norm="batch", activation=name, eps=1e-5)
    return Known(
        lambda: mlp(depth, batch_norm, phi),
        severity,
        rules,
        (),
        "batch_norm" if severity else "",
        spec,
    )


_EXPLODES, _VANISHES = ("gradient-explodes",), ("gradient-vanishes",)

KNOWN: dict[str, Known] = {
    **{
        f"batch norm, {depth} layers, batch {batch}": _bn(depth, batch)
        for depth in (20, 40, 100)
        for batch in (8, 128)
    },
    "kaiming relu, 30 layers": Known(lambda: mlp(30, nn.ReLU), theory=_spec(30)),
    "kaiming relu, 100 layers": Known(lambda: mlp(100, nn.ReLU), theory=_spec(100)),
    "torch's default": Known(lambda: torch_default(30), "error", _VANISHES, (), "weights", 1 / 6),
    "layer norm": Known(
        lambda: mlp(40, layer_norm, nn.ReLU), theory=_spec(40, norm="layer", eps=1e-5)
    ),
    "rms norm": Known(
        lambda: mlp(40, lambda: nn.RMSNorm(WIDTH), nn.ReLU),
        absent=("gradient-underflows-float16",),  # half of the gradient is rounding, of an exact 0
        theory=_spec(40, norm="rms"),
    ),
    "group norm, 16 channels a group": Known(
        lambda: mlp(40, lambda: nn.GroupNorm(16, WIDTH), nn.ReLU),
        absent=("gradient-explodes",),
        theory=14 / 13,
    ),
    "group norm, 4 channels a group": Known(
        lambda: mlp(40, lambda: nn.GroupNorm(64, WIDTH), nn.ReLU),
        "error",
        _EXPLODES,
        (),
        "group_norm",
        2.0,
    ),
    "scaled weight standardization": Known(
        lambda: mlp(40, nn.ReLU, layer=Standardized),
        "error",
        _EXPLODES,
        (),
        "weights",
        pi / (pi - 1),
    ),
    "layer norm after relu": Known(
        lambda: mlp(40, nn.ReLU, layer_norm),
        "error",
        _EXPLODES,
        (),
        "layer_norm",
        _spec(40, norm="layer", position="after", eps=1e-5),
    ),
    "pre-LN residual": Known(
        lambda: (Residuals(40, "pre", layer_norm), torch.randn(BATCH, WIDTH)),
        theory=_spec(40, norm="layer", eps=1e-5, residual=Residual("pre")),
    ),
    "post-LN residual": Known(
        lambda: (Residuals(40, "post", layer_norm), torch.randn(BATCH, WIDTH)),
        theory=_spec(40, norm="layer", eps=1e-5, residual=Residual("post")),
    ),
    "BN residual": Known(
        lambda: (Residuals(40, "pre", batch_norm), torch.randn(BATCH, WIDTH)),
        theory=_spec(40, norm="batch", eps=1e-5, residual=Residual("pre")),
    ),
    "tanh, ordered": Known(
        lambda: mlp(40, nn.Tanh, sigma_w2=0.7),
        "error",
        _VANISHES,
        (),
        "weights",
        _spec(40, **_TANH, sigma_w2=0.7),
    ),
    "tanh, critical": Known(lambda: mlp(60, nn.Tanh, sigma_w2=1.0)),
    "tanh, chaotic": Known(
        lambda: mlp(40, nn.Tanh, sigma_w2=3.0),
        "warn",
        _EXPLODES,
        (),
        "weights",
        _spec(40, **_TANH, sigma_w2=3.0),
    ),
    "BN gelu": _bn_with(nn.GELU, "gelu", "warn", _EXPLODES),
    "BN silu": Known(lambda: mlp(40, batch_norm, nn.SiLU), "warn", _EXPLODES, (), "batch_norm"),
    "BN tanh": _bn_with(nn.Tanh, "tanh", "warn", _EXPLODES),
    "BN linear": Known(
        lambda: mlp(40, batch_norm), theory=_spec(40, norm="batch", activation="linear", eps=1e-5)
    ),
    "selu, LeCun": Known(
        lambda: mlp(40, nn.SELU, sigma_w2=1.0), theory=_spec(40, activation="selu", sigma_w2=1.0)
    ),
    "orthogonal linear": Known(lambda: orthogonal(40), theory=1.0),
    "dropout": Known(lambda: mlp(40, nn.ReLU, nn.Dropout), "error", _EXPLODES, (), "dropout", 2.0),
    "dropout in eval mode": Known(
        lambda: mlp(40, nn.ReLU, nn.Dropout), theory=1.0, probing={"mode": "eval"}
    ),
    "BN in eval mode": Known(
        lambda: mlp(40, batch_norm, nn.ReLU),
        None,
        ("eval-mode-untrained",),
        theory=1.0,
        probing={"mode": "eval"},
    ),
    "weights too large": Known(
        lambda: mlp(30, nn.ReLU, sigma_w2=6.0), "error", _EXPLODES, (), "weights", 3.0
    ),
    "weights too large, then too small": Known(
        lambda: turning(4.0, 1.0),
        "warn",
        ("gradient-mixed-growth",),
        ("gradient-explodes", "gradient-vanishes"),
        "turn",
    ),
    "weights too small, then too large": Known(
        lambda: turning(1.0, 4.0), "warn", ("gradient-mixed-growth",), (), "turn"
    ),
    "conv BN relu": Known(lambda: convolutions(30), "warn", _EXPLODES, (), "batch_norm"),
    "a loss that the last BN deletes": Known(
        lambda: mlp(12, nn.ReLU, batch_norm),
        "error",
        ("gradient-deleted",),
        (),
        "batch_norm",
        probing={"loss": "shared"},
    ),
    "dead units": Known(lambda: dead(8), "warn", ("dead-units",), (), "units"),
    "a dead layer": Known(
        lambda: silent(20, 10),
        "error",
        ("gradient-deleted",),
        ("dead-units", "samples-collapse"),
        "module 21",
    ),
    "one layer a hundred times too large": Known(
        lambda: one_layer(20, 10, 100.0), "warn", ("gradient-jumps",), (), "module 20"
    ),
    "one layer a hundredth": Known(
        lambda: one_layer(20, 5, 0.01), "warn", ("gradient-jumps",), (), "module 10"
    ),
    "one layer a hundredth, with a norm": Known(
        lambda: one_layer(20, 5, 0.01, layer_norm, nn.ReLU), absent=("gradient-jumps",)
    ),
    "a branch that does nothing": Known(
        lambda: beside(0.03), "warn", ("branch-vanishes",), (), "branch"
    ),
    "a branch that begins at 0": Known(
        lambda: beside(1.0, last=0.0), None, ("branch-begins-at-zero",), ("branch-vanishes",)
    ),
    "saturated sigmoids": Known(
        lambda: mlp(10, nn.Sigmoid, sigma_w2=400.0), "warn", ("saturated-units",), (), ""
    ),
    "samples collapse": Known(
        lambda: mlp(40, nn.Tanh, sigma_w2=1.0, sigma_b2=0.3),
        "error",
        ("gradient-vanishes", "samples-collapse"),
        (),
        "weights",
    ),
    "rank collapse": Known(lambda: power_iteration(100), "warn", ("rank-collapse",)),
    "a logarithm": Known(
        lambda: (LogInside(), torch.randn(BATCH, WIDTH)),
        "error",
        ("activation-not-finite",),
        (),
        "log",
    ),
    "a root of 0": Known(
        lambda: (RootInside(), torch.randn(BATCH, WIDTH)),
        "error",
        ("gradient-not-finite",),
        (),
        "sqrt",
    ),
    "float16 underflows": Known(
        lambda: in_type(torch_default(40), torch.float16), "error", ("gradient-underflows-float16",)
    ),
    "bfloat16 holds it": Known(lambda: in_type(mlp(30, nn.ReLU), torch.bfloat16), theory=1.0),
    "ResNet-50": Known(
        published("ResNetForImageClassification", "ResNetConfig", lambda: images(8, 64))
    ),
    "GPT-2": Known(published("GPT2LMHeadModel", "GPT2Config", tokens, vocab_size=500)),
    "ViT": Known(
        published("ViTForImageClassification", "ViTConfig", lambda: images(4, 64), image_size=64)
    ),
    "BERT": Known(published("BertModel", "BertConfig", tokens, vocab_size=500)),
    "Llama, 7B's 32 layers": Known(
        published(
            "LlamaForCausalLM",
            "LlamaConfig",
            tokens,
            vocab_size=500,
            hidden_size=512,
            intermediate_size=1376,
            num_attention_heads=8,
            initializer_range=0.02 * sqrt(8),
        ),
    ),
}
