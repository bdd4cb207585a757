"""The founding network and its first step in plain torch: Linear, Batch Norm without eps, ReLU, a
readout, a mean cross entropy with random labels. Nothing here is the package's."""

from math import sqrt

import torch
from torch import Tensor, nn


def drawn(depth: int, width: int, seed: int, classes: int = 10) -> tuple[list[Tensor], Tensor]:
    """Weights of the layers, and of the readout."""
    g = torch.Generator().manual_seed(seed)
    weights = [torch.randn(width, width, generator=g) * sqrt(2 / width) for _ in range(depth)]
    return weights, torch.randn(classes, width, generator=g) / sqrt(width)


def batch(width: int, samples: int, seed: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1000 + seed)
    x = torch.randn(samples, width, generator=g)
    return x, torch.randint(classes, (samples,), generator=g)


def gradients(weights: list[Tensor], readout: Tensor, x: Tensor, labels: Tensor) -> list[Tensor]:
    """dE/dW of every layer, and of the readout."""
    leaves = [w.clone().requires_grad_() for w in (*weights, readout)]
    for w in leaves[:-1]:
        y = x @ w.T
        centred = y - y.mean(0)
        x = torch.relu(centred / centred.square().mean(0).sqrt())
    loss = nn.functional.cross_entropy(x @ leaves[-1].T, labels)
    return list(torch.autograd.grad(loss, leaves))


def relative_steps(depth: int, width: int, samples: int, seeds: int) -> Tensor:
    """[seeds, depth] |dE/dW| / |W|: relative steps of SGD at a rate of 1."""
    rows = []
    for seed in range(seeds):
        weights, readout = drawn(depth, width, seed)
        found = gradients(weights, readout, *batch(width, samples, seed))
        rows.append(
            torch.stack([g.norm() / w.norm() for g, w in zip(found, weights, strict=False)])
        )
    return torch.stack(rows)
