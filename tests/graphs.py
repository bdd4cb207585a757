"""Graphs written short, and what random networks show at every operation of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from depthscale.nets.execute import evaluate
from depthscale.network.graph import Graph, Op
from depthscale.network.operations import Operation
from depthscale.run import Predicted, Run

Array = np.ndarray


def chain(*operations: Operation | tuple[Operation, Sequence[int]], samples: float = 8) -> Graph:
    """Operations in a row; one that reads others than the one before stands with their
    positions."""
    ops = []
    for i, each in enumerate(operations):
        what, inputs = each if isinstance(each, tuple) else (each, [i - 1] if i else [])
        ops.append(Op(f"{type(what).__name__.lower()}{i}", what, tuple(inputs), i))
    return Graph(tuple(ops), samples)


@dataclass(frozen=True)
class Shown:
    """Mean squares over networks at every operation. / signal, gradient: [networks, ops]."""

    signal: Array
    gradient: Array


def shown(graph: Graph, shape: Sequence[int], networks: int, first: int = 0) -> Shown:
    """Networks on white inputs of that shape, samples first, under independent cotangents at the
    last operation."""
    rows = [_one(graph, shape, seed) for seed in range(first, first + networks)]
    return Shown(*(np.array(column) for column in zip(*rows, strict=True)))


def _one(graph: Graph, shape: Sequence[int], seed: int) -> tuple[list[float], list[float]]:
    generator = torch.Generator().manual_seed(1_000_003 * seed + 7)
    inputs = torch.randn(*shape, generator=generator) * graph.ops[0].what.variance ** 0.5  # pyright: ignore[reportAttributeAccessIssue]
    outputs = evaluate(graph, inputs.requires_grad_(), seed)
    cotangent = torch.randn(outputs[-1].shape, generator=generator)
    gradients = torch.autograd.grad(outputs[-1], outputs, cotangent)
    return [_mean_square(x.detach()) for x in outputs], [_mean_square(g) for g in gradients]


def _mean_square(x: Tensor) -> float:
    return float(x.double().square().mean())


def origin(run: Run) -> Predicted:
    """What only theory has of a run."""
    assert isinstance(run.origin, Predicted)
    return run.origin


def log2_weight_gradients(run: Run) -> Array:
    """[ops] log2 of the mean square of an entry of dE/dW."""
    found = origin(run).weight_gradients
    assert found is not None
    return found


def compare(measured: Shown, run: Run, k: float = 4.0, bias: float = 0.0) -> None:
    """Assert that every operation's mean squares lie within k standard errors, the theory's error,
    and an allowance for width."""
    for quantity, theory in (
        ("signal", run.readings.activation),
        ("gradient", run.readings.gradient),
    ):
        for i, op in enumerate(run.graph.ops):
            error = theory.relative_stderr[i]
            found = getattr(measured, quantity)[:, i] / 2.0 ** theory.log2_mean_square[i]
            stderr = found.std(ddof=1) / np.sqrt(len(found))
            off = found.mean() - 1
            assert abs(off) <= k * stderr + error + bias, (
                f"{op.name}: {quantity} off by {100 * off:.2f} %, standard error "
                f"{100 * stderr:.2f} %, theory's {100 * error:.2f} %"
            )
