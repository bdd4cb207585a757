"""How alike a batch's samples have become, and which units are dead: read from an output while it is there."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthscale.sketch.sketch import is_own_kind
from depthscale.trace import Likeness

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh",
    "hardtanh", "hardswish", "hardsigmoid", "softsign", "erf", "sin", "abs", "threshold", "logsigmoid", "glu",
)  # fmt: skip
NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")
_READ = {*ACTIVATIONS, "add", "input", "embedding", "layer_norm", "rms_norm"}
_RECTIFIERS = ("relu", "relu6", "threshold")
_FEW = 16  # samples that activate nearly every unit that is not dead
_ROWS, _COLUMNS = 32, 4096  # of an output that are compared: enough for a correlation to some 1e-3


@dataclass(frozen=True)
class Products:
    """Products of what is compared, each with each. / samples: [n, n]; positions: [m, m] of the first sample's, or None."""

    samples: Tensor
    positions: Tensor | None


@torch.no_grad()
def products_of(op: str, output: Tensor) -> Products | None:
    """Of an activation's or a sum's output, of an input and an embedding; None for others and where nothing can be compared."""
    if (
        op not in _READ
        or output.is_complex()
        or not _is_dense(output)
        or output.dim() < 2
        or output.shape[0] < 2
        or not output.numel()
    ):
        return None
    sequence = output.dim() == 3 and output.shape[1] > 1
    return Products(_products(output), _products(output[0]) if sequence else None)


def likeness(products: Products) -> Likeness:
    """Mean product of two samples over their mean square (1: all alike); the same for two positions, nan without any; effective
    rank of the samples' products, (trace)^2 / |.|^2, over their number."""
    gram = products.samples.cpu().numpy().astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rank = float(np.trace(gram) ** 2 / np.square(gram).sum() / len(gram))
        positions = nan if products.positions is None else _correlation(products.positions.cpu().numpy().astype(np.float64))
        return Likeness(_correlation(gram), positions, rank)


def _is_dense(output: Tensor) -> bool:
    return output.layout is torch.strided and not output.is_nested and not is_own_kind(output)


def _products(output: Tensor) -> Tensor:
    flat = output.detach()[:_ROWS].flatten(1)
    rows = flat[:, :: max(1, flat.shape[1] // _COLUMNS)].float()
    if not torch.is_autocast_enabled(output.device.type):
        return rows @ rows.T
    with torch.autocast(output.device.type, enabled=False):  # which would round the products
        return rows @ rows.T


def _correlation(gram: NDArray[np.float64]) -> float:
    """Mean off the diagonal over the mean on it. / gram: [n, n]."""
    n, trace = len(gram), np.trace(gram)
    return float((gram.sum() - trace) / (n - 1) / trace)


def _axis(output: Tensor, made_by: str) -> int:
    """Where the units lie."""
    if made_by.startswith("conv"):
        image = int(made_by[-2]) + 1  # axes of one sample, as 3 for conv2d
        return int(output.dim() > image) if output.dim() >= image else output.dim() - 1
    return 1 if not made_by and output.dim() in (2, 4, 5) else output.dim() - 1


@torch.no_grad()
def dead_units(op: str, output: Tensor, made_by: Callable[[], str]) -> float | Tensor | None:
    """Share of units of a rectifier that no value of the batch activates; None for others.

    made_by: name of the map that its values come from: units lie on axis 1 of what a convolution made, on the last axis of what
    a linear map made, and where there is none on axis 1 of images and of tables.
    """
    if op not in _RECTIFIERS or not _is_dense(output) or output.dim() < 2 or not output.numel():
        return None
    axis = _axis(output, made_by())
    others = [i for i in range(output.dim()) if i != axis]
    values = output.detach()
    if values.device.type == "cpu" and bool((values[:_FEW].amax(others) > 0).all()):  # as in most networks
        return 0.0
    return (values.amax(others) <= 0).float().mean()
