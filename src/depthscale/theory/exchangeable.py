"""The walk in its smallest form: samples that are alike, so that a few numbers hold a batch's
second moments.

Forward, a `Signal` at every operation's output; backward, a `Gradient`. Every rule is local: what
passes one operation depends on that operation and on the law of its input. Weights are fresh, so
branches that meet are uncorrelated and their gradients add.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

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
    Norm,
    Op,
    Operation,
    Pool,
)
from depthscale.theory import borders
from depthscale.theory.rules import backward_rule, forward_rule
from depthscale.theory.states import NOTHING, UNKNOWN, Gradient, Signal

_STAND_IN = Gradient(0.0, 0.0)  # for a gradient that is not known, where a factor is asked for
_UNKNOWN_GRADIENT = Gradient(nan, nan)
_STOPS = (DepthscaleError, ArithmeticError)
_PLACED = (Conv, Pool)


def forward(graph: Graph) -> tuple[list[Signal], dict[int, str]]:
    """The signal at every operation's output, in order; and at those without a rule what is
    missing.

    Behind such an operation a signal is UNKNOWN, until a norm makes it known again.
    """
    signals: list[Signal] = []
    missing: dict[int, str] = {}
    rule = forward_rule
    for i, op in enumerate(graph.ops):
        inputs = tuple([signals[j] for j in op.inputs])
        try:
            if isinstance(op.what, Add) and not _are_uncorrelated(graph, *op.inputs):
                raise NoTheory(
                    "neither side ends in a linear layer of its own, so the two are correlated"
                )
            if op.what.__class__ in _PLACED:
                rule = _elsewhere
            signals.append(rule(op.what, inputs))
            if op.what.__class__ is Add and signals[-1].is_sampled:
                rule = _elsewhere
        except _STOPS as reason:
            places = max((x.positions for x in inputs), default=1)
            signals.append(replace(UNKNOWN, positions=places, near=nan if places > 1 else None))
            if all(_is_known(x) for x in inputs):
                missing[i] = _stop(op, reason)
    return signals, missing


def _elsewhere(what: Operation, inputs: tuple[Signal, ...]) -> Signal:
    """An operation where positions may differ, or signals be known by channels, which no cache
    should keep."""
    rule = forward_rule.__wrapped__ if any(x.is_sampled for x in inputs) else forward_rule
    uneven = what.__class__ in _PLACED or any(x.profile or x.common for x in inputs)
    return borders.forward(what, inputs, rule(what, inputs)) if uneven else rule(what, inputs)


def backward(
    graph: Graph, signals: list[Signal], ratio: float, outputs: Sequence[int] = ()
) -> tuple[list[Gradient], list[tuple[float, ...]], dict[int, str]]:
    """The gradient at every operation's output, of mean square 1 at the outputs (by default the
    last).

    ratio: of the product between samples to the mean square, for the loss's gradient at an output.
    returns: gradients, nan below an operation without a rule; for each operation log2 of (mean
    square of what it sends to each input / of its own gradient), for one that samples do not share
    where the gradient is not known; and what is missing.
    """
    gradients = [NOTHING] * len(graph.ops)
    gains: list[tuple[float, ...]] = [()] * len(graph.ops)
    missing: dict[int, str] = {}
    for i in outputs or (len(graph.ops) - 1,):
        gradients[i] = _at_output(signals[i].positions, ratio)
    for i in range(len(graph.ops) - 1, -1, -1):
        op, above = graph.ops[i], gradients[i]
        inputs = [signals[j] for j in op.inputs]
        if above is NOTHING or above.log2_ms == -inf:
            gains[i] = (nan,) * len(inputs)
            continue
        known = above.log2_ms == above.log2_ms
        asked = above if known else _STAND_IN
        try:
            below = backward_rule(op, inputs, asked)
            if op.what.__class__ in _PLACED or asked.profile or (inputs and inputs[0].profile):
                below = tuple(
                    borders.backward(op.what, x, asked, each)
                    for x, each in zip(inputs, below, strict=True)
                )
        except _STOPS as reason:
            below = (_UNKNOWN_GRADIENT,) * len(inputs)
            if known and all(_is_known(x) for x in inputs):
                missing[i] = _stop(op, reason)
        unit = asked.log2_ms
        gains[i] = (
            (below[0].log2_ms - unit,)
            if len(below) == 1
            else tuple([each.log2_ms - unit for each in below])
        )
        if not known:
            below = (_UNKNOWN_GRADIENT,) * len(inputs)
        for j, gradient in zip(op.inputs, below, strict=True):
            gradients[j] = gradient if gradients[j] is NOTHING else gradients[j].plus(gradient)
    return gradients, gains, missing


def _are_uncorrelated(graph: Graph, a: int, b: int) -> bool:
    """Whether one of two operations ends in fresh weights that the other has not seen."""
    for one, other in ((b, a), (a, b)):
        linear = _fresh_weights(graph, one)
        if linear is not None and (other < linear or not _descends(graph, other, linear)):
            return True
    return False


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


def _at_output(positions: int, ratio: float) -> Gradient:
    """The loss's gradient; a vector that all samples share has entries of its own at every
    position."""
    return (
        Gradient(0.0, ratio)
        if positions == 1 or not ratio
        else Gradient(0.0, ratio / positions, near=0.0)
    )


def _is_known(x: Signal) -> bool:
    return x.log2_ms == x.log2_ms and x.ratio == x.ratio


def _stop(op: Op, reason: Exception) -> str:
    said = (
        str(reason) if isinstance(reason, DepthscaleError) else "its numbers leave float64's range"
    )
    return f"{op.name}: {said}"
