"""save, load: a run as a file, whole, and back."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from depthscale import files
from depthscale.errors import InvalidRecord
from depthscale.network import Graph, Meaning, NetSpec
from depthscale.run import Quantity, Run, with_meanings
from depthscale.store.plain import plain, rebuilt

SCHEMA = "depthscale/2"


def save(run: Run, path: str | Path) -> None:
    """Write a run, sketches included, to a JSON file.

    Args:
        run: simulated, probed or predicted.
        path: the file; what stood there is as it was where it cannot be written.

    Raises:
        UnwritablePath: where the file cannot be written.
    """
    if not isinstance(run, Run):
        raise TypeError(f"save takes a Run, got {type(run).__name__}")
    content = {"schema": SCHEMA, "run": plain(_without_meanings(run))}
    files.write(Path(path), json.dumps(content, indent=1, allow_nan=False) + "\n")


def load(path: str | Path) -> Run:
    """The run in a JSON file that `save` wrote.

    Raises:
        InvalidRecord: for another schema, by name, and for anything that is no such record.
    """
    try:
        loaded = json.loads(Path(path).read_text())
    except OSError as refused:
        raise InvalidRecord(f"cannot read {path}: {refused.strerror}") from None
    except (ValueError, RecursionError) as broken:
        raise InvalidRecord(f"{path} is not JSON: {broken}") from None
    _require_schema(loaded, path)
    try:
        run = rebuilt(Run, loaded["run"])
        _require_order(run)
        return with_meanings(run)
    except Exception:
        raise InvalidRecord(f"{path} is not a whole record: a part is missing or wrong") from None


def _require_schema(loaded: Any, path: str | Path) -> None:
    schema = loaded.get("schema") if isinstance(loaded, dict) else None
    if not isinstance(schema, str) or not schema.startswith("depthscale/"):
        raise InvalidRecord(f"{path} is not a depthscale record: it has no schema")
    if "command" in loaded:
        raise InvalidRecord(
            f"{path} is a record of {loaded['command']!r} for reading; only what --save or save "
            "wrote can be loaded"
        )
    if schema != SCHEMA:
        raise InvalidRecord(
            f"{path} has schema {schema}, this version reads {SCHEMA}; read it with the "
            "depthscale that wrote it"
        )


def _require_order(run: Run) -> None:
    """raises: ValueError where an operation reads what does not run before it, or parts do not fit
    each other."""
    ops, readings = run.graph.ops, run.readings
    ends = (*run.graph.sinks, *run.graph.sources, *(i for i, _ in (*run.sinks, *run.sources)))
    edges = run.graph.first_edges[-1]
    fits = (
        all(0 <= source < i for i, op in enumerate(ops) for source in (*op.inputs, *op.paths))
        and all(0 <= end < len(ops) for end in ends)
        and _covers(readings.activation, len(ops))
        and _covers(readings.gradient, len(ops))
        and _describes(run.spec, run.graph)
        and {readings.log2_edge_norm2.shape[-1], len(readings.edge_sizes)} == {edges}
        and {len(readings.activation_sketches), len(readings.gradient_sketches)} <= {0, len(ops)}
    )
    if not fits:
        raise ValueError("parts that do not fit each other")


def _covers(quantity: Quantity, places: int) -> bool:
    shapes = {quantity.log2_mean_square.shape, quantity.relative_stderr.shape}
    samples = quantity.log2_samples
    return shapes == {(places,)} and (samples is None or samples.shape[1:] == (places,))


def _describes(spec: Mapping[str, Any], graph: Graph) -> bool:
    """Whether a record holds every field of a description, each as it may be, but for an activation
    of one's own, which it only names. / raises: InvalidSpec."""
    if not (graph.is_described and spec):
        return True
    NetSpec.from_record({**spec, "activation": "linear"})
    return set(spec) == {each.name for each in fields(NetSpec)}


def _without_meanings(run: Run) -> Run:
    """Meanings follow from the calls, and are made again."""
    ops = tuple(
        op if op.call is None else replace(op, call=replace(op.call, meaning=Meaning()))
        for op in run.graph.ops
    )
    return replace(run, graph=replace(run.graph, ops=ops))
