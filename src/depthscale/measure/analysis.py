"""Analysis: the readings of one trace, each computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan
from typing import TypeVar

from depthscale.errors import UnreliableGrowth
from depthscale.measure.first_steps import FirstSteps, first_steps_of
from depthscale.measure.growth import Growth, Of, growth_along
from depthscale.measure.ledger import Ledger, ledger
from depthscale.measure.paths import is_swallowed
from depthscale.measure.small_batches import without_rate
from depthscale.measure.thresholds import Thresholds
from depthscale.run import Depth, Reading, Run, depth_of, kept, log2_total
from depthscale.theory import predict_run

_DEFAULT = Thresholds()
_LARGEST_LOG2 = 1000.0  # of a factor that float64 holds
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is read from a trace: its depth, growth, ledger, dominators and theory.

    A reading that the trace does not carry is the refusal itself, an `UnreliableGrowth`.

    Attributes:
        trace: what was measured.
        thresholds: from where on the rules of `diagnose` speak.
    """

    trace: Run
    thresholds: Thresholds = _DEFAULT

    @classmethod
    def of(cls, run: "Run | Analysis", thresholds: Thresholds | None = None) -> "Analysis":
        """The one analysis of a trace for these thresholds; an analysis is returned as it is.

        It is kept with the trace, so that diagnosis, page, record and terminal share it although
        each of them takes a trace.
        """
        if isinstance(run, Analysis):
            return run
        limits = thresholds or _DEFAULT
        return kept(run, f"_analysis {limits}", lambda: cls(run, limits))

    @cached_property
    def ledger(self) -> Ledger | UnreliableGrowth:
        return _attempt(lambda: ledger(self.trace))

    @cached_property
    def depth(self) -> Depth | None:
        return depth_of(self.trace)

    @cached_property
    def gradient(self) -> Growth | UnreliableGrowth:
        return self._growth("gradient")

    @cached_property
    def activation(self) -> Growth | UnreliableGrowth:
        return self._growth("activation")

    @cached_property
    def first_steps(self) -> FirstSteps | None:
        """What the optimizer's next step does; None where no optimizer was given with a loss."""
        growth = self.gradient if isinstance(self.gradient, Growth) else None
        return first_steps_of(self.trace, self.depth, growth)

    @cached_property
    def theory(self) -> Run:
        return predict_run(self.trace)

    @cached_property
    def predicted_rate(self) -> float:
        """Theory's mean growth of the gradient's mean square over the same steps; nan where theory
        lacks a rule, or the gradient has no rate."""
        if self.depth is None or without_rate(self.trace, self.depth):
            return nan
        steps = [
            self.theory.ops[below].log2_gradient_ms - self.theory.ops[top].log2_gradient_ms
            for below, top in self.depth.pairs_of(self.trace.networks)
        ]
        mean = sum(steps) / len(steps)
        return 2.0**mean if abs(mean) < _LARGEST_LOG2 else nan

    @cached_property
    def dominators(self) -> tuple[Reading, ...]:
        """Operations that every gradient path crosses, from the input to the output."""
        return tuple(self.trace.ops[i] for i in reversed(self.trace.graph.dominators))

    @cached_property
    def bulk(self) -> tuple[Reading, ...]:
        """Operations inside the whole steps of depth."""
        return tuple(op for op in self.trace.ops if self.depth and op.id in self.depth)

    @cached_property
    def deleted(self) -> tuple[Reading, float] | None:
        """The first operation on every path, from the loss down, that leaves nothing of a gradient,
        and log2 of what it leaves of the squared norm. In 16 bits a gradient that becomes 0 was too
        small, which is another matter."""
        for op in reversed(self.dominators):
            edges = [edge for edge in op.edges if not is_swallowed(self.trace, edge)]
            if not edges or not op.log2_gradient_norm2:
                continue
            arrived = op.log2_arrived
            gain = log2_total([edge.log2_left for edge in edges]) - arrived
            if isfinite(arrived) and gain - self._divided(op) < self.thresholds.deleted:
                return None if op.is_half else (op, gain)
        return None

    def _divided(self, op: Reading) -> float:
        """log2 of what a norm divides the gradient's mean square by, where it divides by much."""
        if op.norm is None or not op.reads:
            return 0.0
        divided = op.log2_activation_ms - self.trace.ops[op.reads[0]].log2_activation_ms
        return min(divided, 0.0) if isfinite(divided) else 0.0

    @cached_property
    def silenced(self) -> Reading | None:
        """Where the signal ends, if that is why no gradient passes: on every path the first
        operation whose output is all 0."""
        if self.deleted is None or self.deleted[0].log2_activation_ms > -inf:
            return None
        return next((op for op in self.dominators if op.log2_activation_ms == -inf), None)

    def _growth(self, of: Of) -> Growth | UnreliableGrowth:
        return _attempt(lambda: growth_along(self.trace, of, self.depth))


def _attempt(compute: Callable[[], T]) -> T | UnreliableGrowth:
    try:
        return compute()
    except UnreliableGrowth as refusal:
        return refusal
