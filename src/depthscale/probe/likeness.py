"""How alike a batch's samples have become, and which units are dead: read from an output while it is there."""

import torch
from torch import Tensor

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh",
    "hardtanh", "hardswish", "hardsigmoid", "softsign", "erf", "sin", "abs", "threshold", "logsigmoid", "glu",
)  # fmt: skip
NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")
_READ = {*ACTIVATIONS, *NORMS, "add", "input", "embedding"}
_RECTIFIERS = ("relu", "relu6", "threshold")
_ROWS, _COLUMNS = 32, 4096  # of an output that are compared: enough for a correlation to some 1e-3


@torch.no_grad()
def likeness_of(op: str, output: Tensor) -> Tensor | None:
    """[3] numbers of an activation's, a norm's or a sum's output, None for others or where there is nothing to compare.

    Mean product of two samples over their mean square (1: all alike); the same for two positions of one sample, nan without a
    position axis; effective rank of the samples' product matrix, (trace)^2 / |.|^2, over their number.
    """
    if op not in _READ or output.is_complex() or output.dim() < 2 or output.shape[0] < 2 or not output.numel():
        return None
    rows = _rows(output)
    gram = rows @ rows.T
    ratio, rank = _correlation(gram), gram.trace() ** 2 / gram.square().sum() / len(gram)
    if output.dim() != 3 or output.shape[1] < 2:
        return torch.stack([ratio, torch.full_like(ratio, torch.nan), rank])
    positions = _rows(output[0])
    return torch.stack([ratio, _correlation(positions @ positions.T), rank])


def _rows(output: Tensor) -> Tensor:
    flat = output.detach()[:_ROWS].flatten(1)
    return flat[:, :: max(1, flat.shape[1] // _COLUMNS)].float()


def _correlation(gram: Tensor) -> Tensor:
    """Mean off the diagonal over the mean on it. / gram: [n, n]."""
    n, trace = len(gram), gram.trace()
    return (gram.sum() - trace) / (n - 1) / trace


@torch.no_grad()
def dead_units(op: str, output: Tensor, after: str) -> Tensor | None:
    """Share of units of a rectifier that no value of the batch activates; None for others. / after: the operation that it reads:
    units lie on axis 1 of images and of what a convolution or Batch Norm made, on the last axis otherwise."""
    if op not in _RECTIFIERS or output.dim() < 2 or not output.numel():
        return None
    axis = 1 if output.dim() in (2, 4, 5) or after.startswith(("conv", "batch_norm")) else output.dim() - 1
    others = [i for i in range(output.dim()) if i != axis]
    return (output.detach().amax(others) <= 0).float().mean()
