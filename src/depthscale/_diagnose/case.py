"""Case: a trace with everything that is read from it once, for all rules."""

from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan

from depthscale._diagnose.finding import Severity
from depthscale._diagnose.thresholds import Thresholds
from depthscale.errors import UnreliableGrowth
from depthscale.measure.batch import without_rate
from depthscale.measure.growth import Growth, growth
from depthscale.measure.ledger import Ledger, ledger
from depthscale.measure.paths import is_swallowed, mean_over_repeats
from depthscale.measure.steps import Steps, steps
from depthscale.run import Trace, TracedOp, log2_total, stations
from depthscale.theory import TracePrediction, predict_operations


@dataclass(frozen=True, eq=False)
class Case:
    """What the rules look at. / limits: from where on they speak."""

    trace: Trace
    limits: Thresholds

    @cached_property
    def ledger(self) -> Ledger | None:
        try:
            return ledger(self.trace)
        except UnreliableGrowth:
            return None

    @cached_property
    def steps(self) -> Steps | None:
        return steps(self.trace)

    @cached_property
    def gradient(self) -> Growth | None:
        return self._growth("gradient")

    @cached_property
    def activation(self) -> Growth | None:
        return self._growth("activation")

    @cached_property
    def theory(self) -> TracePrediction:
        return predict_operations(self.trace)

    @cached_property
    def predicted_rate(self) -> float:
        """Theory's mean growth of the gradient's mean square over the same steps; nan without a
        rule or a rate."""
        pairs = self.steps.pairs if self.steps and not without_rate(self.trace, self.steps) else ()
        each = [
            self.theory.log2_gradient(below) - self.theory.log2_gradient(top)
            for below, top in pairs
        ]
        mean = sum(each) / len(each) if each else nan
        return 2.0**mean if abs(mean) < 1000 else nan

    @cached_property
    def stations(self) -> tuple[TracedOp, ...]:
        """Operations that every gradient path crosses, from the input to the output."""
        return tuple(self.trace.ops[i] for i in reversed(stations(self.trace)))

    @cached_property
    def bulk(self) -> tuple[TracedOp, ...]:
        """Operations inside the whole steps of depth."""
        return tuple(op for op in self.trace.ops if self.steps and op.id in self.steps)

    @cached_property
    def deleted(self) -> tuple[TracedOp, float] | None:
        """The first operation on every path, from the loss down, that leaves nothing of a gradient,
        and log2 of what it leaves of the squared norm. In 16 bits a gradient that becomes 0 was too
        small, which is another matter."""
        for op in reversed(self.stations):
            edges = [edge for edge in op.edges if not is_swallowed(self.trace, edge)]
            if not edges or not op.log2_gradient_norm2:
                continue
            arrived = mean_over_repeats(op.log2_gradient_norm2)
            gain = log2_total([mean_over_repeats(edge.log2_norm2) for edge in edges]) - arrived
            if isfinite(arrived) and gain < self.limits.deleted:
                return None if op.dtype in ("float16", "bfloat16") else (op, gain)
        return None

    @cached_property
    def silenced(self) -> TracedOp | None:
        """Where the signal ends, if that is why no gradient passes: on every path the first
        operation whose output is all 0."""
        if self.deleted is None or self.deleted[0].log2_activation_ms > -inf:
            return None
        return next(op for op in self.stations if op.log2_activation_ms == -inf)

    @cached_property
    def refused(self) -> str:
        """Why the gradient has no rate, where it has steps; or nothing."""
        try:
            growth(self.trace)
        except UnreliableGrowth as refused:
            return str(refused)
        return ""

    def severity(self, change: float) -> Severity:
        """Of a factor of the mean square over the bulk, or over a stretch of it."""
        return (
            "error"
            if change >= self.limits.error_change
            else "warn"
            if change >= self.limits.warn_change
            else "info"
        )

    def change_of(self, severity: Severity) -> float:
        """The factor from which on a change has that severity."""
        return {
            "error": self.limits.error_change,
            "warn": self.limits.warn_change,
            "info": self.limits.info_change,
        }[severity]

    def _growth(self, of) -> Growth | None:
        try:
            return growth(self.trace, of)
        except UnreliableGrowth:
            return None
