"""Training many small networks of one kind at once: a batched matrix product a layer for all seeds
and learning rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional as F

from depthscale._explain.dataset import Dataset
from depthscale.nets import draw_rows
from depthscale.network import Linear

EPS = 1e-3  # as in arXiv:1902.08129, figure 2
FIRST = 6  # steps whose gradients are kept
_LAST = 30  # steps over which the training accuracy is taken


class Variant(StrEnum):
    """What stands between the layers of a network that is trained."""

    VANILLA = "vanilla"
    BATCH_NORM = "batch norm"


@dataclass(frozen=True)
class Trained:
    """One network. / accuracy: on held-out samples, normalized over batches of their own;
    train_accuracy: of the last 30 steps.

    diverged: its loss or an output is not a finite number; its accuracies are those of a guess.
    ratios: |dE/dy_1| over |dE/dy_L|, norms over a batch, at each of the first steps.
    """

    network: Variant
    depth: int
    rate: float
    seed: int
    accuracy: float
    train_accuracy: float
    diverged: bool
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Settings:
    """Of every network: ReLU, Kaiming weights, no biases, plain SGD; Batch Norm without gain and
    shift."""

    width: int = 100
    batch: int = 64
    steps: int = 300


def train(
    data: Dataset,
    network: Variant,
    depth: int,
    rates: Sequence[float],
    seeds: Sequence[int],
    settings: Settings,
) -> list[Trained]:
    """Every learning rate with every seed. / depth: ReLU layers under the linear output.

    Networks of one seed begin with the same weights and see the same batches, whatever their rate
    or norm.
    """
    copies, normed = len(rates), network is Variant.BATCH_NORM
    weights = _weights(data, depth, seeds, settings.width, copies)
    step_size = torch.tensor(list(rates)).repeat(len(seeds))[:, None, None]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    ratios, accuracies = [], []
    for step in range(settings.steps):
        rows = torch.stack(
            [torch.randint(len(data.train), (settings.batch,), generator=g) for g in generators]
        )
        rows = rows.repeat_interleave(copies, 0)
        loss, hits, ends = _pass(data.train[rows], data.train_labels[rows], weights, normed)
        wanted = [*weights, *ends] if step < FIRST else weights
        gradients = torch.autograd.grad(loss, wanted)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=False):
                weight -= step_size * gradient
        if step < FIRST:
            ratios.append(_norms(gradients[-2]) / _norms(gradients[-1]))
        if step >= settings.steps - _LAST:
            accuracies.append(hits)
    return _trained(
        data,
        network,
        depth,
        rates,
        seeds,
        settings,
        weights,
        torch.stack(ratios),
        torch.stack(accuracies),
    )


def _weights(
    data: Dataset, depth: int, seeds: Sequence[int], width: int, copies: int
) -> list[Tensor]:
    """[networks, fan_out, fan_in] a layer, the seeds' copies side by side."""
    maps = [
        Linear(data.train.shape[1], width, 2.0, 0.0),
        *[Linear(width, width, 2.0, 0.0)] * (depth - 1),
    ]
    maps.append(Linear(width, data.classes, 1.0, 0.0))
    drawn = (
        torch.stack([draw_rows(linear, seed, n) for seed in seeds])
        for n, linear in enumerate(maps, start=1)
    )
    return [weight.repeat_interleave(copies, 0).requires_grad_() for weight in drawn]


def _pass(
    x: Tensor, labels: Tensor, weights: Sequence[Tensor], normed: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Sum of the networks' losses, each one's accuracy [networks], and y of the first and the last
    ReLU layer."""
    ys = []
    for weight in weights[:-1]:
        y = torch.bmm(x, weight.transpose(1, 2))
        ys = [*ys[:1], y]
        x = torch.relu(_normalized(y) if normed else y)
    outputs = torch.bmm(x, weights[-1].transpose(1, 2))
    loss = (
        F.cross_entropy(outputs.flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
    )
    hits = (outputs.detach().argmax(2) == labels).float().mean(1)
    return loss, hits, (ys[0], ys[-1])


def _normalized(y: Tensor) -> Tensor:
    variance, mean = torch.var_mean(y, 1, correction=0, keepdim=True)
    return (y - mean) * (variance + EPS).rsqrt()


def _norms(gradients: Tensor) -> Tensor:
    """[networks] Euclidean norms."""
    return gradients.double().flatten(1).norm(dim=1)


def _trained(
    data: Dataset,
    network: Variant,
    depth: int,
    rates: Sequence[float],
    seeds: Sequence[int],
    settings: Settings,
    weights: Sequence[Tensor],
    ratios: Tensor,
    accuracies: Tensor,
) -> list[Trained]:
    tested = _tested(data, weights, network is Variant.BATCH_NORM, settings.batch)
    finite = torch.stack([weight.detach().flatten(1).isfinite().all(1) for weight in weights]).all(
        0
    )
    guess = 1 / data.classes
    return [
        Trained(
            network,
            depth,
            rate,
            seed,
            float(tested[n]) if finite[n] else guess,
            float(accuracies[:, n].mean()) if finite[n] else guess,
            not finite[n],
            tuple(ratios[:, n].tolist()),
        )
        for n, (seed, rate) in enumerate((seed, rate) for seed in seeds for rate in rates)
    ]


@torch.no_grad()
def _tested(data: Dataset, weights: Sequence[Tensor], normed: bool, batch: int) -> Tensor:
    """[networks] accuracy on held-out samples, in whole batches."""
    count, hits = len(weights[0]), []
    for x, labels in zip(data.test.split(batch), data.test_labels.split(batch), strict=True):
        if len(x) == batch:
            hits.append(
                _pass(x.expand(count, -1, -1), labels.expand(count, -1), weights, normed)[1]
            )
    return torch.stack(hits).mean(0)
