"""The way on which most of a gradient comes from the loss to one operation, and what each operation
on it makes of it."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.branches import fan_in_variance
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import fold_of, place
from depthscale.measure import Analysis
from depthscale.run import Reading

_NAMED = 3  # operations
_ALONE = 0.7  # of the whole change, from where on one operation is its cause
_SUITED = (
    0.5,
    4.0,
)  # fan_in x variance between what suits no activation and what suits a steep one


@dataclass(frozen=True)
class Route:
    """parts: log2 of what each operation makes of the squared norm, largest effect in the direction
    of the change first; they add up to change, what several ways that meet add to each other
    included."""

    change: float
    parts: tuple[tuple[Reading, float], ...]

    @property
    def kinds(self) -> tuple[tuple[str, float, int], ...]:
        """Kind of operation, its part, and how many of it, the largest part in the direction of the
        change first."""
        each: dict[str, list[float]] = defaultdict(list)
        for op, part in self.parts:
            each[op.op].append(part)
        sign = 1 if self.change > 0 else -1
        return tuple(
            sorted(((k, sum(v), len(v)) for k, v in each.items()), key=lambda kind: -sign * kind[1])
        )


def route_to(case: Analysis, op: Reading) -> Route:
    """From an operation up to the loss, at every fork by the edge that hands on the most."""
    handed: dict[int, list[tuple[float, Reading]]] = defaultdict(list)
    for reader in case.trace.ops:
        for edge in reader.edges:
            handed[edge.source].append((edge.log2_left, reader))
    parts: dict[int, float] = defaultdict(float)
    here, first = op, op.log2_arrived
    while handed[here.id]:
        most, reader = max(handed[here.id], key=lambda each: each[0])
        parts[here.id] += here.log2_arrived - most
        parts[reader.id] += most - reader.log2_arrived
        here = reader
    change = first - here.log2_arrived
    sign = 1 if change > 0 else -1
    order = sorted(parts.items(), key=lambda each: -sign * each[1])
    return Route(change, tuple((case.trace.ops[i], part) for i, part in order))


def told(case: Analysis, route: Route) -> tuple[Reading, str, str, str]:
    """Who does it. / returns: the operation to name, a sentence, half a sentence for the verdict,
    and what to try."""
    op, part = route.parts[0]
    if part / route.change > _ALONE:
        return (
            op,
            _alone(case, op, part),
            f", by {place(op.name)} alone",
            _advice(op, _others(case, op)),
        )
    kind, whole, count = route.kinds[0]
    most = [each for each in route.parts if each[0].op == kind][:_NAMED]
    named = ", ".join(f"{place(each.name)} ({fold_of(by)})" for each, by in most)
    sizes = [
        size
        for each, _ in route.parts
        if each.op == kind and (size := fan_in_variance(each)) is not None
    ]
    weights = (
        f". Their weights have fan_in x variance {median(sizes):.3g} in the median" if sizes else ""
    )
    says = (
        f"{kind} does it: the {count} on the way multiply the norm by {fold_of(whole)}, most "
        f"of all {named}{weights}"
    )
    return (
        most[0][0],
        says,
        f", by {kind} (most at {place(most[0][0].name)})",
        _advice(most[0][0], None),
    )


def _others(case: Analysis, op: Reading) -> float | None:
    """Median of fan_in x variance of the other maps of its kind."""
    sizes = [
        size
        for each in case.trace.ops
        if each.op == op.op and each is not op and (size := fan_in_variance(each)) is not None
    ]
    return median(sizes) if sizes else None


def _alone(case: Analysis, op: Reading, part: float) -> str:
    size, others = fan_in_variance(op), _others(case, op)
    weights = f"; its weights have fan_in x variance {size:.3g}" if size is not None else ""
    beside = f", the others {others:.3g} in the median" if weights and others is not None else ""
    return (
        f"{place(op.name)} ({op.op}) alone multiplies the norm by {fold_of(part)}{weights}{beside}"
    )


def _advice(op: Reading, others: float | None) -> str:
    size = fan_in_variance(op)
    if size is not None and not _SUITED[0] <= size <= _SUITED[1]:
        as_others = (
            "as the others are"
            if others is not None
            else "with a variance of 2 / fan_in for relu, 1 / fan_in for tanh"
        )
        return f"draw these weights {as_others} (torch.nn.init.kaiming_normal_)"
    return advice_on(Trouble.ON_THE_WAY)
