"""compare: two profiles layer by layer, or two traces operation by operation."""

from dataclasses import dataclass
from math import hypot, isfinite, log, nan
from typing import Any, overload

import numpy as np

from depthscale.drawable import Drawable
from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.measure.growth import Growth, growth
from depthscale.numerics.student import normal_deviate
from depthscale.run import Array, Profile, Quantity, Trace, TracedOp, data_frame, rows_frame

AS_UNLIKELY = "as unlikely as Student's t of the difference"
_SHOWN = 5
_ALIKE = 1e-3  # log2 of a mean square: not worth a line
_HELD = 1000.0  # log2 of a mean square that floats hold


@dataclass(frozen=True, eq=False)
class Comparison(Drawable):
    """log2_ratio: [layers] log2 of a's mean square over b's; relative_stderr: [layers] of that
    ratio.

    standard_errors: [layers] how far the ratio lies from 1, as the standard normal deviate that is
    as unlikely as Student's t over so few seeds (less than the difference over its error); nan
    where there is nothing to compare with.
    """

    log2_ratio: Array
    relative_stderr: Array
    standard_errors: Array

    def __repr__(self) -> str:
        known = np.nan_to_num(np.abs(self.standard_errors))
        layer = int(known.argmax())
        ratio, deviate = 2 ** self.log2_ratio[layer], known[layer]
        return (
            f"Comparison(layer {layer} differs most: x{ratio:.4g}, a normal deviate of "
            f"{deviate:.1f}, {AS_UNLIKELY})"
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a layer. / raises: MissingPackage where pandas is not
        installed."""
        return data_frame(
            {name: getattr(self, name) for name in self.__dataclass_fields__}, "layer"
        )


class Comparisons(dict[str, Comparison], Drawable):
    """Comparisons by quantity. / a, b: the profiles compared."""

    def __init__(self, found: dict[str, Comparison], a: Profile, b: Profile):
        super().__init__(found)
        self.a, self.b = a, b


@dataclass(frozen=True)
class Change:
    """One operation in both traces. / gradient, activation: log2 of the mean square after over that
    before, nan where one has none."""

    name: str
    gradient: float
    activation: float

    def __str__(self) -> str:
        return (
            f"{self.name} gradient x{_in_rms(self.gradient)}, activation "
            f"x{_in_rms(self.activation)}"
        )

    @property
    def size(self) -> float:
        """The larger of the two, without its sign; 0 where neither is known."""
        return max(
            (abs(value) for value in (self.gradient, self.activation) if isfinite(value)),
            default=0.0,
        )


@dataclass(frozen=True, eq=False)
class TraceComparison(Drawable):
    """changes: of the operations that both traces have, as they run before. / only_before,
    only_after: names of the others.

    growths: of the gradients before and after, None where there is none to trust; standard_errors:
    how far the second rate lies from the first, by Student's t as a standard normal deviate; nan
    without both.
    """

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    growths: tuple[Growth | None, Growth | None]
    standard_errors: float
    before: Trace
    after: Trace

    @property
    def largest(self) -> tuple[Change, ...]:
        """Operations in the order of how much they differ."""
        return tuple(sorted(self.changes, key=lambda change: -change.size))

    def __getitem__(self, name: str) -> Change:
        return next(change for change in self.changes if change.name == name)

    def __repr__(self) -> str:
        alone = f"{len(self.only_before)} before and {len(self.only_after)} after alone"
        lines = [f"TraceComparison: {len(self.changes)} operations in both, {alone}"]
        lines += [
            f"  growth {when}: {found}"
            for when, found in zip(("before", "after"), self.growths, strict=True)
            if found is not None
        ]
        if isfinite(self.standard_errors):
            lines.append(
                f"  apart by a normal deviate of {self.standard_errors:+.1f}, {AS_UNLIKELY}"
            )
        changed = [change for change in self.largest[:_SHOWN] if change.size > _ALIKE]
        lines += [f"  after over before, in RMS: {change}" for change in changed]
        return "\n".join(
            lines
            if changed
            else [*lines, "  each has the gradient and the activation that it had before"]
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row an operation that both have. / raises: MissingPackage where
        pandas is not installed."""
        return rows_frame(self.changes, ("gradient", "activation"), "operation", index="name")


@overload
def compare(a: Profile, b: Profile) -> Comparisons: ...


@overload
def compare(a: Trace, b: Trace) -> TraceComparison: ...


def compare(a: Profile | Trace, b: Profile | Trace) -> Comparisons | TraceComparison:
    """How far a profile lies from another, as measured from theory; or what changed from a trace,
    a, to the next, b.

    Of profiles: for "gradient", "activation" and "preactivation_batch_variance", layer by layer, by
    Student's t over the standard errors of both together, as if independent; layers of one network
    are not independent of each other. Of traces of one model before and after a change: operations
    of the same name, and the rates of growth.
    raises: ValueError for different depths; InvalidProbe where no operation of one trace has its
    name in the other.
    """
    if isinstance(a, Trace) and isinstance(b, Trace):
        return _compare_traces(a, b)
    if not (isinstance(a, Profile) and isinstance(b, Profile)):
        raise TypeError(
            f"compare takes two Profiles or two Traces, got {type(a).__name__} and "
            f"{type(b).__name__}"
        )
    if a.depth != b.depth:
        raise ValueError(
            f"profiles of {a.depth} and {b.depth} layers cannot be compared layer by layer; give "
            "equal depths"
        )
    degrees = sum(profile.seeds for profile in (a, b)) - sum(
        profile.seeds > 0 for profile in (a, b)
    )
    names = ("gradient", "activation", "preactivation_batch_variance")
    return Comparisons(
        {name: _compare(getattr(a, name), getattr(b, name), degrees) for name in names}, a, b
    )


def _compare(a: Quantity, b: Quantity, degrees: int) -> Comparison:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log2_ratio = a.log2_mean_square - b.log2_mean_square
        ratio = np.exp2(log2_ratio)
        stderr = np.hypot(ratio * a.relative_stderr, ratio * b.relative_stderr)
        t = np.where(stderr > 0, (ratio - 1) / stderr, np.nan)
        return Comparison(log2_ratio, stderr, normal_deviate(t, degrees))


def _compare_traces(before: Trace, after: Trace) -> TraceComparison:
    old, new = ({op.name: op for op in trace.ops} for trace in (before, after))
    both = [name for name in old if name in new and old[name].op == new[name].op != "input"]
    if not both:
        raise InvalidProbe(
            f"no operation of {before.model} has its name in {after.model} "
            f"({_first_names(before)} against {_first_names(after)}): "
            "compare one model's traces before and after a change"
        )
    growths = _growth_or_none(before), _growth_or_none(after)
    return TraceComparison(
        changes=tuple(_change(old[name], new[name]) for name in both),
        only_before=tuple(name for name in old if name not in both and old[name].op != "input"),
        only_after=tuple(name for name in new if name not in both and new[name].op != "input"),
        growths=growths,
        standard_errors=_apart(*growths),
        before=before,
        after=after,
    )


def _change(old: TracedOp, new: TracedOp) -> Change:
    gradient, activation = (
        _difference(new, old, of) for of in ("log2_gradient_ms", "log2_activation_ms")
    )
    return Change(old.name, gradient, activation)


def _difference(new: TracedOp, old: TracedOp, of: str) -> float:
    a, b = getattr(new, of), getattr(old, of)
    return 0.0 if a == b else a - b  # both may be -inf: exactly 0


def _growth_or_none(trace: Trace) -> Growth | None:
    try:
        return growth(trace)
    except UnreliableGrowth:
        return None


def _apart(before: Growth | None, after: Growth | None) -> float:
    """Welch's t of two rates' logarithms, with the fewer degrees of freedom of the two (too few
    rather than too many)."""
    if before is None or after is None:
        return nan
    t = (log(after.rate) - log(before.rate)) / hypot(after.log_stderr, before.log_stderr)
    return float(normal_deviate(np.array(t), min(after.degrees, before.degrees)))


def _in_rms(log2_ms: float) -> str:
    return (
        f"{2.0 ** (log2_ms / 2):.4g}"
        if abs(log2_ms) < _HELD
        else f"2^{log2_ms / 2:.0f}"
        if isfinite(log2_ms)
        else "?"
    )


def _first_names(trace: Trace) -> str:
    return ", ".join([op.name for op in trace.ops if op.op != "input"][:3])
