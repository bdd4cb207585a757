"""The walk in its full form: a batch of any inputs, held by the B x B matrix of its second moments, and any loss's gradient.

Between two linear maps a layer acts on each neuron's B values alone, and those are Gaussian with the matrix that the map below
gives; so a layer is evaluated on quasi-random virtual neurons, forward and backward, and its matrix is their average.
source: the propagation of Gram matrices, as arXiv:1902.08129 (section 3) sets it up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from depthscale.activations import activation
from depthscale.errors import NoTheory
from depthscale.graph import Add, Affine, Dropout, Elementwise, Graph, Input, Linear, Norm, Op
from depthscale.theory.neurons import gaussians

Array = NDArray[np.float64]
Backward = Callable[[Array], Array]


@dataclass(frozen=True)
class Walk:
    """One walk's results at every operation's output. / signal, gradient: [ops] mean squares; spread: [ops] batch variances."""

    signal: Array
    gradient: Array
    spread: Array


@dataclass(frozen=True)
class _Output:
    """Second moments of an operation's output, and what stands for it.

    gram: [B, B]; mean: [B] over neurons. values: [n, B] virtual neurons, or None while it is a Gaussian of that matrix.
    """

    gram: Array
    mean: Array
    values: Array | None = None


class Neurons:
    """Virtual neurons of one walk: Gaussian values of any matrix, from one quasi-random set.

    It is turned and shuffled at every draw: a neuron's values and its gradient must not share the length of one point.
    """

    def __init__(self, batch: int, log2_points: int, seed: int):
        self._rng = np.random.default_rng([seed, 1])
        self._points = gaussians(batch, log2_points, seed)

    def draw(self, gram: Array) -> Array:
        """[n, B] rows of covariance gram. / gram: positive semidefinite up to rounding."""
        eigenvalues, vectors = np.linalg.eigh(gram)
        root = np.sqrt(np.maximum(eigenvalues, 0.0))[:, None] * vectors.T
        turn, _ = np.linalg.qr(self._rng.standard_normal(gram.shape))
        return self._rng.permutation(self._points) @ (turn @ root)


def walk(graph: Graph, inputs: Array, cotangent: Array, log2_points: int, seed: int) -> Walk:
    """One walk. / inputs: [B, entries]; cotangent: [B, B] second moments of dE/dx at the last output, of mean diagonal 1.

    raises: NoTheory naming the operation without a rule.
    """
    neurons = Neurons(len(inputs), log2_points, seed)
    outputs, backs = _forward(graph, inputs, neurons)
    gradients = _backward(graph, outputs, backs, cotangent, neurons)
    return Walk(
        np.array([np.trace(o.gram) / len(inputs) for o in outputs]),
        np.array([np.trace(g) / len(inputs) if g is not None else 0.0 for g in gradients]),
        np.array([_batch_variance(o.gram) for o in outputs]),
    )


def _batch_variance(gram: Array) -> float:
    return float(np.trace(gram) / len(gram) - gram.mean())


def _forward(graph: Graph, inputs: Array, neurons: Neurons) -> tuple[list[_Output], list[Backward | None]]:
    """Every output, and for what acts on virtual neurons its backward pass."""
    outputs: list[_Output] = []
    backs: list[Backward | None] = []
    for op in graph.ops:
        args = [outputs[i] for i in op.inputs]
        match op.what:
            case Input():
                outputs.append(_Output(inputs @ inputs.T / inputs.shape[1], inputs.mean(1)))
                backs.append(None)
            case Linear():
                outputs.append(_linear(op.what, args[0]))
                backs.append(None)
            case Add(scale) if args[0].values is None:
                outputs.append(_Output(args[0].gram + scale**2 * args[1].gram, args[0].mean))
                backs.append(None)
            case Add(scale):
                assert args[0].values is not None
                outputs.append(_averaged(args[0].values + scale * neurons.draw(args[1].gram)))
                backs.append(None)
            case _:
                position = op.inputs[0]
                if outputs[position].values is None:  # a Gaussian meets what acts on it: draw it, once for all that read it
                    drawn = neurons.draw(outputs[position].gram)
                    outputs[position] = _Output(outputs[position].gram, outputs[position].mean, drawn)
                values = outputs[position].values
                assert values is not None
                found, back = _apply(op, values)
                outputs.append(_averaged(found))
                backs.append(back)
    return outputs, backs


def _linear(linear: Linear, x: _Output) -> _Output:
    gram = x.gram - np.outer(x.mean, x.mean) if linear.rows == "standardized" else x.gram
    return _Output(linear.sigma_w2 * gram + linear.sigma_b2, np.zeros(len(gram)))


def _averaged(values: Array) -> _Output:
    return _Output(values.T @ values / len(values), values.mean(0), values)


def _apply(op: Op, x: Array) -> tuple[Array, Backward]:
    """An operation on virtual neurons [n, B], and its backward pass."""
    match op.what:
        case Affine(gain, shift):
            return gain * x + shift, lambda g: gain * g
        case Elementwise(name):
            phi = activation(name)
            slope = phi.derivative(x)
            return phi.phi(x), lambda g: g * slope
        case Norm():
            return _normalize(op.what, x)
        case Dropout():
            raise NoTheory(f"{op.name}: dropout has no rule for given inputs; leave the inputs out")
    raise NoTheory(f"{op.name}: no rule for given inputs")


def _normalize(norm: Norm, x: Array) -> tuple[Array, Backward]:
    """The norm and its backward pass, fused; over the batch, over a sample's neurons, or over groups of them."""
    if norm.statistics == "running":
        scale = (1 + norm.eps) ** -0.5
        return scale * x, lambda g: scale * g
    if norm.kind == "batch" and norm.size not in (inf, x.shape[1]):
        raise NoTheory(f"a batch norm over {norm.size} samples, but there are {x.shape[1]} inputs; make them agree")
    shape = (-1, int(norm.size), x.shape[1]) if norm.kind == "group" and norm.size < inf else (1, *x.shape)
    shaped = x.reshape(shape)
    axis = 2 if norm.kind == "batch" else 1
    centred = shaped if norm.kind == "rms" else shaped - shaped.mean(axis, keepdims=True)
    inverse = 1 / np.sqrt(np.square(centred).mean(axis, keepdims=True) + norm.eps)
    z = centred * inverse

    def back(gradient: Array) -> Array:
        g = gradient.reshape(shape)
        if norm.statistics != "frozen":
            mean = 0.0 if norm.kind == "rms" else g.mean(axis, keepdims=True)
            g = g - mean - z * (z * g).mean(axis, keepdims=True)
        return (g * inverse).reshape(x.shape)

    return z.reshape(x.shape), back


def _backward(
    graph: Graph, outputs: list[_Output], backs: list[Backward | None], cotangent: Array, neurons: Neurons
) -> list[Array | None]:
    """Second moments [B, B] of the gradient at every output; along virtual neurons their gradients are carried one by one."""
    arriving = [_Arriving() for _ in graph.ops]
    arriving[-1].gram = cotangent
    for i in range(len(graph.ops) - 1, -1, -1):
        op, here = graph.ops[i], arriving[i]
        here.settle(neurons)
        if here.gram is None or not op.inputs:
            continue
        match op.what:
            case Linear():
                arriving[op.inputs[0]].add(op.what.sigma_w2 * op.what.fan_out / op.what.fan_in * here.gram, None)
            case Add(scale):
                arriving[op.inputs[1]].add(scale**2 * here.gram, None)
                arriving[op.inputs[0]].add(here.gram, here.rows)
            case _:
                back = backs[i]
                assert back is not None
                arriving[op.inputs[0]].add(None, back(neurons.draw(here.gram) if here.rows is None else here.rows))
    return [each.gram for each in arriving]


@dataclass
class _Arriving:
    """The gradient at an output: second moments gram [B, B], and beside virtual neurons one row for each, rows [n, B]."""

    gram: Array | None = None
    rows: Array | None = None

    def add(self, gram: Array | None, rows: Array | None) -> None:
        """Another branch's share; rows say all that their own matrix does."""
        if rows is not None:
            self.rows = rows if self.rows is None else self.rows + rows
        elif gram is not None:
            self.gram = gram if self.gram is None else self.gram + gram

    def settle(self, neurons: Neurons) -> None:
        """All branches are in: one matrix, and rows if any branch came as rows."""
        if self.rows is not None:
            if self.gram is not None:
                self.rows = self.rows + neurons.draw(self.gram)
            self.gram = self.rows.T @ self.rows / len(self.rows)
