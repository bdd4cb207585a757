"""Run: what is known of one network, simulated, probed or predicted, on the operations of its
graph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthscale.drawable import Drawable
from depthscale.network import (
    Activation,
    Add,
    Conv,
    Graph,
    Linear,
    Meaning,
    Norm,
    is_embedding,
    is_input,
    label,
)
from depthscale.run.frames import data_frame, rows_frame
from depthscale.run.origin import Details, Ends, Predicted, Probed, Simulated
from depthscale.run.quantity import Array, Quantity
from depthscale.run.records import (
    Coverage,
    Edge,
    Likeness,
    NormSplit,
    Slopes,
    Terms,
    TracedParameter,
)
from depthscale.sketch import Sketch

_HELD = 1000.0  # log2 of a mean square that float64 holds
_NO_DETAILS = Details()

_COLUMNS = (
    "name",
    "op",
    "module_class",
    "shape",
    "dtype",
    "size",
    "log2_activation_ms",
    "log2_gradient_ms",
    "dead",
)


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


@dataclass(frozen=True, eq=False)
class Run(Drawable):
    """What is known of one network: numbers on the operations of its graph.

    Attributes:
        graph: operations, and how they read each other.
        readings: numbers on them.
        loss: "independent", "shared", "output" (a model that returns its loss) or "callable".
        networks: how many were drawn; 0 for theory.
        origin: where the numbers come from, and what only that source has.
        notes: what must be known to read the numbers.

    Example:
        >>> import depthscale as ds
        >>> run = ds.predict(ds.NetSpec(depth=3, width=8))
        >>> [round(float(ms), 3) for ms in run.gradient.mean_square]
        [1.0, 1.0, 1.0, 1.0]
    """

    graph: Graph
    readings: Readings
    loss: str
    networks: int
    origin: Simulated | Probed | Predicted
    notes: tuple[str, ...] = field(default=())

    # ---- operations

    @cached_property
    def ops(self) -> "tuple[Reading, ...]":
        """Every operation with its numbers, in the order of running."""
        return tuple(Reading(self, i) for i in range(len(self.graph.ops)))

    def __getitem__(self, name: str) -> "Reading":
        """The operation of a name.

        Raises:
            KeyError: with the nearest names.
        """
        from difflib import get_close_matches

        for i, op in enumerate(self.graph.ops):
            if op.name == name:
                return self.ops[i]
        names = [op.name for op in self.graph.ops]
        near = get_close_matches(name, names, 3, 0.3)
        raise KeyError(f"no operation {name!r}; the nearest: {', '.join(near) or 'none'}")

    def __iter__(self) -> "Iterator[Reading]":
        return iter(self.ops)

    def __len__(self) -> int:
        return len(self.graph.ops)

    # ---- places of depth

    @property
    def depth(self) -> int:
        return len(self.graph.places) - 1

    @cached_property
    def gradient(self) -> Quantity:
        """Mean square of dE/dx at the places of depth, from the input to the output."""
        return self.readings.gradient.at(self.graph.places)

    @cached_property
    def activation(self) -> Quantity:
        """Mean square of x at the places of depth, from the input to the output."""
        return self.readings.activation.at(self.graph.places)

    @cached_property
    def batch_variance(self) -> Quantity:
        """Mean over neurons of the (biased) variance over the batch of what the first linear map of
        each layer gives; nan where it is not known."""
        found, layers = self.readings.batch_variance, self.graph.layer_maps
        if found is None:
            return Quantity.exact(np.full(len(self.graph.places), np.nan))
        return found.at(layers)

    @property
    def gradient_sketches(self) -> tuple[Sketch, ...]:
        """Distributions of dE/dx at the places of depth; () where none were kept."""
        sketches = self.readings.gradient_sketches
        at_places = (sketches[i] for i in self.graph.places) if sketches else ()
        return tuple(sketch for sketch in at_places if sketch is not None)

    @property
    def received_sketches(self) -> tuple[Sketch | None, ...]:
        """Distributions of what the first activation of each layer receives; () where none were
        kept."""
        sketches = self.readings.activation_sketches
        layers = self.graph.layer_receivers if sketches else ()
        return tuple(None if i is None else sketches[i] for i in layers)

    # ---- what one source has and others lack

    @property
    def params(self) -> tuple[TracedParameter, ...]:
        """Parameters with their sketches, where a probe was asked for them."""
        return self.origin.params if isinstance(self.origin, Probed) else ()

    @property
    def coverage(self) -> Coverage:
        """How much of the network was seen: all of it, but for a model that ran."""
        if isinstance(self.origin, Probed):
            return self.origin.coverage
        return Coverage(len(self), len(self), 0, 0)

    @property
    def verified(self) -> bool | None:
        """Whether a model's outputs and gradients were equal without the probe; None: not asked."""
        return self.origin.verified if isinstance(self.origin, Probed) else None

    @property
    def stops(self) -> tuple[tuple[int, str], ...]:
        """Operations where a prediction has no number of theory, and why."""
        return self.origin.stops if isinstance(self.origin, Predicted) else ()

    @property
    def sinks(self) -> Ends:
        """Operations where the gradient begins, each with log2 of the squared norm put there."""
        if isinstance(self.origin, Probed):
            return self.origin.sinks
        return tuple((i, self.ops[i].log2_gradient_norm2) for i in self.graph.sinks)

    @property
    def sources(self) -> Ends:
        """Operations where gradients end, each with log2 of the squared norm that reached it."""
        if isinstance(self.origin, Probed):
            return self.origin.sources
        return tuple((i, self.ops[i].log2_gradient_norm2) for i in self.graph.sources)

    @property
    def model(self) -> str:
        """The network in a word or two: a model's class, or a description's fields."""
        if isinstance(self.origin, Probed):
            return self.origin.model
        if "model" in self.spec:
            return f"theory of {self.spec['model']}"
        fields = ("depth", "width", "activation", "norm")
        return ", ".join(f"{key}={self.spec[key]!r}" for key in fields if key in self.spec)

    @property
    def spec(self) -> Mapping[str, Any]:
        """The fields of the description; {} of a model that ran."""
        return {} if isinstance(self.origin, Probed) else self.origin.spec

    @property
    def mode(self) -> str:
        """Of modules: "train", "eval" or "mixed"; descriptions are as in training."""
        return self.origin.mode if isinstance(self.origin, Probed) else "train"

    @property
    def batch(self) -> float:
        """Samples in a batch; a whole number, or inf."""
        samples = self.graph.samples
        return samples if samples == inf else int(samples)

    @property
    def seed(self) -> int:
        """Number of the first network; 0 for theory."""
        return 0 if isinstance(self.origin, Predicted) else self.origin.seed

    @property
    def passes(self) -> int:
        """Backward passes that were seen, or networks; 1 for theory."""
        return len(self.readings.log2_gradient_norm2)

    @property
    def has_terms(self) -> bool:
        """Whether every norm's terms and every activation's slopes were recorded."""
        return isinstance(self.origin, Probed) and self.origin.norms

    @property
    def inputs(self) -> str:
        """Of data: "white noise", or "given" data."""
        return "given" if isinstance(self.origin, Probed) else self.origin.inputs

    @property
    def without_rate(self) -> str:
        """Why the gradient of such a description has no rate of growth, or nothing."""
        return "" if isinstance(self.origin, Probed) else self.origin.without_rate

    @property
    def log_variance(self) -> Array | None:
        """[places] theory's variance, over networks of this width, of log(gradient at a place /
        gradient at the last)."""
        return self.origin.log_variance if isinstance(self.origin, Predicted) else None

    def __repr__(self) -> str:
        if isinstance(self.origin, Probed):
            c = self.origin.coverage
            return (
                f"Run({self.model}: {c.ops_seen} operations, {c.ops_with_gradient} with gradient, "
                f"{self.origin.mode} mode, loss={self.loss!r}, {c.nodes_seen} of "
                f"{c.autograd_nodes} autograd nodes seen)"
            )
        over = f", {self.networks} seeds" if self.networks else ""
        levels = [float(self.gradient.log2_mean_square[end]) / 2 for end in (0, -1)]
        first, last = ("not known" if isnan(level) else f"2^{level:.4g}" for level in levels)
        stop = "".join(f"; the prediction stops at {why}" for _, why in self.stops[:1])
        return (
            f"Run({type(self.origin).__name__.lower()}: {self.model}, loss={self.loss!r}{over}; "
            f"gradient RMS {first} at the input, {last} at the output{stop})"
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a row for each place of depth of a description, for each operation
        of a model that ran.

        Raises:
            MissingPackage: where pandas is not installed.
        """
        if not self.graph.is_described:
            return rows_frame(self.ops, _COLUMNS, "operation")
        columns = {}
        for name in ("gradient", "activation", "batch_variance"):
            quantity = getattr(self, name)
            columns |= {
                f"{name}_log2_ms": quantity.log2_mean_square,
                f"{name}_ms": quantity.mean_square,
            }
            columns[f"{name}_ms_stderr"] = quantity.stderr
        return data_frame(columns, "layer")


class Reading:
    """One operation of a run with its numbers, which it looks up there.

    Attributes:
        id: its place in the order of running.
        run: whose operation it is.
    """

    __slots__ = ("_op", "id", "run")

    def __init__(self, run: Run, id: int):
        self.run, self.id, self._op = run, id, run.graph.ops[id]

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
        return self.run.graph.entries[self.id]

    @property
    def reads(self) -> tuple[int, ...]:
        """Operations whose outputs went in, in order."""
        return self._op.inputs

    @property
    def consumers(self) -> int:
        """Edges by which gradient comes in, of any operation, seen or not."""
        return self.run.graph.consumers[self.id]

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

    @property
    def meaning(self) -> Meaning:
        """What it is, as operations."""
        return self._op.meaning

    @property
    def map(self) -> Linear | Conv | None:
        """The linear map or convolution that it is."""
        return self.meaning.map

    @property
    def norm(self) -> Norm | None:
        """The norm that it is."""
        return self.meaning.norm

    @property
    def phi(self) -> Activation | None:
        """The activation that it is."""
        return self.meaning.phi

    @property
    def adds_parameter(self) -> bool:
        """Whether it adds parameters to the one thing that it reads, as a bias."""
        adds = any(isinstance(what, Add) for what in self.meaning.what)
        return adds and len(self.reads) == 1 and bool(self.weights)

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
        sketches = self.run.readings.activation_sketches
        return sketches[self.id] if sketches else None

    @property
    def gradient(self) -> Sketch | None:
        """The distribution of dE/d(output), where one was kept and a gradient arrived."""
        sketches = self.run.readings.gradient_sketches
        return sketches[self.id] if sketches else None

    @property
    def log2_activation_ms(self) -> float:
        """log2 of the mean square of its outputs; nan where not known."""
        return float(self.run.readings.activation.log2_mean_square[self.id])

    @property
    def log2_gradient_ms(self) -> float:
        """log2 of the mean square of dE/d(output), over all networks; nan where none arrived."""
        return float(self.run.readings.gradient.log2_mean_square[self.id])

    @property
    def log2_activation_samples(self) -> tuple[float, ...]:
        """[networks] of each network's own."""
        samples = self.run.readings.activation.log2_samples
        return () if samples is None else tuple(samples[:, self.id].tolist())

    @property
    def log2_gradient_norm2(self) -> tuple[float, ...]:
        """[passes] of the squared norm that arrived; empty where none did."""
        readings = self.run.readings
        sketches, norms = readings.gradient_sketches, readings.log2_gradient_norm2[:, self.id]
        none = sketches[self.id] is None if readings.is_counted else isnan(norms[0])
        return () if none else tuple(norms.tolist())

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The ways by which gradient leaves it."""
        readings, first = self.run.readings, self.run.graph.first_edges[self.id]
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
        origin, firsts = self.run.origin, self.run.graph.first_edges
        gains = origin.log2_gains if isinstance(origin, Predicted) else np.empty(0)
        return tuple(gains[firsts[self.id] : firsts[self.id + 1]].tolist())

    @property
    def from_theory(self) -> bool:
        """Of a predicted run: whether its numbers are theory's, not a measured gain's."""
        origin = self.run.origin
        return isinstance(origin, Predicted) and (
            not origin.from_theory or origin.from_theory[self.id]
        )

    # ---- what only a probe reads

    @property
    def details(self) -> Details:
        """A norm's terms, samples' likeness, dead units; empty where no probe looked."""
        origin = self.run.origin
        return origin.details[self.id] if isinstance(origin, Probed) else _NO_DETAILS

    @property
    def split(self) -> NormSplit | None:
        return self.details.split

    @property
    def likeness(self) -> Likeness | None:
        return self.details.likeness

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
