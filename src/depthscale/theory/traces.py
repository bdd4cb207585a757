"""What theory says of a trace: every operation that it has a rule for, beside what was measured
there."""

from dataclasses import dataclass
from math import nan

import numpy as np

from depthscale.run import STOPS, Profile, Quantity, Trace, dominators
from depthscale.theory.model_graph import ModelGraph, model_graph
from depthscale.theory.walk import BETWEEN_SAMPLES, Walk, predict_graph


@dataclass(frozen=True, eq=False)
class TracePrediction:
    """Theory's numbers by the trace's operation ids. / walk: of the graph.

    log2_activation, log2_gradient: of mean squares; nan where not known. log2_unit: what is added
    to log2_gradient, the mean square that was measured at the output. log2_gains[op]: of (mean
    square sent to each operation it reads, in order, over its own gradient's). missing: the rules
    that were wanted and are not there.
    """

    shape: ModelGraph
    walk: Walk
    log2_unit: float = 0.0

    def log2_activation(self, op: int) -> float:
        return self.walk.ops[self.shape.last[op]].log2_activation

    def log2_gradient(self, op: int) -> float:
        return (
            nan
            if op in self.shape.inside
            else self.walk.ops[self.shape.last[op]].log2_gradient + self.log2_unit
        )

    def error(self, op: int) -> float:
        """Relative error of the gradient."""
        return self.walk.ops[self.shape.last[op]].gradient_error

    def reads(self, op: int) -> tuple[int, ...]:
        """Trace ids of what it reads, in the order of `log2_gains`."""
        return self.shape.reads[op]

    def log2_gains(self, op: int) -> tuple[float, ...]:
        first, last = self.shape.first[op], self.shape.last[op]
        inside = sum(self.walk.ops[i].log2_gains[0] for i in range(first + 1, last + 1))
        return tuple(inside + gain for gain in self.walk.ops[first].log2_gains)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the rules that were used leave out, each once, with the first operation that it was
        used for."""
        names: dict[str, list[str]] = {}
        for op in self.walk.ops:
            if op.caveat:
                name, _, said = op.caveat.partition(": ")
                names.setdefault(said.partition(" (by ")[0], []).append(name)
        return tuple(
            f"{at[0]}{f' and {len(at) - 1} more' if at[1:] else ''}: theory leaves out: {said}"
            for said, at in names.items()
        )

    @property
    def missing(self) -> tuple[str, ...]:
        inside = {self.shape.last[op] for op in self.shape.inside}
        return tuple(
            dict.fromkeys(
                op.missing for i, op in enumerate(self.walk.ops) if op.missing and i not in inside
            )
        )


def predict_operations(trace: Trace) -> TracePrediction:
    """Theory beside every operation of a trace: of networks with its operations and the mean
    squares of its weights, these being independent and centred, on inputs as alike as its own. Of a
    loss of one's own, what reaches the model's output is taken for independent cotangents of the
    mean square that was measured there."""
    shape, above = model_graph(trace), ends(trace)
    loss = trace.loss if trace.loss in BETWEEN_SAMPLES else "independent"
    unit = 0.0 if above == [op for op, _ in trace.sinks] else trace.ops[above[0]].log2_gradient_ms
    return TracePrediction(
        shape, predict_graph(shape.graph, loss, [shape.last[op] for op in above]), unit
    )


def ends(trace: Trace) -> list[int]:
    """Where theory's gradient begins: at the cotangent, or at what a loss of one's own reads, as if
    that were independent."""
    inside = (
        {op.id for op in trace.ops if op.module == "loss"} if trace.loss == "callable" else set()
    )
    read = {below for op in inside for below in trace.ops[op].reads if below not in inside}
    return sorted(read) or [op for op, _ in trace.sinks]


def predict_trace(trace: Trace) -> Profile:
    """The prediction at a trace's dominators, from the input to the output, in units of the
    cotangent that was put in."""
    found, crossed = predict_operations(trace), dominators(trace)[::-1]
    unknown = np.full(len(crossed), nan)
    return Profile(
        gradient=Quantity(
            np.array([found.log2_gradient(op) for op in crossed]),
            np.array([found.error(op) for op in crossed]),
        ),
        activation=Quantity.exact(np.array([found.log2_activation(op) for op in crossed])),
        preactivation_batch_variance=Quantity.exact(unknown),
        source="theory",
        spec={
            "model": trace.model,
            "mode": trace.mode,
            "stations": [trace.ops[op].name for op in crossed],
        },
        loss=trace.loss,
        notes=(
            *[f"{STOPS} {each}" for each in found.missing[:1]],
            *found.missing[1:],
            *found.caveats,
        ),
        without_rate="its places are operations; growth(trace) and diagnose(trace).predicted_rate "
        "are per step of depth",
        axis="station",
    )
