"""The walk in its smallest form: samples that are alike, so that a few numbers hold a batch's
second moments.

Forward, `ForwardMoments` at every operation's output; backward, `BackwardMoments`. Every rule is
local: what passes one operation depends on that operation and on the law of its input. Weights are
fresh, so branches that meet are uncorrelated and their gradients add.
"""

from collections.abc import Mapping, Sequence
from math import inf, nan
from types import MappingProxyType

from depthscale.errors import DepthscaleError, NoTheory
from depthscale.network import (
    Add,
    Affine,
    Conv,
    Dropout,
    Embedding,
    Graph,
    Input,
    Linear,
    Multiply,
    Norm,
    Op,
)
from depthscale.theory.local_gains import MeasuredOp
from depthscale.theory.moments.backward import NOTHING, UNKNOWN_GRADIENT, BackwardMoments
from depthscale.theory.moments.forward import UNKNOWN, ForwardMoments, Places
from depthscale.theory.rules import backward_rule, remembered_rule
from depthscale.theory.space import gram_rules

_NOTHING_MEASURED: Mapping[int, MeasuredOp] = MappingProxyType({})
_STAND_IN = BackwardMoments(0.0, 0.0)  # for a gradient that is not known, where a factor is wanted
# what stops a walk at an operation, with a note: no rule, or numbers that no arithmetic takes
_STOPS = (DepthscaleError, ArithmeticError, ValueError)


def forward(
    graph: Graph, measured: Mapping[int, MeasuredOp] = _NOTHING_MEASURED
) -> tuple[list[ForwardMoments], dict[int, str]]:
    """Propagate second moments from the inputs.

    Args:
        graph: any, in the order in which it runs.
        measured: what is taken where no rule is, by operation.

    Returns:
        The moments at every operation's output, in order; and, at operations without a rule, what
        is missing. Behind such an operation, if it was not measured, moments are unknown, until a
        norm makes them known.
    """
    moments: list[ForwardMoments] = []
    missing: dict[int, str] = {}
    for i, op in enumerate(graph.ops):
        inputs = tuple([moments[j] for j in op.inputs])
        output, stop = _output(graph, op, inputs)
        if stop and i in measured:
            output = measured[i].forward(inputs) or output
        moments.append(output)
        if stop:
            missing[i] = stop
    return moments, missing


def backward(
    graph: Graph,
    moments: list[ForwardMoments],
    correlation: float,
    outputs: Sequence[int] = (),
    measured: Mapping[int, MeasuredOp] = _NOTHING_MEASURED,
) -> tuple[list[BackwardMoments], list[tuple[float, ...]], dict[int, str]]:
    """Propagate the gradient's second moments from the outputs.

    Args:
        graph: as of `forward`.
        moments: that `forward` gave.
        correlation: of the loss's gradient at an output, between samples.
        outputs: operations with a gradient of mean square 1; by default the last.
        measured: as of `forward`.

    Returns:
        The gradient at every operation's output, unknown below an operation without a rule; for
        each operation log2 of (mean square of what it sends to each input / of its own gradient),
        for one that samples do not share where the gradient is not known; and what is missing.
    """
    gradients = [NOTHING] * len(graph.ops)
    gains: list[tuple[float, ...]] = [()] * len(graph.ops)
    missing: dict[int, str] = {}
    for i in outputs or (len(graph.ops) - 1,):
        gradients[i] = _at_output(moments[i].places.positions, correlation)
    for i in range(len(graph.ops) - 1, -1, -1):
        op, inputs = graph.ops[i], [moments[j] for j in graph.ops[i].inputs]
        sent, gains[i], stop = _sent(graph, op, inputs, gradients[i], measured.get(i))
        for j, gradient in zip(op.inputs, sent, strict=True):
            gradients[j] = gradient if gradients[j] is NOTHING else gradients[j].plus(gradient)
        if stop:
            missing[i] = stop
    return gradients, gains, missing


def _output(
    graph: Graph, op: Op, inputs: tuple[ForwardMoments, ...]
) -> tuple[ForwardMoments, str | None]:
    """An operation's output, or unknown moments and, if its inputs are known, what is missing."""
    try:
        if op.what.__class__ in (Add, Multiply):
            _require_uncorrelated(graph, *op.inputs)
        return gram_rules.behind(op.what, inputs, remembered_rule(op.what, inputs)), None
    except _STOPS as reason:
        positions = max((x.places.positions for x in inputs), default=1)
        unknown = UNKNOWN._replace(places=Places(positions, nan if positions > 1 else None))
        return unknown, _stop(op, inputs, reason)


def _sent(
    graph: Graph,
    op: Op,
    inputs: list[ForwardMoments],
    g: BackwardMoments,
    measured: MeasuredOp | None,
) -> tuple[Sequence[BackwardMoments], tuple[float, ...], str | None]:
    """What an operation sends down, by which factors, and what is missing."""
    if g.log2_ms == -inf:
        return (NOTHING,) * len(inputs), (nan,) * len(inputs), None
    known = g.log2_ms == g.log2_ms
    above, stop = g if known else _STAND_IN, None
    try:
        if op.what.__class__ is Multiply:
            _require_uncorrelated(graph, *op.inputs)
        sent = gram_rules.below(op, inputs, above, backward_rule(op, inputs, above))
    except _STOPS as reason:
        stop = _stop(op, inputs, reason)
        found = measured.backward(inputs, above) if stop and measured else None
        sent = found or (UNKNOWN_GRADIENT,) * len(inputs)
    gains = tuple([gradient.log2_ms - above.log2_ms for gradient in sent])
    if known:
        return sent, gains, stop
    return (UNKNOWN_GRADIENT,) * len(inputs), gains, None


def _require_uncorrelated(graph: Graph, a: int, b: int) -> None:
    """raises: NoTheory where none of two operations ends in fresh weights that the other has not
    seen."""
    for one, other in ((b, a), (a, b)):
        linear = _fresh_weights(graph, one)
        if linear is not None and (other < linear or not _descends(graph, other, linear)):
            return
    raise NoTheory("neither side ends in a linear layer of its own, so the two are correlated")


def _fresh_weights(graph: Graph, i: int) -> int | None:
    """The linear map whose output, odd in its weights, is passed on to here; an input or an
    embedding is as fresh."""
    while isinstance(graph.ops[i].what, Norm | Affine | Dropout):
        i = graph.ops[i].inputs[0]
    return i if isinstance(graph.ops[i].what, Linear | Conv | Input | Embedding) else None


def _descends(graph: Graph, i: int, ancestor: int) -> bool:
    """Whether operation i has read the ancestor, or is it; operations stand in the order in which
    they run."""
    seen, rest = set[int](), [i]
    while rest:
        at = rest.pop()
        if at == ancestor:
            return True
        if at > ancestor and at not in seen:
            seen.add(at)
            rest += graph.ops[at].inputs
    return False


def _at_output(positions: int, correlation: float) -> BackwardMoments:
    """The loss's gradient; a vector that all samples share has entries of its own at every
    position."""
    if positions == 1 or not correlation:
        return BackwardMoments(0.0, correlation)
    return BackwardMoments(0.0, correlation / positions, places=Places(positions, 0.0))


def _stop(op: Op, inputs: Sequence[ForwardMoments], reason: Exception) -> str | None:
    """What is missing, where it is this operation that does not know."""
    if not all(_is_known(x) for x in inputs):
        return None
    out_of_range = "its numbers leave float64's range"
    return f"{op.name}: {reason if isinstance(reason, DepthscaleError) else out_of_range}"


def _is_known(x: ForwardMoments) -> bool:
    return x.log2_ms == x.log2_ms and x.sample_correlation == x.sample_correlation
