"""Block: a norm of a user's model with the map below it and the activation above, and its numbers,
argued, predicted, measured."""

from dataclasses import dataclass
from math import isfinite, isnan, log2, nan

import numpy as np

from depthscale._explain.expected import Numbers, of_norm, of_weights
from depthscale._explain.measured import of_terms
from depthscale.errors import NoTheory
from depthscale.network import Norm
from depthscale.run import Reading, Run, Terms
from depthscale.theory import (
    BETWEEN_SAMPLES,
    BackwardMoments,
    ForwardMoments,
    ModelGraph,
    ends,
    exchangeable,
    model_graph,
)


@dataclass(frozen=True, eq=False)
class Block:
    """norm: the operation; map: what it reads, if that is a product with weights; activation: what
    reads it, if that is one.

    alone: whether a gradient passes the three in a row and goes nowhere else.
    """

    norm: Reading
    map: Reading | None
    activation: Reading | None

    @property
    def alone(self) -> bool:
        if self.map is None or self.activation is None:
            return False
        return len(self.norm.edges) == self.map.consumers and self.norm.consumers == len(
            self.activation.edges
        )

    @property
    def values(self) -> int:
        """That one sigma is over."""
        return int(self.what.size)

    @property
    def what(self) -> Norm:
        """The norm that it is."""
        assert self.norm.norm is not None
        return self.norm.norm

    @property
    def constant(self) -> bool:
        """Whether its statistics are constants: running averages."""
        return all(np.isnan(each.through_sigma) for each in self.norm.terms)


def blocks(trace: Run) -> list[Block]:
    """One for each norm whose terms were recorded, in the order of running."""
    above = {op.reads[0]: op for op in reversed(trace.ops) if op.slopes and op.reads}
    return [Block(op, _map(trace, op), above.get(op.id)) for op in trace.ops if is_read(op)]


def is_read(op: Reading) -> bool:
    """Whether an operation is a norm whose terms are numbers: a gradient came by, and not of zeros
    alone."""
    return op.norm is not None and bool(op.terms) and all(isfinite(each.gain) for each in op.terms)


def _map(trace: Run, norm: Reading) -> Reading | None:
    below = trace.ops[norm.reads[0]] if norm.reads else None
    return below if below is not None and below.map is not None and len(below.edges) == 1 else None


def measured(block: Block) -> list[Numbers]:
    """[repeats], by the name of the step; nan, or absent, where the block does not have it."""
    return [_measured(block, block.norm.terms[i], i) for i in range(len(block.norm.terms))]


def _measured(block: Block, found: Terms, at: int) -> Numbers:
    numbers = {
        "product": _gain(block.map, at),
        "slope": _gain(block.activation, at),
        "scale": nan if isnan(_gamma2(block.norm)) else found.scale,
        "norm": found.gain,
        "even": found.direct / found.inverse,
        "slopes_independent": nan,
        "z_independent": found.along_z,
    } | of_terms(found, block.what)
    if block.activation is not None and at < len(block.activation.slopes):
        numbers["slopes_independent"] = block.activation.slopes[at].correlation
    if block.alone:
        numbers["layer"] = numbers["product"] * numbers["slope"] * found.scale * found.gain
    return numbers


def argued(block: Block, shape: ModelGraph, theory: Numbers) -> Numbers:
    """What the argument says of the block, given its own sigma, slopes, gain and weights. / theory:
    for what sigma is made of."""
    found = block.norm.terms
    inverse = float(np.mean([each.inverse for each in found]))
    slope = (
        nan
        if block.activation is None
        else float(np.mean([each.mean_square for each in block.activation.slopes]))
    )
    product = of_weights(shape.graph.ops[shape.last[block.map.id]].what) if block.map else nan
    scale = _gamma2(block.norm)
    zero = dict.fromkeys(
        ("through_mean", "through_sigma", "spread", "slopes_independent", "z_independent"), 0.0
    )
    return zero | {
        "product": product,
        "slope": slope,
        "scale": scale,
        "norm": inverse,
        "even": 1.0,
        "flatness": 1.0,
        "sigma2": theory.get("sigma2", nan),
        "inverse": theory.get("inverse", nan),
        "layer": product * slope * (1.0 if isnan(scale) else scale) * inverse,
    }


class Theory:
    """Theory's numbers for the blocks of a trace, from a walk of the graph that it describes. /
    missing: rules that were wanted."""

    def __init__(self, trace: Run):
        self.shape = model_graph(trace)
        graph = self.shape.graph
        self._signals, missing = exchangeable.forward(graph)
        ratio = BETWEEN_SAMPLES.get(trace.loss, 0.0)
        outputs = [self.shape.last[op] for op in ends(trace)]
        self._gradients, self._gains, below = exchangeable.backward(
            graph, self._signals, ratio, outputs
        )
        self.missing = tuple(dict.fromkeys([*missing.values(), *below.values()]))

    def numbers(self, block: Block) -> Numbers:
        """By the name of the step; what has no formula is absent or nan."""
        at = self.shape.first[block.norm.id]
        op = self.shape.graph.ops[at]
        numbers = {
            "product": self._gain(block.map),
            "slope": self._gain(block.activation),
            "even": 1.0,
        }
        if isinstance(op.what, Norm):
            numbers["norm"] = _power(self._gains[at][0])
            y = self._signals[op.inputs[0]]
            if y.log2_ms == y.log2_ms:
                numbers |= self._of_norm(op.what, y, self._gradients[at])
        if block.alone:
            numbers["layer"] = numbers["product"] * numbers["slope"] * self._gain(block.norm)
        return numbers | {"slopes_independent": 0.0, "z_independent": 0.0}

    def _of_norm(self, norm: Norm, y: ForwardMoments, g: BackwardMoments) -> Numbers:
        """What is known of a norm's terms; what has no law is left out, and told."""
        try:
            return of_norm(norm, y, g)
        except (NoTheory, ArithmeticError, ValueError) as reason:
            self.missing = tuple(dict.fromkeys([*self.missing, str(reason)]))
            return {}

    def _gain(self, op: Reading | None) -> float:
        """Mean-square gain of an operation that reads one other."""
        if op is None:
            return nan
        first, last = self.shape.first[op.id], self.shape.last[op.id]
        each = [self._gains[i] for i in range(first, last + 1)]
        return _power(sum(gains[0] for gains in each)) if all(each) else nan


def _gamma2(norm: Reading) -> float:
    """Mean square of a norm's gain gamma; nan where it has none."""
    statistics = ("running_mean", "running_var")
    return next((ms for name, _, ms in norm.weights if not name.endswith(statistics)), nan)


def _gain(op: Reading | None, at: int) -> float:
    """Mean-square gain of an operation that sends its gradient one way."""
    if op is None or len(op.edges) != 1 or at >= len(op.log2_gradient_norm2):
        return nan
    (edge,) = op.edges
    return _power(edge.log2_norm2[at] - op.log2_gradient_norm2[at] + log2(op.size / edge.size))


def _power(log2_value: float) -> float:
    return 2.0**log2_value if log2_value < 1000 else nan
