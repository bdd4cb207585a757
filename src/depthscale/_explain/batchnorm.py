"""Batch Norm's backward pass as a record: every node on the way from out to dx, with its formulas
and one neuron's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthscale._explain.batchnorm_text import WORDS
from depthscale.errors import InvalidInput
from depthscale.norms import Cache, NodeStep, batch_norm, batchnorm_backward_alt, batchnorm_forward

Samples = tuple[float, ...]  # one for each sample, or a single one for all
_LARGEST = 10**5  # values of a random input: more show nothing new
_ROUNDING = 64 * float(
    np.finfo(float).eps
)  # of a handful of operations, for each value that is summed


@dataclass(frozen=True)
class NodeFlow:
    """What one input of a node receives. / to: that input's name; local, value: formulas, with
    their numbers."""

    to: str
    name: str
    local: str
    local_numbers: Samples
    value: str
    numbers: Samples


@dataclass(frozen=True)
class Passed:
    """One node on the way back. / step: 9 for the output's node down to 1; says: its rule;
    arriving: dE/d its numbers."""

    step: int
    node: str
    says: str
    symbol: str
    value: str
    numbers: Samples
    arriving: Samples
    flows: tuple[NodeFlow, ...]


@dataclass(frozen=True)
class Identity:
    """A statement with both sides of its formula computed. / measured, predicted: left and right,
    the largest over samples;
    rounding: how far apart they may lie."""

    statement: str
    formula: str
    predicted: float
    measured: float
    rounding: float

    @property
    def holds(self) -> bool:
        return abs(self.measured - self.predicted) <= self.rounding


@dataclass(frozen=True)
class BatchnormWalk:
    """Forward values, the walk back, and what follows, for one neuron of an input.

    shape: of the input; samples: values of the neuron that its mean is over; leaves: x, gamma and
    beta; gradients: of those.
    shares: of |dE/dx_hat|^2, what leaves through the mean and through the variance (1 and x_hat
    being nearly orthogonal).
    """

    shape: tuple[int, ...]
    neuron: int
    samples: int
    eps: float
    leaves: Mapping[str, Samples]
    dout: Samples
    steps: tuple[Passed, ...]
    gradients: Mapping[str, Samples]
    shares: Mapping[str, float]
    checks: tuple[Identity, ...]

    def edges(self) -> dict[tuple[str, str], tuple[Samples, Samples]]:
        """Each wire of the circuit, from one node to another: its value, and the gradient that
        flows back along it."""
        values = dict(self.leaves) | {step.node: step.numbers for step in self.steps}
        inner = {
            (flow.to, step.node): (values[flow.to], flow.numbers)
            for step in self.steps
            for flow in step.flows
        }
        return inner | {("shift", "y"): (values["shift"], self.dout)}

    def record(self) -> dict[str, Any]:
        """Plain values; formulas are Python expressions, d(x) for dE/dx, sum over the batch."""
        checks = [asdict(check) | {"holds": check.holds} for check in self.checks]
        return asdict(self) | {"checks": checks}


def explain_batchnorm(
    x: np.ndarray,
    dout: np.ndarray | None = None,
    *,
    gamma: Sequence[float] = (1.0,),
    beta: Sequence[float] = (0.0,),
    eps: float = 1e-5,
    neuron: int = 0,
    seed: int = 0,
) -> BatchnormWalk:
    """The record of one backward pass, in float64.

    x, dout: (N, D), (N, C, L), ...; gamma, beta: one for all neurons, or one for each; neuron:
    whose numbers to keep.
    seed: of a standard normal dout where none is given.
    raises: InvalidInput, and what batchnorm_forward raises.
    """
    x = _real(x, "x")
    dout = _real(_random((seed, 1)).standard_normal(x.shape) if dout is None else dout, "dout")
    neurons = x.shape[1] if x.ndim > 1 else 0
    gammas, betas = _for_each(gamma, neurons, "gamma"), _for_each(beta, neurons, "beta")
    cache = batchnorm_forward(torch.from_numpy(x), gammas, betas, eps)[1]
    if not 0 <= neuron < neurons:
        raise InvalidInput(
            f"the input has neurons 0 to {neurons - 1}, none numbered {neuron}; choose one of them"
        )
    walk = cache.backprop(dout)

    def of_neuron(values: Tensor) -> Samples:
        return tuple(
            values[:, min(neuron, values.shape[1] - 1)].flatten().tolist()
        )  # eps is one for all neurons

    steps = tuple(
        _passed(len(walk.steps) - i, step, cache, of_neuron) for i, step in enumerate(walk.steps)
    )
    numbers = {name: of_neuron(value) for name, value in cache.values.items()}
    gradients = {name: of_neuron(walk.gradients[name]) for name in ("x", "gamma", "beta")}
    at_x_hat = of_neuron(walk.gradients["normalize"])
    fused = of_neuron(batchnorm_backward_alt(torch.from_numpy(dout), cache)[0])
    sigma, mean = (cache.values[name].flatten() for name in ("square root", "mean"))
    restored = of_neuron(batchnorm_forward(torch.from_numpy(x), sigma, mean, eps)[0])
    return BatchnormWalk(
        shape=x.shape,
        neuron=neuron,
        samples=len(numbers["x"]),
        eps=float(eps),
        leaves={name: numbers[name] for name in ("x", "gamma", "beta")},
        dout=of_neuron(torch.from_numpy(dout)),
        steps=steps,
        gradients=gradients,
        shares=_shares(at_x_hat, numbers),
        checks=_checks(numbers, restored, gradients["x"], at_x_hat, fused),
    )


def random_input(batch: int, width: int, seed: int) -> np.ndarray:
    """Of mean near 1 and standard deviation near 2. / raises: InvalidInput."""
    if batch < 1 or width < 1 or batch * width > _LARGEST:
        raise InvalidInput(
            f"batch and width must be at least 1, and {_LARGEST:,} values at most, got {batch} x "
            f"{width}"
        )
    return 1 + 2 * _random((seed, 0)).standard_normal((batch, width))


def _random(seed: tuple[int, int]) -> np.random.Generator:
    if seed[0] < 0:
        raise InvalidInput(f"seed must be a whole number from 0, got {seed[0]}")
    return np.random.default_rng(seed)


def _real(given: np.ndarray, name: str) -> np.ndarray:
    given = np.asarray(given)
    if given.dtype.kind not in "iuf":
        raise InvalidInput(
            f"{name} must hold real numbers, got {given.dtype}; give an array of numbers"
        )
    if not np.isfinite(given).all():
        raise InvalidInput(
            f"{name} holds NaN or infinity, for which there is no gradient; give finite numbers"
        )
    return np.array(given, dtype=np.float64, order="C")


def _for_each(given: Sequence[float], neurons: int, name: str) -> np.ndarray:
    if len(given) not in (1, neurons):
        raise InvalidInput(
            f"{name} must be one number, or one for each of the {neurons} neurons, got {len(given)}"
        )
    return np.broadcast_to(_real(np.asarray(given), name), (neurons,))


def _passed(number: int, step: NodeStep, cache: Cache, of_neuron) -> Passed:
    words = WORDS[step.node.name]
    flows = (
        NodeFlow(to, name, local, _numbers(slope, of_neuron), value, of_neuron(flow))
        for to, name, local, slope, value, flow in zip(
            step.node.inputs,
            words.names,
            words.local,
            step.local,
            words.flows,
            step.flows,
            strict=True,
        )
    )
    return Passed(
        step=number,
        node=step.node.name,
        says=words.says,
        symbol=words.symbol,
        value=words.value,
        numbers=of_neuron(cache.values[step.node.name]),
        arriving=of_neuron(step.arriving),
        flows=tuple(flow for flow in flows if flow.to != "eps"),  # a setting, which nothing learns
    )


def _numbers(slope: Tensor | float, of_neuron) -> Samples:
    return of_neuron(slope) if isinstance(slope, Tensor) else (slope,)


def _shares(at_x_hat: Samples, numbers: Mapping[str, Samples]) -> dict[str, float]:
    """Squared size of the terms through mean and variance over that of the direct one. / source:
    Luther 2020."""
    g, z, r = (
        torch.tensor(each, dtype=torch.float64)
        for each in (at_x_hat, numbers["normalize"], numbers["inverse"])
    )
    direct, through_mean, through_variance = (
        float(term.square().sum()) for term in batch_norm.three_terms(g, z, r)
    )
    return {
        "through_mean": through_mean / direct if direct else float("nan"),
        "through_variance": through_variance / direct if direct else float("nan"),
    }


def _checks(
    numbers: Mapping[str, Samples],
    restored: Samples,
    dx: Samples,
    at_x_hat: Samples,
    fused: Samples,
) -> tuple[Identity, ...]:
    """What is said of the function, computed from one neuron's numbers. / restored: its output
    under gamma = sigma, beta = mean."""
    n, (sigma,), (eps,) = len(dx), numbers["square root"], numbers["eps"]
    x, z = numbers["x"], numbers["normalize"]
    largest_x, largest_z = max(map(abs, x)), max(map(abs, z))
    cancelled = (
        _ROUNDING * (1 + largest_x / sigma) * (1 + largest_z) * max(map(abs, at_x_hat)) / sigma
    )
    return (
        Identity(
            "With γ = σ = √(variance + ε) and β = mean it gives the input back.",
            "sigma * x_hat + mu - x == 0",
            0.0,
            _furthest(restored, x),
            _ROUNDING * largest_x,
        ),
        Identity(
            "dx is orthogonal to the ones: to move all samples together changes nothing.",
            "sum(d(x)) == 0",
            0.0,
            fsum(dx),
            cancelled * n,
        ),
        Identity(
            "dx is orthogonal to x̂, but for ε: to stretch the batch changes nothing.",
            "sum(d(x) * x_hat) == eps / sigma**2 * r * sum(d(x_hat) * x_hat)",
            eps / sigma**2 * _dot(at_x_hat, z) / sigma,
            _dot(dx, z),
            cancelled * n * (1 + largest_z),
        ),
        Identity(
            "The nine steps give what the closed form gives.",
            "d(x) - gamma * r / N * (N * d(y) - sum(d(y)) - x_hat * sum(x_hat * d(y))) == 0",
            0.0,
            _furthest(dx, fused),
            cancelled,
        ),
    )


def _dot(one: Samples, other: Samples) -> float:
    return fsum(a * b for a, b in zip(one, other, strict=True))


def _furthest(one: Samples, other: Samples) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
