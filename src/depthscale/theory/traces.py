"""predict_run: what theory says of a probed run, beside what was measured there."""

from collections import defaultdict
from dataclasses import replace
from math import isfinite, isnan, log2, nan

from depthscale.run import Array, Predicted, Run
from depthscale.theory.local_gains import measured_ops
from depthscale.theory.model_graph import ModelGraph, model_graph
from depthscale.theory.moments.log2 import total_of
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
    square that was measured there. At an operation without a rule, which `stops` names, the run's
    own gain is taken, and the walk goes on; `from_theory` is False there.

    Returns:
        Run on the same operations; a prediction is its own.
    """
    if not run.networks:
        return run
    above = ends(run)
    loss = run.loss if run.loss in BETWEEN_SAMPLES else "independent"
    unit = 0.0 if list(above) == list(run.graph.sinks) else run.ops[above[0]].log2_gradient_ms
    shape, walk = _walked(run, loss, above)
    last = [shape.last[i] for i in range(len(run))]
    signal, gradient = (quantity(states).at(last) for states in (walk.signals, walk.gradients))
    level = gradient.log2_mean_square + unit
    level[list(shape.inside)] = nan
    stops = _stops(shape, walk)
    without = {op for op, _ in stops}
    origin = Predicted(
        spec={"model": run.model, "mode": run.mode},
        inputs="given",
        stops=stops,
        from_theory=tuple(i not in without for i in range(len(run))),
        caveats=_caveats(shape),
        log2_gains=_gains(run, shape, walk),
    )
    predicted = predicted_run(
        run.graph, signal, replace(gradient, log2_mean_square=level), None, run.loss, origin
    )
    return replace(predicted, notes=(*_stop_notes(predicted, origin), *_caveat_notes(run, origin)))


def _walked(run: Run, loss: str, above: tuple[int, ...]) -> tuple[ModelGraph, Walk]:
    """The walk over a run's graph. An operation of several parts, one of which has no rule, is
    walked again as one, since it was measured as one."""
    as_one: set[int] = set()
    while True:
        shape = model_graph(run, as_one)
        known = measured_ops(run, shape)
        walk = Walk.over(shape.graph, loss, [shape.last[op] for op in above], known)
        parted = {shape.graph.ops[i].layer for i, _ in walk.stops if i not in known}
        parted = {i for i in parted if shape.first[i] != shape.last[i]} - as_one
        if not parted:
            return shape, walk
        as_one |= parted


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
        parts = defaultdict(list)
        for source, gain in zip(shape.reads[i], walk.gains[first], strict=False):
            parts[source].append(gain)
        sent = (_mean(parts[source], op.paths.count(source)) for source in op.paths)
        gains.append(tuple(inside + gain for gain in sent))
    return by_edge(run.graph, gains)


def _mean(log2_gains: list[float], edges: int) -> float:
    """Of as many edges to one source, which are not told apart, each takes its share of all."""
    if not log2_gains:
        return nan
    return total_of(log2_gains) - log2(edges)


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


def _stop_notes(predicted: Run, origin: Predicted) -> list[str]:
    """Where there was no rule: what was measured there, and what is not known at all."""
    ops = predicted.ops
    lost = [(i, why) for i, why in origin.stops if isnan(ops[i].log2_activation_ms)]
    taken = [(i, why) for i, why in origin.stops if not isnan(ops[i].log2_activation_ms)]
    notes = [f"the prediction stops at {why}" for _, why in lost[:1]]
    if taken:
        share = measured_share(predicted)
        notes.append(
            f"theory has no rule at {len(taken)} of {len(ops)} operations, and the gains measured "
            f"there were taken ({100 * share:.0f} % of all changes of the gradient): first at "
            f"{taken[0][1]}"
        )
    return notes


def measured_share(predicted: Run) -> float:
    """How much of |log gain|, over all edges, is measured and not theory's."""
    of_theory = [0.0, 0.0]
    for op in predicted.ops:
        of_theory[op.from_theory] += sum(abs(gain) for gain in op.log2_gains if isfinite(gain))
    return of_theory[False] / (sum(of_theory) or 1.0)


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
