"""predict_run: what theory says of a probed run, beside what was measured there."""

from dataclasses import replace
from math import nan

from depthscale.run import Array, Predicted, Run
from depthscale.theory.model_graph import ModelGraph, model_graph
from depthscale.theory.walk import (
    BETWEEN_SAMPLES,
    Walk,
    by_edge,
    leaves_out,
    predicted_run,
    quantity,
)


def predict_run(run: Run) -> Run:
    """Theory beside every operation of a probed run: of networks with its operations and the mean
    squares of its weights, these being independent and centred, on inputs as alike as its own. Of
    a custom loss, what reaches the model's output is taken for independent cotangents of the mean
    square that was measured there.

    Returns:
        Run on the same operations; a prediction is its own.
    """
    if not run.networks:
        return run
    shape, above = model_graph(run), ends(run)
    loss = run.loss if run.loss in BETWEEN_SAMPLES else "independent"
    unit = 0.0 if list(above) == list(run.graph.sinks) else run.ops[above[0]].log2_gradient_ms
    walk = Walk.over(shape.graph, loss, [shape.last[op] for op in above])
    last = [shape.last[i] for i in range(len(run))]
    signal, gradient = (quantity(states).at(last) for states in (walk.signals, walk.gradients))
    level = gradient.log2_mean_square + unit
    level[list(shape.inside)] = nan
    origin = Predicted(
        spec={"model": run.model, "mode": run.mode},
        inputs="given",
        stops=_stops(shape, walk),
        caveats=_caveats(shape),
        log2_gains=_gains(run, shape, walk),
    )
    predicted = predicted_run(
        run.graph, signal, replace(gradient, log2_mean_square=level), None, run.loss, origin
    )
    return replace(predicted, notes=(*_stop_notes(origin), *_caveat_notes(run, origin)))


def ends(run: Run) -> tuple[int, ...]:
    """Where theory's gradient begins: at the cotangent, or at what a custom loss reads, as if that
    were independent."""
    inside = {op.id for op in run.ops if op.module == "loss"} if run.loss == "callable" else set()
    read = {below for op in inside for below in run.ops[op].reads if below not in inside}
    return tuple(sorted(read)) or run.graph.sinks


def _gains(run: Run, shape: ModelGraph, walk: Walk) -> Array:
    """[edges] of theory's gains, over all the parts of each operation."""
    gains = []
    for i, op in enumerate(run.graph.ops):
        first, last = shape.first[i], shape.last[i]
        inside = sum(walk.gains[k][0] for k in range(first + 1, last + 1))
        parts = dict(zip(shape.reads[i], walk.gains[first], strict=False))
        gains.append(tuple(inside + parts.get(source, nan) for source in op.paths))
    return by_edge(run.graph, gains)


def _stops(shape: ModelGraph, walk: Walk) -> tuple[tuple[int, str], ...]:
    """Each missing rule once, by the operation of the run whose part it is."""
    inside = {shape.last[op] for op in shape.inside}
    reasons: dict[str, int] = {}
    for i, why in walk.stops:
        if i not in inside:
            reasons.setdefault(why, shape.graph.ops[i].layer)
    return tuple((op, why) for why, op in reasons.items())


def _caveats(shape: ModelGraph) -> tuple[tuple[int, str], ...]:
    caveats = ((op.layer, leaves_out(op.what)) for op in shape.graph.ops)
    return tuple((i, caveat) for i, caveat in caveats if caveat)


def _stop_notes(origin: Predicted) -> list[str]:
    first, *others = [why for _, why in origin.stops] or [""]
    return [f"the prediction stops at {first}", *others] if first else []


def _caveat_notes(run: Run, origin: Predicted) -> list[str]:
    """What the rules that were used leave out, each once, with the first operation that it was
    used for."""
    places: dict[str, list[int]] = {}
    for i, caveat in origin.caveats:
        places.setdefault(caveat.partition(" (by ")[0], []).append(i)
    return [
        f"{run.ops[at[0]].name}{f' and {len(at) - 1} more' if at[1:] else ''}: theory leaves out: "
        f"{caveat}"
        for caveat, at in places.items()
    ]
