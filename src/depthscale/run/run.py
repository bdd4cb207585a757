"""Run: what is known of one network, simulated, probed or predicted, on the operations of its
graph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from math import inf, isnan, nan
from typing import Any

import numpy as np

from depthscale.drawable import Drawable
from depthscale.network import Count, Graph
from depthscale.run.block_table import Blocks
from depthscale.run.frames import data_frame, rows_frame
from depthscale.run.origin import Details, Ends, Origin, Predicted, Probed
from depthscale.run.quantity import Array, Quantity
from depthscale.run.reading import Reading, Readings
from depthscale.run.records import (
    Coverage,
    TracedParameter,
)
from depthscale.run.turns import OptimizerStep
from depthscale.sketch import Sketch

_COLUMNS = (
    "name",
    "op",
    "module_class",
    "shape",
    "dtype",
    "size",
    "log2_activation_ms",
    "log2_gradient_ms",
)


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
    networks: Count
    origin: Origin
    notes: tuple[str, ...] = field(default=())

    # ---- operations

    @cached_property
    def ops(self) -> tuple[Reading, ...]:
        """Every operation with its numbers, in the order of running."""
        return tuple(
            Reading(self.graph, self.readings, self.origin, i) for i in range(len(self.graph.ops))
        )

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """[ops] of each operation those that read it, in the order of running."""
        found: list[list[int]] = [[] for _ in self.graph.ops]
        for i, op in enumerate(self.graph.ops):
            for source in dict.fromkeys(op.inputs):
                found[source].append(i)
        return tuple(map(tuple, found))

    def __getitem__(self, name: str) -> Reading:
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

    def __iter__(self) -> Iterator[Reading]:
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
    def step(self) -> OptimizerStep | None:
        """The next step of the user's optimizer, where a probe was given one and a loss."""
        return self.origin.step if isinstance(self.origin, Probed) else None

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

    @property
    def weight_gradients(self) -> Array | None:
        """[ops] theory's log2 of the mean square of an entry of dE/dW; nan of what has no weights,
        None where theory was not asked."""
        return self.origin.weight_gradients if isinstance(self.origin, Predicted) else None

    def __repr__(self) -> str:
        if isinstance(self.origin, Probed):
            c = self.origin.coverage
            return (
                f"Run({self.model}: {c.ops_seen} operations, {c.ops_with_gradient} with gradient, "
                f"{self.origin.mode} mode, loss={self.loss!r}, {c.nodes_seen} of "
                f"{c.autograd_nodes} autograd nodes seen)"
            )
        over = f", {self.networks} seeds" if self.networks else ""
        found = self.gradient.log2_mean_square
        levels = [float(found[end]) / 2 if len(found) else nan for end in (0, -1)]
        first, last = ("not known" if isnan(level) else f"2^{level:.4g}" for level in levels)
        lost = [why for i, why in self.stops if isnan(self.ops[i].log2_activation_ms)]
        stop = "".join(f"; the prediction stops at {why}" for why in lost[:1])
        if len(self.stops) > len(lost):
            stop += f"; measured gains at {len(self.stops) - len(lost)} of {len(self)} operations"
        return (
            f"Run({type(self.origin).__name__.lower()}: {self.model}, loss={self.loss!r}{over}; "
            f"gradient RMS {first} at the input, {last} at the output{stop})"
        )

    def blocks(self) -> Blocks:
        """The table that people read: one row a place of depth, with theory and findings beside it.

        These live in higher parts, which are asked by name, as a notebook's picture is.

        Example:
            >>> import depthscale as ds
            >>> run = ds.predict(ds.NetSpec(depth=4, width=8, norm="batch", batch=64))
            >>> f"{run.blocks()['layer 3'].backward:.3f}"
            '1.223'
        """
        return import_module("depthscale._diagnose.by_block").blocks_of(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a row for each place of depth of a description, for each operation
        of a model that ran.

        Raises:
            MissingPackage: where pandas is not installed.
        """
        if not self.graph.is_described:
            numbers = {
                name: [getattr(op.details, name) for op in self.ops] for name in Details.headings()
            }
            return rows_frame(self.ops, _COLUMNS, "operation").assign(**numbers)
        columns = {}
        for name in ("gradient", "activation", "batch_variance"):
            quantity = getattr(self, name)
            columns |= {
                f"{name}_log2_ms": quantity.log2_mean_square,
                f"{name}_ms": quantity.mean_square,
            }
            columns[f"{name}_ms_stderr"] = quantity.stderr
        return data_frame(columns, "layer")
