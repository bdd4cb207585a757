"""merged: runs of one architecture, drawn anew each time, as one."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from depthscale.errors import InvalidProbe
from depthscale.network import Graph
from depthscale.run.origin import Details, Ends, Probed
from depthscale.run.recorded import counted_readings, with_meanings
from depthscale.run.run import Run
from depthscale.sketch import Sketch

T = TypeVar("T")


def merged(runs: Sequence[Run]) -> Run:
    """One run of several probed networks: sketches added up, each network's squared norms side by
    side, other numbers averaged.

    Where all have the same weights they are one network, and what was drawn anew are the cotangents
    (and dropout, say).

    Raises:
        InvalidProbe: where the networks do not run the same operations.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    _require_alike(runs)
    weights = [[op.weights for op in run.ops] for run in runs]
    alike = any(weights[0]) and all(each == weights[0] for each in weights)
    graph, readings = _graph(runs), [run.readings for run in runs]
    samples = np.concatenate(
        [x for each in readings if (x := each.activation.log2_samples) is not None]
    )
    merged_run = replace(
        first,
        graph=graph,
        readings=counted_readings(
            graph,
            tuple(map(_sum, zip(*(each.activation_sketches for each in readings), strict=True))),
            tuple(map(_sum, zip(*(each.gradient_sketches for each in readings), strict=True))),
            samples[:1] if alike else samples,
            np.concatenate([each.log2_gradient_norm2 for each in readings]),
            np.concatenate([each.log2_edge_norm2 for each in readings]),
            readings[0].edge_sizes,
        ),
        networks=1 if alike else len(runs),
        origin=_origin([run.origin for run in runs if isinstance(run.origin, Probed)]),
    )
    return with_meanings(merged_run)


def _require_alike(runs: Sequence[Run]) -> None:
    names = [[(op.name, op.op, len(op.edges)) for op in run.ops] for run in runs]
    for k, network in enumerate(names):
        if network != names[0]:
            pairs = zip(network, names[0], strict=False)
            odd = next((a[0] for a, b in pairs if a != b), "the end")
            raise InvalidProbe(
                f"network {k} runs other operations than network 0, from {odd} on; probe them one "
                "by one"
            )


def _graph(runs: Sequence[Run]) -> Graph:
    """The first network's graph, with the mean squares of all networks' weights."""
    ops = []
    for op, *others in zip(*(run.graph.ops for run in runs), strict=True):
        calls = [each.call for each in (op, *others) if each.call is not None]
        weights = tuple(
            (name, shape, sum(call.weights[k][2] for call in calls) / len(calls))
            for k, (name, shape, _) in enumerate(calls[0].weights)
        )
        ops.append(replace(op, call=replace(calls[0], weights=weights)))
    return replace(runs[0].graph, ops=tuple(ops))


def _origin(origins: Sequence[Probed]) -> Probed:
    first = origins[0]
    return replace(
        first,
        repeats=len(origins),
        details=tuple(map(_details, zip(*(each.details for each in origins), strict=True))),
        params=tuple(
            replace(
                parameter[0],
                value=_sum([each.value for each in parameter]),
                gradient=_sum([each.gradient for each in parameter]),
            )
            for parameter in zip(*(each.params for each in origins), strict=True)
        ),
        sinks=_ends([each.sinks for each in origins]),
        sources=_ends([each.sources for each in origins]),
        verified=None if first.verified is None else all(each.verified for each in origins),
    )


def _ends(ends: Sequence[Ends]) -> Ends:
    return tuple(
        (ends[0][i][0], _joined([each[i][1] for each in ends])) for i in range(len(ends[0]))
    )


def _details(details: Sequence[Details]) -> Details:
    return Details(*(_one([getattr(each, f.name) for each in details]) for f in fields(Details)))


def _sum(sketches: Sequence[Any]) -> Any:
    return None if any(sketch is None for sketch in sketches) else sum(sketches, Sketch())


def _joined(samples: Sequence[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(value for each in samples for value in each)


def _one(values: Sequence[Any]) -> Any:
    """Samples side by side, numbers averaged; None where one network has none."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], tuple):
        return _joined(values)
    return _average(values) if is_dataclass(values[0]) else _mean(values)


def _mean(values: Sequence[float]) -> float:
    """Their mean; of numbers that are counts, or answers, and alike the one that they are."""
    if all(value == values[0] for value in values):
        return values[0]
    return all(values) if isinstance(values[0], bool) else sum(values) / len(values)


def _average(records: Sequence[Any]) -> Any:
    kind = type(records[0])
    columns = ([getattr(record, f.name) for record in records] for f in fields(kind))
    return kind(*map(_mean, columns))
