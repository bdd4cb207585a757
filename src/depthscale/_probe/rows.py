"""Each operation of a pass with all that was read of it, and how much of the pass was seen."""

import platform
from collections.abc import Iterable, Sequence
from math import isinf, log2

import torch
from torch.autograd.graph import Node

from depthscale._probe import internals
from depthscale._probe.backward import Backward
from depthscale._probe.labels import labels
from depthscale._probe.op_statistics import settled
from depthscale._probe.resolve import Operations
from depthscale._probe.tree import Tree
from depthscale.run import Coverage, Details, Edge, NotSeen, Recorded
from depthscale.sketch import Sketch

_BESIDE = (
    "an output that is not differentiated, nor what leads to it alone; output= names "
    "another one, loss= takes all of them"
)


class OperationRows:
    """The operations of a forward pass and what a backward pass brought them."""

    def __init__(self, ops: Operations, reading: Backward):
        self._ops, self._reading = ops, reading
        self._log2_norms2: dict[Sketch, float] = {}  # one sketch leaves here and arrives there

    def all(self) -> list[Recorded]:
        return [self._row(i, label) for i, label in enumerate(labels(self._ops.calls))]

    def norms2(self, sketches: Sequence[Sketch]) -> tuple[float, ...]:
        """log2 of the squared norms, each computed once."""
        known = self._log2_norms2
        for sketch in sketches:
            if sketch not in known:
                known[sketch] = log2_norm2(sketch)
        return tuple(known[sketch] for sketch in sketches)

    def _row(self, number: int, label: str) -> Recorded:
        call, reading = self._ops.calls[number], self._reading
        arrived = reading.arrivals.get(number, [])
        edges = []
        for way, left in reading.departures.get(number, {}).items():
            source = self._ops.owners.producer(way.target)
            assert source is not None
            edges.append(Edge(source, self.norms2(left), left[0].count))
        return Recorded(
            name=label,
            op=call.name,
            module=call.module.path if call.path is None else "",
            module_class=type(call.module.module).__name__ if call.path is None else "",
            call=call.module.number,
            shape=call.shape,
            dtype=call.dtype,
            size=call.size,
            activation=call.activation,
            gradient=sum(arrived[1:], arrived[0]) if arrived else None,
            log2_gradient_norm2=self.norms2(arrived),
            reads=tuple(call.reads),
            edges=tuple(edges),
            consumers=reading.consumers.get(number, 0),
            nodes=self._ops.owners.sizes[number],
            settings=call.settings,
            weights=tuple((name, shape, float(ms)) for name, shape, ms in call.weights),
            details=Details(
                split=reading.splits.get(number),
                terms=tuple(reading.norms.terms.get(number, ())),
                slopes=tuple(reading.norms.slopes.get(number, ())),
                reached=float(reading.reached[number]) if number in reading.reached else None,
                **settled(call.statistics),
            ),
        )

    def coverage(
        self,
        ops: Sequence[Recorded],
        outputs: Iterable[tuple[str, Node]] = (),
        others: Iterable[NotSeen] = (),
    ) -> Coverage:
        """How much of the pass was seen.

        Args:
            ops: The rows.
            outputs: Of the model, by name, with their nodes.
            others: What else could not be looked at.
        """
        nodes, owners = self._reading.nodes, self._ops.owners
        unseen = [node for node in nodes if not owners.known(node)]
        kinds: dict[str, int] = {}
        for node in unseen:
            kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
        missed = [
            NotSeen(kind, "no torch function announced these autograd nodes", n)
            for kind, n in kinds.items()
        ]
        inside = set(nodes)
        missed += [
            NotSeen(name, _BESIDE)
            for name, node in outputs
            if node not in inside and not internals.is_leaf(node)
        ]
        return Coverage(
            ops_seen=len(ops),
            ops_with_gradient=sum(op.gradient is not None for op in ops),
            autograd_nodes=len(nodes),
            nodes_seen=len(nodes) - len(unseen),
            not_seen=(*missed, *others),
        )


def environment(tree: Tree, device: torch.device) -> dict[str, str]:
    """What a pass ran on, and a digest of what ran."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(device),
        "architecture": tree.digest(),
    }


def log2_norm2(sketch: Sketch) -> float:
    """log2 of the sum of squares; nan where a value is not finite."""
    tally = sketch.tally
    if tally.nans or any(tally.infinities):
        return float("nan")
    level, count = sketch.log2_mean_square(), tally.count
    return level if isinf(level) or not count else level + log2(count)
