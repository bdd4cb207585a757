"""compare: two profiles layer by layer, or two traces operation by operation."""

from dataclasses import dataclass
from math import hypot, isfinite, log
from typing import Any, overload

import numpy as np

from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.frames import data_frame, rows_frame
from depthscale.measure.growth import Growth, growth
from depthscale.numerics.student import normal_deviate
from depthscale.profile import Array, Profile, Quantity
from depthscale.trace import Trace, TracedOp

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Comparison:
    """log2_ratio: [layers] log2 of a's mean square over b's; relative_stderr: [layers] of that ratio.

    standard_errors: [layers] how far the ratio lies from 1, as the standard normal deviate that is as unlikely as Student's t
    over so few seeds; nan where there is nothing to compare with.
    """

    log2_ratio: Array
    relative_stderr: Array
    standard_errors: Array

    def __repr__(self) -> str:
        known = np.nan_to_num(np.abs(self.standard_errors))
        layer = int(known.argmax())
        return f"Comparison(layer {layer} differs most: x{2 ** self.log2_ratio[layer]:.4g}, {known[layer]:.1f} standard errors)"

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import comparison_html

        return comparison_html(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a layer. / raises: MissingPackage where pandas is not installed."""
        return data_frame({name: getattr(self, name) for name in self.__dataclass_fields__}, "layer")


class Comparisons(dict[str, Comparison]):
    """Comparisons by quantity. / a, b: the profiles compared."""

    def __init__(self, found: dict[str, Comparison], a: Profile, b: Profile):
        super().__init__(found)
        self.a, self.b = a, b

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import comparisons_html

        return comparisons_html(self)


@dataclass(frozen=True)
class Change:
    """One operation in both traces. / gradient, activation: log2 of a's mean square over b's, nan where one has none."""

    name: str
    gradient: float
    activation: float

    @property
    def size(self) -> float:
        """The larger of the two, without its sign; 0 where neither is known."""
        return max((abs(value) for value in (self.gradient, self.activation) if isfinite(value)), default=0.0)


@dataclass(frozen=True, eq=False)
class TraceComparison:
    """changes: of the operations that both traces have, as they run in a. / only_a, only_b: names of the others; a, b: the traces.

    growth_a, growth_b: of the gradients, None where there is none to trust; standard_errors: how far the two rates lie apart, by
    Student's t as a standard normal deviate; nan without both.
    """

    changes: tuple[Change, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    growth_a: Growth | None
    growth_b: Growth | None
    standard_errors: float
    a: Trace
    b: Trace

    @property
    def largest(self) -> tuple[Change, ...]:
        """Operations in the order of how much they differ."""
        return tuple(sorted(self.changes, key=lambda change: -change.size))

    def __getitem__(self, name: str) -> Change:
        return next(change for change in self.changes if change.name == name)

    def __repr__(self) -> str:
        lines = [f"TraceComparison: {len(self.changes)} operations in both, {len(self.only_a)} and {len(self.only_b)} in one"]
        if self.growth_a is not None and self.growth_b is not None:
            lines.append(f"  growth {self.growth_a}")
            lines.append(f"  against {self.growth_b}: {self.standard_errors:+.1f} standard errors apart")
        lines += [
            f"  {change.name}: gradient x2^{change.gradient / 2:.2f}, activation x2^{change.activation / 2:.2f} in RMS"
            for change in self.largest[:_SHOWN]
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import trace_comparison_html

        return trace_comparison_html(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row an operation that both have. / raises: MissingPackage where pandas is not installed."""
        return rows_frame(self.changes, ("gradient", "activation"), "operation", index="name")


@overload
def compare(a: Profile, b: Profile) -> Comparisons: ...


@overload
def compare(a: Trace, b: Trace) -> TraceComparison: ...


def compare(a: Profile | Trace, b: Profile | Trace) -> Comparisons | TraceComparison:
    """How far a lies from b.

    Of profiles: for "gradient", "activation" and "preactivation_batch_variance", layer by layer, in standard errors: those of
    both together, as if independent; layers of one network are not independent of each other. Of traces, as of one model before
    and after a change: operations of the same name, and the rates of growth.
    raises: ValueError for different depths; InvalidProbe where no operation of one trace has its name in the other.
    """
    if isinstance(a, Trace) and isinstance(b, Trace):
        return _compare_traces(a, b)
    if not (isinstance(a, Profile) and isinstance(b, Profile)):
        raise TypeError(f"compare takes two Profiles or two Traces, got {type(a).__name__} and {type(b).__name__}")
    if a.depth != b.depth:
        raise ValueError(f"profiles of {a.depth} and {b.depth} layers cannot be compared layer by layer; give equal depths")
    degrees = sum(profile.seeds for profile in (a, b)) - sum(profile.seeds > 0 for profile in (a, b))
    names = ("gradient", "activation", "preactivation_batch_variance")
    return Comparisons({name: _compare(getattr(a, name), getattr(b, name), degrees) for name in names}, a, b)


def _compare(a: Quantity, b: Quantity, degrees: int) -> Comparison:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log2_ratio = a.log2_mean_square - b.log2_mean_square
        ratio = np.exp2(log2_ratio)
        stderr = np.hypot(ratio * a.relative_stderr, ratio * b.relative_stderr)
        t = np.where(stderr > 0, (ratio - 1) / stderr, np.nan)
        return Comparison(log2_ratio, stderr, normal_deviate(t, degrees))


def _compare_traces(a: Trace, b: Trace) -> TraceComparison:
    mine, theirs = ({op.name: op for op in trace.ops} for trace in (a, b))
    both = [name for name in mine if name in theirs and mine[name].op == theirs[name].op != "input"]
    if not both:
        raise InvalidProbe(
            f"no operation of {a.model} has its name in {b.model} ({_first_names(a)} against {_first_names(b)}): compare one "
            "model's traces before and after a change"
        )
    grown = _growth_or_none(a), _growth_or_none(b)
    return TraceComparison(
        changes=tuple(_change(mine[name], theirs[name]) for name in both),
        only_a=tuple(name for name in mine if name not in both and mine[name].op != "input"),
        only_b=tuple(name for name in theirs if name not in both and theirs[name].op != "input"),
        growth_a=grown[0],
        growth_b=grown[1],
        standard_errors=_apart(*grown),
        a=a,
        b=b,
    )


def _change(mine: TracedOp, theirs: TracedOp) -> Change:
    gradient, activation = (_difference(mine, theirs, of) for of in ("log2_gradient_ms", "log2_activation_ms"))
    return Change(mine.name, gradient, activation)


def _difference(mine: TracedOp, theirs: TracedOp, of: str) -> float:
    a, b = getattr(mine, of), getattr(theirs, of)
    return 0.0 if a == b else a - b  # both may be -inf: exactly 0


def _growth_or_none(trace: Trace) -> Growth | None:
    try:
        return growth(trace)
    except UnreliableGrowth:
        return None


def _apart(a: Growth | None, b: Growth | None) -> float:
    """Welch's t of two rates' logarithms, with the fewer degrees of freedom of the two (too few rather than too many)."""
    if a is None or b is None:
        return float("nan")
    t = (log(a.rate) - log(b.rate)) / hypot(a.log_stderr, b.log_stderr)
    return float(normal_deviate(np.array(t), min(a.degrees, b.degrees)))


def _first_names(trace: Trace) -> str:
    return ", ".join([op.name for op in trace.ops if op.op != "input"][:3])
