"""recorded_run: the run of a model from what a probe recorded, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2, nan
from typing import Any

import numpy as np

from depthscale.network import Graph, Op, RecordedCall, Submodule, Unknown, meanings
from depthscale.run.origin import Details, Probed
from depthscale.run.quantity import Array, Quantity
from depthscale.run.reading import Readings
from depthscale.run.records import Edge
from depthscale.run.run import Run
from depthscale.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Recorded:
    """One operation of a model that ran; see Call, Readings and Details for the fields."""

    name: str
    op: str
    module: str
    module_class: str
    call: int
    shape: tuple[int, ...]
    dtype: str
    size: int
    activation: Sketch | None
    gradient: Sketch | None
    log2_gradient_norm2: tuple[float, ...]
    reads: tuple[int, ...]
    edges: tuple[Edge, ...]
    consumers: int
    nodes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[tuple[str, tuple[int, ...], float], ...] = ()
    details: Details = field(default_factory=Details)


def recorded_run(
    rows: Sequence[Recorded], modules: tuple[Submodule, ...], loss: str, origin: Probed
) -> Run:
    """One network's run from its operations in the order of running."""
    outputs, inputs = (tuple(i for i, _ in ends) for ends in (origin.sinks, origin.sources))
    ops = tuple(_op(row) for row in rows)
    graph = Graph(ops, float(origin.batch), outputs, inputs, modules)
    edges = [edge for row in rows for edge in row.edges]
    passes = origin.repeats
    readings = counted_readings(
        graph,
        tuple(row.activation for row in rows),
        tuple(row.gradient for row in rows),
        np.array([[_log2_ms(row.activation) for row in rows]]),
        _columns([row.log2_gradient_norm2 for row in rows], passes),
        _columns([edge.log2_norm2 for edge in edges], passes),
        np.array([edge.size for edge in edges], np.int64),
    )
    return with_meanings(Run(graph, readings, loss, 1, origin))


def with_meanings(run: Run) -> Run:
    """The same run, of whose recorded calls it is known what they are."""
    if run.graph.is_described:
        return run
    ops = tuple(
        op if op.call is None else replace(op, call=replace(op.call, meaning=meaning))
        for op, meaning in zip(run.graph.ops, meanings(run.ops), strict=True)
    )
    return replace(run, graph=replace(run.graph, ops=ops))


def counted_readings(
    graph: Graph,
    activations: tuple[Sketch | None, ...],
    gradients: tuple[Sketch | None, ...],
    log2_activation_samples: Array,
    log2_gradient_norm2: Array,
    log2_edge_norm2: Array,
    edge_sizes: np.ndarray,
) -> Readings:
    """Readings whose mean squares are those of the sketches, which were counted over all passes."""
    passes = len(log2_gradient_norm2)
    activation = np.array([_log2_ms(sketch) for sketch in activations])
    gradient = np.array(
        [
            _log2_gradient_ms(sketch, size * passes)
            for sketch, size in zip(gradients, graph.entries, strict=True)
        ]
    )
    unknown = np.full(len(graph.ops), nan)
    return Readings(
        Quantity(activation, unknown, log2_activation_samples),
        Quantity(gradient, unknown),
        log2_gradient_norm2,
        log2_edge_norm2,
        edge_sizes,
        activations,
        gradients,
        is_counted=True,
    )


def simulated_readings(
    graph: Graph,
    levels: Mapping[str, Array],
    activations: tuple[Sketch | None, ...],
    gradients: tuple[Sketch | None, ...],
) -> Readings:
    """Readings from each network's logarithms of mean squares.

    Args:
        levels: "activation", "gradient" and "batch_variance": [networks, ops]; "edge": [networks,
            edges], nan where nothing else reads the operation, so that all of its gradient comes
            this way.
    """
    sources = np.array([source for op in graph.ops for source in op.paths], int)
    entries, gradient = np.array(graph.entries), levels["gradient"]
    edges = np.where(np.isnan(levels["edge"]), gradient[:, sources], levels["edge"])
    return Readings(
        Quantity.over_seeds(levels["activation"]),
        Quantity.over_seeds(gradient),
        gradient + np.log2(entries),
        edges + np.log2(entries[sources]),
        entries[sources],
        activations,
        gradients,
        Quantity.over_seeds(levels["batch_variance"]),
    )


def _op(row: Recorded) -> Op:
    call = RecordedCall(
        row.op,
        row.module,
        row.module_class,
        row.call,
        row.shape,
        row.dtype,
        row.size,
        tuple(edge.source for edge in row.edges),
        row.consumers,
        row.nodes,
        row.settings,
        row.weights,
    )
    return Op(row.name, Unknown(row.op), row.reads, call=call)


def _columns(samples: Sequence[tuple[float, ...]], passes: int) -> Array:
    """[passes, columns]; a gradient that did not arrive in a pass counts as 0."""
    absent = (-np.inf,) * passes
    rows = [(*column, *absent[len(column) :]) for column in samples]
    return np.array(rows, np.float64).reshape(len(rows), passes).T


def _log2_ms(sketch: Sketch | None) -> float:
    return nan if sketch is None else sketch.log2_mean_square()


def _log2_gradient_ms(sketch: Sketch | None, elements: int) -> float:
    """Over all elements and passes; of several outputs some may be unused: their gradient is 0 and
    not in the sketch, but counts here."""
    if sketch is None or not sketch.count:
        return nan
    return sketch.log2_mean_square() + (log2(sketch.count / elements) if elements else 0.0)
