"""Readings: numbers on the operations of one graph; and Reading, one operation with its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.network import (
    Activation,
    Add,
    Conv,
    Graph,
    Hazard,
    Judged,
    Linear,
    Meaning,
    Norm,
    hazard_of,
    is_embedding,
    is_input,
    judged_by,
    label,
)
from depthscale.run.origin import Details, Origin, Predicted, Probed
from depthscale.run.quantity import Array, Quantity
from depthscale.run.records import (
    Edge,
    Likeness,
    NormSplit,
    Shares,
    Slopes,
    Terms,
    mean_over_repeats,
)
from depthscale.sketch import Sketch

_HELD = 1000.0  # log2 of a mean square that float64 holds
_NO_DETAILS = Details()
_HALVES = ("float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class Readings:
    """Numbers on the operations of one graph.

    Attributes:
        activation, gradient: mean squares of each operation's output x, and of dE/dx.
        log2_gradient_norm2: [passes, ops] of the squared norm that arrived; -inf for 0.
        log2_edge_norm2: [passes, edges] of the squared norm that left by each edge of the graph.
        edge_sizes: [edges] elements of what left.
        activation_sketches, gradient_sketches: [ops] whole distributions, None where none was
            kept; () where none was kept at all.
        batch_variance: mean over neurons of the (biased) variance of an output over the batch; nan
            where it was not looked at.
        is_counted: whether every gradient that arrived has a sketch.
    """

    activation: Quantity
    gradient: Quantity
    log2_gradient_norm2: Array
    log2_edge_norm2: Array
    edge_sizes: NDArray[np.int64]
    activation_sketches: tuple[Sketch | None, ...] = ()
    gradient_sketches: tuple[Sketch | None, ...] = ()
    batch_variance: Quantity | None = None
    is_counted: bool = False


class Reading:
    """One operation of a run with its numbers, which it looks up there.

    Attributes:
        id: its place in the order of running.
    """

    def __init__(self, graph: Graph, readings: Readings, origin: Origin, id: int):
        self._graph, self._readings, self._origin = graph, readings, origin
        self.id, self._op = id, graph.ops[id]

    # ---- what it is

    @property
    def name(self) -> str:
        """The path of its module with its own label where the module runs more than one, and "#k"
        for the k-th use; of a description its name and layer."""
        return self._op.name

    @property
    def op(self) -> str:
        """The function's label, as "linear"; a label is for people, never to decide by."""
        return label(self._op.what) if self._op.call is None else self._op.call.op

    @property
    def module(self) -> str:
        """The innermost module that it ran in."""
        return "" if self._op.call is None else self._op.call.module

    @property
    def module_class(self) -> str:
        return "" if self._op.call is None else self._op.call.module_class

    @property
    def call(self) -> int:
        """Which call of its module, counted over the run."""
        return 0 if self._op.call is None else self._op.call.call

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first output; of a description for one sample."""
        return (self.size,) if self._op.call is None else self._op.call.shape

    @property
    def dtype(self) -> str:
        return "float32" if self._op.call is None else self._op.call.dtype

    @property
    def size(self) -> int:
        """Elements of all its outputs; of a description for one sample."""
        return self._graph.entries[self.id]

    @property
    def reads(self) -> tuple[int, ...]:
        """Operations whose outputs went in, in order."""
        return self._op.inputs

    @property
    def consumers(self) -> int:
        """Edges by which gradient comes in, of any operation, seen or not."""
        return self._graph.consumers[self.id]

    @property
    def nodes(self) -> int:
        """Autograd nodes inside."""
        return 0 if self._op.call is None else self._op.call.nodes

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the function, as far as theory asks for them."""
        return {} if self._op.call is None else self._op.call.settings

    @property
    def weights(self) -> tuple[tuple[str, tuple[int, ...], float], ...]:
        """Of each parameter-side tensor that went in: name or "", shape, mean square."""
        return () if self._op.call is None else self._op.call.weights

    # ---- what it means

    @cached_property
    def meaning(self) -> Meaning:
        """What it is, as operations."""
        return self._op.meaning

    @cached_property
    def map(self) -> Linear | Conv | None:
        """The linear map or convolution that it is."""
        return self.meaning.map

    @cached_property
    def norm(self) -> Norm | None:
        """The norm that it is."""
        return self.meaning.norm

    @cached_property
    def phi(self) -> Activation | None:
        """The activation that it is."""
        return self.meaning.phi

    @property
    def adds_parameter(self) -> bool:
        """Whether it adds parameters to the one thing that it reads, as a bias."""
        return self.adds and len(self.reads) == 1 and bool(self.weights)

    @property
    def is_half(self) -> bool:
        """Whether its numbers have 16 bits."""
        return self.dtype in _HALVES

    @property
    def adds(self) -> bool:
        """Whether it is a sum of what it reads, or of that and parameters."""
        return any(isinstance(what, Add) for what in self.meaning.what)

    @property
    def joins(self) -> bool:
        """Whether it adds what several operations made, as a branch to a trunk."""
        return self.adds and len(self.reads) > 1

    @cached_property
    def hazard(self) -> Hazard | None:
        """By what it may spoil values or gradients."""
        return hazard_of(self.op)

    @property
    def judges(self) -> Judged | None:
        """What it takes for an output, where it is a loss."""
        return judged_by(self.op)

    @property
    def is_input(self) -> bool:
        """Whether it is what the network was given."""
        return is_input(self.op)

    @property
    def is_embedding(self) -> bool:
        """Whether it looks up rows of a table."""
        return is_embedding(self.op)

    # ---- its numbers

    @property
    def activation(self) -> Sketch | None:
        """The distribution of all its outputs, where one was kept."""
        sketches = self._readings.activation_sketches
        return sketches[self.id] if sketches else None

    @property
    def gradient(self) -> Sketch | None:
        """The distribution of dE/d(output), where one was kept and a gradient arrived."""
        sketches = self._readings.gradient_sketches
        return sketches[self.id] if sketches else None

    @cached_property
    def log2_activation_ms(self) -> float:
        """log2 of the mean square of its outputs; nan where not known."""
        return float(self._readings.activation.log2_mean_square[self.id])

    @cached_property
    def log2_gradient_ms(self) -> float:
        """log2 of the mean square of dE/d(output), over all networks; nan where none arrived."""
        return float(self._readings.gradient.log2_mean_square[self.id])

    @property
    def log2_activation_samples(self) -> tuple[float, ...]:
        """[networks] of each network's own."""
        samples = self._readings.activation.log2_samples
        return () if samples is None else tuple(samples[:, self.id].tolist())

    @cached_property
    def log2_gradient_norm2(self) -> tuple[float, ...]:
        """[passes] of the squared norm that arrived; empty where none did."""
        readings = self._readings
        sketches, norms = readings.gradient_sketches, readings.log2_gradient_norm2[:, self.id]
        none = sketches[self.id] is None if readings.is_counted else isnan(norms[0])
        return () if none else tuple(norms.tolist())

    @cached_property
    def log2_arrived(self) -> float:
        """log2 of the squared norm that arrived, over all passes; -inf where none did."""
        return mean_over_repeats(self.log2_gradient_norm2)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The ways by which gradient leaves it."""
        readings, first = self._readings, self._graph.first_edges[self.id]
        return tuple(
            Edge(
                source,
                tuple(readings.log2_edge_norm2[:, first + k].tolist()),
                int(readings.edge_sizes[first + k]),
            )
            for k, source in enumerate(self._op.paths)
        )

    @property
    def log2_gains(self) -> tuple[float, ...]:
        """Of a predicted run theory's gain by each edge; () of any other."""
        origin, firsts = self._origin, self._graph.first_edges
        gains = origin.log2_gains if isinstance(origin, Predicted) else np.empty(0)
        return tuple(gains[firsts[self.id] : firsts[self.id + 1]].tolist())

    @property
    def from_theory(self) -> bool:
        """Of a predicted run: whether its numbers are theory's, not a measured gain's."""
        origin = self._origin
        return isinstance(origin, Predicted) and (
            not origin.from_theory or origin.from_theory[self.id]
        )

    # ---- what only a probe reads

    @property
    def details(self) -> Details:
        """A norm's terms, samples' likeness, dead units; empty where no probe looked."""
        origin = self._origin
        return origin.details[self.id] if isinstance(origin, Probed) else _NO_DETAILS

    @property
    def split(self) -> NormSplit | None:
        return self.details.split

    @property
    def likeness(self) -> Likeness | None:
        return self.details.likeness

    @property
    def shares(self) -> Shares | None:
        return self.details.shares

    @property
    def dead(self) -> float | None:
        return self.details.dead

    @property
    def terms(self) -> tuple[Terms, ...]:
        return self.details.terms

    @property
    def slopes(self) -> tuple[Slopes, ...]:
        return self.details.slopes

    def __repr__(self) -> str:
        levels = (
            ("activation", self.log2_activation_ms),
            ("gradient", self.log2_gradient_ms),
        )
        sides = [f"{side} rms {2 ** (ms / 2):.4g}" for side, ms in levels if abs(ms) < _HELD]
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"Reading({self.id}: {self.name} [{self.op}], {shape}, {', '.join(sides)})"
