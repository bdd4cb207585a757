"""The run of a training step: what its passes saw, added up, and what became of its parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from depthscale._probe.fates import Flow, fates
from depthscale._probe.own_passes import OwnPass, OwnPasses
from depthscale._probe.rows import OperationRows, environment
from depthscale._probe.sketching import shape_of
from depthscale._probe.tree import Tree
from depthscale.errors import InvalidProbe
from depthscale.run import (
    Fate,
    FateKind,
    NotSeen,
    Probed,
    Run,
    TracedParameter,
    merged,
    recorded_run,
)
from depthscale.sketch import Sketch


@dataclass(frozen=True)
class Stepped:
    """What an optimizer did to a parameter. / gradient: as the optimizer was given it, with no
    scale; update: |w' - w| / |w|; None where it made no step."""

    gradient: Sketch | None
    update: float | None = None


def own_run(
    seen: OwnPasses,
    tree: Tree,
    model: str,
    stepped: Mapping[str, Stepped],
    optimized: set[int] | None,
) -> Run:
    """The one run of a step's passes.

    Args:
        seen: At least one pass.
        tree: Of the model.
        model: Its class.
        stepped: What the optimizer did, by parameter; {} where that was not watched.
        optimized: Identities of what optimizers moved, where they were watched.
    """
    runs = _alike([_run(each, seen, tree, model) for each in seen.passes])
    whole = merged(runs)
    params = _parameters(seen.passes[-1], tree, stepped, optimized)
    left_out = _left_out(len(seen.passes) - len(runs), seen)
    missed = replace(whole.coverage, not_seen=(*whole.coverage.not_seen, *left_out))
    return replace(whole, origin=replace(whole.origin, params=params, coverage=missed))


def _alike(runs: Sequence[Run]) -> list[Run]:
    """Those that run the operations of the first, on as many values."""
    outlines = [[(op.name, op.op, op.size, len(op.edges)) for op in run.ops] for run in runs]
    return [run for run, each in zip(runs, outlines, strict=True) if each == outlines[0]]


def _left_out(others: int, seen: OwnPasses) -> list[NotSeen]:
    reasons = [
        (others, "its operations, or their sizes, are not those of the step's first one"),
        (seen.missed, "no forward pass of the model was seen before it"),
        (seen.again, "it goes over a forward pass again: its gradients are not in these numbers"),
        *((1, f"{type(wrong).__name__}: {wrong}") for wrong in seen.wrong),
    ]
    return [NotSeen("a backward pass", why) for count, why in reasons for _ in range(count)]


def _run(seen: OwnPass, passes: OwnPasses, tree: Tree, model: str) -> Run:
    rows = OperationRows(seen.ops, seen.reading)
    ops = rows.all()
    sinks = [
        (op, rows.norms2([sketch]))
        for slot, sketch in zip(seen.roots, seen.cotangents, strict=True)
        if (op := seen.ops.owners.producer(slot)) is not None
    ]
    if not sinks:
        raise InvalidProbe("what was differentiated was made by no call that was seen")
    inside = set(seen.reading.nodes)
    sources = [
        (op, rows.norms2(seen.reading.arrivals[op]))
        for op, call in enumerate(seen.ops.calls)
        if not call.exits
        and any(node in inside for node, _ in call.slots)
        and seen.reading.arrivals.get(op)
    ]
    others = (*seen.not_seen, *seen.reading.not_seen, *passes.parameters.not_seen)
    origin = Probed(
        model=model,
        mode=tree.mode,
        seed=0,
        repeats=1,
        batch=seen.batch,
        coverage=rows.coverage(ops, (), others),
        sinks=tuple(sinks),
        sources=tuple(sources),
        details=tuple(row.details for row in ops),
        loss_scale=seen.scale,
        environment=environment(tree, tree.device),
    )
    return recorded_run(ops, tree.notes(), "callable", origin)


def _parameters(
    seen: OwnPass, tree: Tree, stepped: Mapping[str, Stepped], optimized: set[int] | None
) -> tuple[TracedParameter, ...]:
    root = seen.roots[0][0]
    names: dict[str, Tensor] = dict(tree.parameters)
    flow = Flow(
        seen.ops.calls,
        seen.ops.owners,
        seen.reading.arrivals,
        root,
        seen.checkpoints,
        {call.path for call in seen.ops.calls if call.path is not None},
        names,
        {name for name, p in tree.parameters if id(p) in seen.outside},
    )
    gradients = {n: each.gradient for n, each in stepped.items() if each.gradient is not None}
    found = fates(flow, tree.parameters, [], gradients, optimized)
    found |= {
        name: Fate(FateKind.MOVES)
        for name, fate in found.items()
        if fate.kind is FateKind.NONE and id(names[name]) in seen.reached
    }
    return tuple(
        TracedParameter(
            name,
            shape_of(names[name]),
            None,
            gradients.get(name),
            fate,
            update=stepped[name].update if name in stepped else None,
        )
        for name, fate in found.items()
    )
