"""What a run measured at each of its operations, for a walk that has no rule there: the output's
moments, and how much of the gradient goes down every edge."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log2, nan, prod

from depthscale.network import Part, places, scales
from depthscale.run import Reading, Run
from depthscale.theory.model_graph import ModelGraph
from depthscale.theory.moments.backward import NOTHING, BackwardMoments
from depthscale.theory.moments.forward import ForwardMoments, Places
from depthscale.theory.moments.log2 import log2_of, product_of, total_of

_ALIKE = 1 - 1e-9  # the most that two samples are, lest their spread be lost


@dataclass(frozen=True)
class MeasuredOp:
    """One operation of a run.

    Args:
        log2_ms: Of its output.
        read: Of what it reads, in order, with the number of its entries.
        multiplies: Whether it is a product of what it reads, and not a sum of parts of it.
        mean: Over its output's entries, over the root of its mean square.
        samples, near: Product of two samples, of two positions, over the mean square; nan where
            they were not compared.
        shape: Of its output.
        log2_gains: Log2 of (mean square of what it sends to each of those / of its own gradient).
    """

    log2_ms: float
    read: tuple[tuple[float, int], ...]
    multiplies: bool
    mean: float
    samples: float
    near: float
    shape: tuple[int, ...]
    log2_gains: tuple[float, ...]

    @property
    def positions(self) -> int:
        return prod(places(self.shape))

    def forward(self, inputs: Sequence[ForwardMoments]) -> ForwardMoments | None:
        """Its output as it was measured, scaled as theory's inputs are to the measured ones; None
        where nothing is known."""
        log2_ms = self.log2_ms + self._apart([x.log2_ms for x in inputs])
        if not isfinite(log2_ms):
            return None
        samples = _known(self.samples, [x.sample_correlation for x in inputs])
        # of a sequence split into heads, say, the shape does not tell which axis has the positions
        kept = inputs[0].places.positions if inputs else self.positions
        positions, between = kept if kept in self.shape else self.positions, None
        if positions > 1:
            between = _known(self.near, [x.position_correlation for x in inputs])
        return ForwardMoments(
            log2_ms,
            samples,
            log2_ms + log2_of(1 - samples),
            self.mean,
            places=Places(positions, between),
        )

    def _apart(self, inputs: Sequence[float]) -> float:
        """Log2 of what the output's mean square is multiplied by, to the leading order."""
        pairs = [
            (ours, ms, log2(size))
            for ours, (ms, size) in zip(inputs, self.read, strict=True)
            if isfinite(ours) and isfinite(ms) and size
        ]
        if self.multiplies or not pairs:
            return sum(ours - ms for ours, ms, _ in pairs)
        ours, theirs = (total_of(row[k] + row[2] for row in pairs) for k in (0, 1))
        return ours - theirs

    def backward(
        self, inputs: Sequence[ForwardMoments], g: BackwardMoments
    ) -> tuple[BackwardMoments, ...] | None:
        """What it sent down, as alike as the gradient that arrives; None where none arrived."""
        if any(gain != gain for gain in self.log2_gains):
            return None
        return tuple(
            NOTHING
            if not isfinite(gain)
            else g.become(
                product_of(g.log2_ms, gain),
                g.sample_correlation,
                places=_places(x.places.positions, g),
            )
            for gain, x in zip(self.log2_gains, inputs, strict=True)
        )


def _places(positions: int, g: BackwardMoments) -> Places:
    return Places(positions, g.position_correlation if positions > 1 else None)


def _known(measured: float, of_inputs: Sequence[float]) -> float:
    """What was measured, or the mean over the inputs; a correlation that is not negative."""
    if measured != measured:
        known = [each for each in of_inputs if each == each]
        measured = sum(known) / len(known) if known else 0.0
    return min(max(measured, 0.0), _ALIKE)


def measured_ops(run: Run, shape: ModelGraph) -> dict[int, MeasuredOp]:
    """By position in the graph: of each operation that is there one alone, and reads what it read
    when it ran."""
    found = {}
    for op in run.ops:
        at = shape.last[op.id]
        reads = shape.reads[op.id]
        inputs = shape.graph.ops[at].inputs
        if shape.first[op.id] == at and op.id not in shape.inside and len(inputs) <= len(reads):
            found[at] = _measured(run, shape, op, reads[: len(inputs)], inputs)
    return found


def _measured(
    run: Run, shape: ModelGraph, op: Reading, reads: Sequence[int], inputs: Sequence[int]
) -> MeasuredOp:
    alike, sketch = op.likeness, op.activation
    return MeasuredOp(
        log2_ms=op.log2_activation_ms,
        read=tuple((run.ops[i].log2_activation_ms, run.ops[i].size) for i in reads),
        multiplies=scales(op.op),
        mean=sketch.mean() / sketch.rms() if sketch is not None and sketch.rms() > 0 else 0.0,
        samples=nan if alike is None else alike.samples,
        near=nan if alike is None else alike.positions,
        shape=op.shape,
        log2_gains=_gains(shape, op, reads, inputs),
    )


def _gains(
    shape: ModelGraph, op: Reading, reads: Sequence[int], inputs: Sequence[int]
) -> tuple[float, ...]:
    """To each input; of one that is read several times by each of its edges in turn."""
    own = op.log2_gradient_ms
    edges = defaultdict(list)
    for edge in op.edges:
        if edge.size:
            edges[edge.source].append(_mean(edge.log2_norm2) - log2(edge.size))
    gains = []
    for source, position in zip(reads, inputs, strict=True):
        sent = edges[source].pop(0) if edges[source] else -inf
        what = shape.graph.ops[position].what
        part = log2(what.share) if isinstance(what, Part) else 0.0
        gains.append(sent - own - part)
    return tuple(gains)


def _mean(log2_values: Sequence[float]) -> float:
    """Log2 of the mean over passes."""
    return total_of(log2_values) - log2(len(log2_values))
