"""The walk in its full form: a batch of any inputs, held by the P x P matrix of its second moments,
and any loss's gradient.

P counts points: samples, and in an image each sample's positions in turn. Between two linear maps
or convolutions a layer acts on each neuron's P values alone (a neuron being a channel), and those
are Gaussian with the matrix that the map below gives; so a layer is evaluated on quasi-random
virtual neurons, forward and backward, and its matrix is their average.
source: the propagation of Gram matrices, as arXiv:1902.08129 (section 3) sets it up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import NoTheory
from depthscale.network import (
    Add,
    Affine,
    Conv,
    Dropout,
    Elementwise,
    Flatten,
    Graph,
    Input,
    Linear,
    Norm,
    Op,
    Pool,
    activation,
)
from depthscale.theory.full.window_index import gathered, mean_of, pooled, scattered, window_index
from depthscale.theory.moments.sampled_expectations import gaussians

Array = NDArray[np.float64]
Backward = Callable[[Array], Array]

_WALKS = 8  # independent walks, whose spread is the error
_FEWEST, _MOST = (
    9,
    14,
)  # log2 of a layer's virtual neurons in each: raised until the error is small enough


@dataclass(frozen=True)
class GramPropagation:
    """One walk's results at every operation's output. / signal, gradient: [ops] mean squares;
    spread: [ops] batch variances.

    gains: for each operation, of what it sends to each input the mean square over that of its own
    gradient.
    """

    signal: Array
    gradient: Array
    spread: Array
    gains: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class _Output:
    """Second moments of an operation's output, and what stands for it.

    gram: [P, P]; mean: [P] over neurons. values: [n, P] virtual neurons, or None while it is a
    Gaussian of that matrix.
    mixed: entries come from several positions, so that no one Gaussian stands for them.
    """

    gram: Array
    mean: Array
    values: Array | None = None
    mixed: bool = False


class Neurons:
    """Virtual neurons of one walk: Gaussian values of any matrix, from one quasi-random set.

    It is turned and shuffled at every draw: a neuron's values and its gradient must not share the
    length of one point.
    """

    def __init__(self, batch: int, log2_points: int, seed: int):
        self._rng = np.random.default_rng([seed, 1])
        self._log2_points, self._seed = log2_points, seed
        self._points = {batch: gaussians(batch, log2_points, seed)}

    def draw(self, gram: Array) -> Array:
        """[n, B] rows of covariance gram. / gram: positive semidefinite up to rounding."""
        eigenvalues, vectors = np.linalg.eigh(gram)
        root = np.sqrt(np.maximum(eigenvalues, 0.0))[:, None] * vectors.T
        turn, _ = np.linalg.qr(self._rng.standard_normal(gram.shape))
        if len(gram) not in self._points:
            self._points[len(gram)] = gaussians(len(gram), self._log2_points, self._seed)
        return self._rng.permutation(self._points[len(gram)]) @ (turn @ root)

    def kept(self, shape: tuple[int, ...], keep: float) -> Array:
        """Of a dropout: 1 / keep or 0."""
        return (self._rng.random(shape) < keep) / keep


def walk(graph: Graph, inputs: Array, loss: str, log2_points: int, seed: int) -> GramPropagation:
    """One walk. / inputs: [B, entries] or [B, channels, *size]; loss: "independent" or "shared", of
    mean square 1.

    raises: NoTheory naming the operation without a rule.
    """
    neurons = Neurons(len(inputs) * prod(inputs.shape[2:]), log2_points, seed)
    outputs, backs = _forward(graph, inputs, neurons)
    samples, points = len(inputs), len(outputs[-1].gram)
    cotangent = (
        np.eye(points)
        if loss == "independent"
        else _of_positions(np.ones((samples, samples)), points // samples)
    )
    gradients, gains = _backward(graph, outputs, backs, cotangent, neurons)
    return GramPropagation(
        np.array([np.trace(o.gram) / len(o.gram) for o in outputs]),
        np.array([np.trace(g) / len(g) if g is not None else 0.0 for g in gradients]),
        np.array([_batch_variance(o.gram) for o in outputs]),
        gains,
    )


def walks(
    graph: Graph, inputs: Array, loss: str, error: float, at: Sequence[int]
) -> tuple[list[GramPropagation], int]:
    """Independent walks of ever more virtual neurons, until their mean's relative standard error is
    small at some operations.

    inputs, loss, raises: as `walk`. error: aimed at, for signal and gradient; at: positions of the
    operations.
    returns: the walks, and the virtual neurons of each.
    """
    log2_points = _FEWEST
    while True:
        found = [walk(graph, inputs, loss, log2_points, seed) for seed in range(_WALKS)]
        samples = np.array([[w.signal[at], w.gradient[at]] for w in found])
        mean = samples.mean(axis=0)
        spread = samples.std(axis=0, ddof=1) / sqrt(_WALKS)
        reached = float(np.divide(spread, mean, out=np.zeros_like(mean), where=mean > 0).max())
        if reached <= error or log2_points >= _MOST:
            return found, 2**log2_points
        log2_points += 1 if reached < 1.4 * error else 2


def _of_positions(gram: Array, positions: int) -> Array:
    """The matrix of samples whose positions share nothing. / gram: [B, B]; returns: [P, P]."""
    return np.kron(gram, np.eye(positions))  # pyright: ignore[reportReturnType]


def _batch_variance(gram: Array) -> float:
    return float(np.trace(gram) / len(gram) - gram.mean())


def _forward(
    graph: Graph, inputs: Array, neurons: Neurons
) -> tuple[list[_Output], list[Backward | None]]:
    """Every output, and for what acts on virtual neurons its backward pass."""
    outputs: list[_Output] = []
    backs: list[Backward | None] = []
    for op in graph.ops:
        args = [outputs[i] for i in op.inputs]
        match op.what:
            case Input():
                points = np.moveaxis(inputs, 1, -1).reshape(-1, inputs.shape[1])
                outputs.append(_Output(points @ points.T / inputs.shape[1], points.mean(1)))
                backs.append(None)
            case Linear():
                outputs.append(_linear(op.what, args[0]))
                backs.append(None)
            case Conv(window=window):
                taps = window_index(window, len(inputs))
                near = replace(
                    args[0], gram=gathered(args[0].gram, taps), mean=mean_of(args[0].mean, taps)
                )
                outputs.append(_linear(op.what, near))
                backs.append(None)
            case Flatten():
                outputs.append(_flattened(args[0], len(inputs)))
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
                if outputs[position].mixed:
                    raise NoTheory(
                        f"{op.name}: no rule for given inputs where entries come from several "
                        "positions"
                    )
                if (
                    outputs[position].values is None
                ):  # a Gaussian meets what acts on it: draw it, once for all that read it
                    drawn = neurons.draw(outputs[position].gram)
                    outputs[position] = _Output(
                        outputs[position].gram, outputs[position].mean, drawn
                    )
                values = outputs[position].values
                assert values is not None
                found, back = _apply(op, values, len(inputs), neurons)
                outputs.append(_averaged(found))
                backs.append(back)
    return outputs, backs


def _flattened(x: _Output, samples: int) -> _Output:
    positions = len(x.gram) // samples
    if positions == 1:
        return x
    gram = np.einsum("aibi->ab", x.gram.reshape(samples, positions, samples, positions)) / positions
    return _Output(gram, x.mean.reshape(samples, positions).mean(1), mixed=True)


def _linear(linear: Linear | Conv, x: _Output) -> _Output:
    gram = x.gram - np.outer(x.mean, x.mean) if linear.rows == "standardized" else x.gram
    return _Output(linear.sigma_w2 * gram + linear.sigma_b2, np.zeros(len(gram)))


def _averaged(values: Array) -> _Output:
    return _Output(values.T @ values / len(values), values.mean(0), values)


def _apply(op: Op, x: Array, samples: int, neurons: Neurons) -> tuple[Array, Backward]:
    """An operation on virtual neurons [n, P], and its backward pass."""
    match op.what:
        case Affine(gain, shift):
            return gain * x + shift, lambda g: gain * g
        case Elementwise(name):
            phi = activation(name)
            slope = phi.derivative(x)
            return phi.phi(x), lambda g: g * slope
        case Norm():
            return _normalize(op.what, x, x.shape[1] // samples)
        case Dropout(keep):
            kept = neurons.kept(x.shape, keep)
            return kept * x, lambda g: kept * g
        case Pool(kind, window):
            return pooled(kind, x, window_index(window, samples))
    raise NoTheory(f"{op.name}: no rule for given inputs")


def _normalize(norm: Norm, x: Array, positions: int) -> tuple[Array, Backward]:
    """The norm and its backward pass, fused; over the batch, a sample's neurons, groups of them, or
    a neuron's positions."""
    row = norm.row
    if norm.statistics == "running":
        scale = (1 + norm.eps) ** -0.5
        return scale * x, lambda g: scale * g
    if row.mixes_samples and norm.size not in (inf, x.shape[1]):
        raise NoTheory(
            f"a batch norm over {norm.size} samples, but there are {x.shape[1]} inputs; make them "
            "agree"
        )
    channels = len(x)
    if not row.within_neuron and row.finite_law and norm.size < inf:
        channels = int(norm.size) // (positions if row.over == "groups" else 1)
    # groups, channels, samples, positions
    shape = (-1, channels, x.shape[1] // positions, positions)
    shaped = x.reshape(shape)
    axis = {"samples": (2, 3), "entries": (1,), "groups": (1, 3), "positions": (3,)}[row.over]
    centred = shaped - shaped.mean(axis, keepdims=True) if row.centred else shaped
    inverse = 1 / np.sqrt(np.square(centred).mean(axis, keepdims=True) + norm.eps)
    z = centred * inverse

    def back(gradient: Array) -> Array:
        g = gradient.reshape(shape)
        if norm.statistics != "frozen":
            mean = g.mean(axis, keepdims=True) if row.centred else 0.0
            g = g - mean - z * (z * g).mean(axis, keepdims=True)
        return (g * inverse).reshape(x.shape)

    return z.reshape(x.shape), back


def _backward(
    graph: Graph,
    outputs: list[_Output],
    backs: list[Backward | None],
    cotangent: Array,
    neurons: Neurons,
) -> tuple[list[Array | None], tuple[tuple[float, ...], ...]]:
    """Second moments [P, P] of the gradient at every output, and gains; along virtual neurons
    gradients are carried one by one."""
    arriving = [_Arriving() for _ in graph.ops]
    gains: list[tuple[float, ...]] = [()] * len(graph.ops)
    arriving[-1].gram = cotangent
    for i in range(len(graph.ops) - 1, -1, -1):
        op, here = graph.ops[i], arriving[i]
        here.settle(neurons)
        if here.gram is None or not op.inputs:
            continue
        sent = _sent(op, here, outputs, backs[i], neurons)
        own = np.trace(here.gram) / len(here.gram)
        gains[i] = tuple(each.mean_square() / own if own else inf for each in sent)
        for j, each in zip(op.inputs, sent, strict=True):
            arriving[j].add(each.gram, each.rows)
    return [each.gram for each in arriving], tuple(gains)


def _sent(
    op: Op, here: "_Arriving", outputs: list[_Output], back: Backward | None, neurons: Neurons
) -> tuple["_Arriving", ...]:
    """What an operation sends to each of its inputs."""
    assert here.gram is not None
    points = len(outputs[op.inputs[0]].gram)
    match op.what:
        case Linear():
            return (_Arriving(op.what.sigma_w2 * op.what.fan_out / op.what.fan_in * here.gram),)
        case Conv(window=window):
            samples = points // window.places_in
            factor = op.what.sigma_w2 * op.what.fan_out / op.what.fan_in / window.taps
            return (
                _Arriving(factor * scattered(here.gram, window_index(window, samples), points)),
            )
        case Flatten():  # each position has weights of its own above
            return (_Arriving(_of_positions(here.gram, points // len(here.gram))),)
        case Add(scale):
            return _Arriving(here.gram, here.rows), _Arriving(scale**2 * here.gram)
        case _:
            assert back is not None
            rows = neurons.draw(here.gram) if here.rows is None else here.rows
            return (_Arriving(None, back(rows)),)


@dataclass
class _Arriving:
    """A gradient: second moments gram [P, P], and beside virtual neurons one row for each, rows [n,
    P]."""

    gram: Array | None = None
    rows: Array | None = None

    def add(self, gram: Array | None, rows: Array | None) -> None:
        """Another branch's share; rows say all that their own matrix does."""
        if rows is not None:
            self.rows = rows if self.rows is None else self.rows + rows
        elif gram is not None:
            self.gram = gram if self.gram is None else self.gram + gram

    def mean_square(self) -> float:
        if self.rows is not None:
            return float(np.square(self.rows).mean())
        assert self.gram is not None
        return float(np.trace(self.gram) / len(self.gram))

    def settle(self, neurons: Neurons) -> None:
        """All branches are in: one matrix, and rows if any branch came as rows."""
        if self.rows is not None:
            if self.gram is not None:
                self.rows = self.rows + neurons.draw(self.gram)
            self.gram = self.rows.T @ self.rows / len(self.rows)
