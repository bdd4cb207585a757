"""Validity: whether the parts of a run fit each other, asked before it is written and after it is
read."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

from depthscale.errors import InvalidSpec
from depthscale.network import OWN, Graph, NetSpec
from depthscale.run import Predicted, Probed, Quantity, Run, Simulated
from depthscale.store.plain import Misfit

_OF_A_RUN = {"model", "mode"}  # what the spec of a probed run's theory holds


def require_whole(run: Run) -> None:
    """Costs as much as the run has rows, whatever its description says.

    Raises:
        Misfit: naming the part that does not fit the others.
    """
    for name, fits, why in _checks(run):
        if not fits:
            raise Misfit(f".{name} {why}")


def _checks(run: Run) -> Iterator[tuple[str, bool, str]]:
    """Each part, whether it fits, and what is wrong where it does not; a later check may take the
    earlier ones for granted."""
    yield from _order(run.graph)
    yield from _sizes(run)
    match run.origin:
        case Probed():
            yield from _probed(run, run.origin)
        case Predicted():
            yield from _predicted(run, run.origin)
        case Simulated():
            samples = run.readings.gradient.log2_samples
            rows = 0 if samples is None else len(samples)
            yield "networks", run.networks == rows > 0, f"is not that of {rows} samples"
    yield from _description(run.spec, run.graph)


def _order(graph: Graph) -> Iterator[tuple[str, bool, str]]:
    ops = graph.ops
    yield "graph.ops", bool(ops), "has no operation"
    for i, op in enumerate(ops):
        before = all(source < i for source in (*op.inputs, *op.paths))
        yield f"graph.ops[{i}]", before, "reads an operation that does not run before it"
    ends = (*graph.outputs, *graph.inputs)
    yield "graph", all(end < len(ops) for end in ends), "ends at an operation that is not there"
    steps = [b.layer - a.layer for a, b in pairwise(ops)]
    flat = all(op.layer == -1 for op in ops)
    layered = ops[0].layer == 0 and {0, 1} >= set(steps)
    yield "graph.ops", flat or layered, "is not in the order of its layers"
    recorded = {op.call is not None for op in ops}
    yield "graph.ops", recorded == {False} or (flat and recorded == {True}), "mixes recorded calls"


def _sizes(run: Run) -> Iterator[tuple[str, bool, str]]:
    readings, ops, edges = run.readings, len(run.graph.ops), run.graph.first_edges[-1]
    passes = len(readings.log2_gradient_norm2)
    rows = f"has not one number for each of {ops} operations"
    for name in ("activation", "gradient", "batch_variance"):
        quantity = getattr(readings, name)
        yield f"readings.{name}", quantity is None or _covers(quantity, ops), rows
    arrays = {"log2_gradient_norm2": (passes, ops), "log2_edge_norm2": (passes, edges)}
    for name, shape in (arrays | {"edge_sizes": (edges,)}).items():
        found = getattr(readings, name).shape
        yield f"readings.{name}", passes > 0 and found == shape, f"has shape {found}, not {shape}"
    yield "readings.edge_sizes", bool((readings.edge_sizes >= 0).all()), "is below 0"
    for name in ("activation_sketches", "gradient_sketches"):
        yield f"readings.{name}", len(getattr(readings, name)) in (0, ops), rows
    counted = not readings.is_counted or len(readings.gradient_sketches) == ops
    yield "readings.is_counted", counted, "holds, and there are no sketches"


def _probed(run: Run, origin: Probed) -> Iterator[tuple[str, bool, str]]:
    ops, passes = len(run.graph.ops), run.passes
    yield "networks", run.networks > 0, "is 0"
    yield "origin.repeats", origin.repeats == passes, f"is not that of {passes} passes"
    yield "origin.details", len(origin.details) == ops, f"is not that of {ops} operations"
    of_passes = [each for details in origin.details for each in (details.terms, details.slopes)]
    lengths = {len(each) for each in of_passes}
    yield "origin.details", lengths <= {0, passes}, f"is not that of {passes} passes"
    for name in ("sinks", "sources"):
        ends = getattr(origin, name)
        fit = all(op < ops and len(levels) == passes for op, levels in ends)
        yield f"origin.{name}", fit, f"is not that of {ops} operations and {passes} passes"
    fates = (each.fate.op for each in origin.params)
    yield "origin.params", all(op is None or op < ops for op in fates), "names no operation"
    groups = 0 if origin.step is None else len(origin.step.rates)
    turned = all(each.turn is None or each.turn.group < groups for each in origin.params)
    yield "origin.params", turned, "names no group of the optimizer"


def _predicted(run: Run, origin: Predicted) -> Iterator[tuple[str, bool, str]]:
    ops, edges = len(run.graph.ops), run.graph.first_edges[-1]
    yield "networks", run.networks == 0, "is not 0, as of theory"
    named = [op for op, _ in (*origin.stops, *origin.caveats)]
    yield "origin.stops", all(op < ops for op in named), "names an operation that is not there"
    gains = origin.log2_gains.shape
    yield "origin.log2_gains", gains == (edges,), f"has shape {gains}, not {(edges,)}"
    for name, places in (("log_variance", run.graph.places), ("weight_gradients", range(ops))):
        found = getattr(origin, name)
        fit = found is None or found.shape == (len(places),)
        yield f"origin.{name}", fit, f"is not that of {len(places)} places"
    yield "origin.from_theory", len(origin.from_theory) in (0, ops), f"is not of {ops} operations"


def _covers(quantity: Quantity, places: int) -> bool:
    shapes = {quantity.log2_mean_square.shape, quantity.relative_stderr.shape}
    samples = quantity.log2_samples
    return shapes == {(places,)} and (samples is None or samples.shape == (len(samples), places))


def _description(spec: Mapping[str, Any], graph: Graph) -> Iterator[tuple[str, bool, str]]:
    """A described graph is that of its description, but for what follows from an activation of
    one's own, which a record only names."""
    where = "origin.spec"
    if not spec or spec.keys() == _OF_A_RUN:
        texts = all(isinstance(each, str) for each in spec.values())
        yield where, texts, "has a part that is no text"
        return
    yield where, graph.is_described, "is not empty, and the graph has no layers"
    own = str(spec.get("activation")).startswith(OWN)
    try:
        described = NetSpec.from_record({**spec, "activation": "linear"} if own else spec)
    except InvalidSpec as wrong:
        yield where, False, f"is no description: {wrong}"
        return
    yield where, spec.keys() == {f.name for f in fields(NetSpec)}, "lacks a field"
    layers = described.depth * (described.residual.layers if described.residual else 1)
    fits = described.depth == graph.ops[-1].layer and layers < len(graph.ops)
    yield where, fits, f"is not that of {len(graph.ops)} operations"
    theirs = described.graph()
    alike = _outline(theirs) == _outline(graph) if own else theirs == graph
    yield where, alike, "is not that of the graph"


def _outline(graph: Graph) -> list[tuple[str, tuple[int, ...], int]]:
    return [(op.name, op.inputs, op.layer) for op in graph.ops]
