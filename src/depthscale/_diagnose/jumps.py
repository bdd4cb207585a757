"""Rule on one step of depth that is not like the others: the gradient changes there at once, by one
operation."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, log2
from statistics import median

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.branches import fan_in_variance
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import decades, place
from depthscale.measure import Analysis, Growth, Ledger
from depthscale.numerics import two_to
from depthscale.run import Paths, Reading, kept
from depthscale.theory import ends

# of a normal distribution's standard deviation over its median distance from the median
_NORMAL = 1.4826


@dataclass(frozen=True)
class Jump:
    """A step that changes the gradient much more than the others.

    Attributes:
        where: the operation that does it.
        log2_step: what the mean square changes by over its step.
        usual: over the others, in the median.
        steps: how many others.
        harmless: as a last layer that begins small, which is usual.
    """

    where: Reading
    log2_step: float
    usual: float
    steps: int
    harmless: bool = False

    @property
    def odd(self) -> float:
        return self.log2_step - self.usual


def jumps(analysis: Analysis) -> list[Jump]:
    """Jumps of a hundredfold in mean square or more, in the bulk or at its ends, the largest that
    is not harmless first."""
    steps = [*_inside(analysis), *_at_the_ends(analysis)]
    return sorted(steps, key=lambda jump: (jump.harmless, -abs(jump.odd)))


def jump_finding(analysis: Analysis, steps: list[Jump]) -> Finding:
    """One finding for all jumps, at the first."""
    jump, thresholds = steps[0], analysis.thresholds
    change = two_to(abs(jump.odd))
    severity = "info" if jump.harmless else thresholds.severity(change)
    verb = "grows" if jump.odd > 0 else "shrinks"
    fold = f"{verb} {decades(jump.log2_step)} in RMS"
    more = f" ({len(steps) - 1} more such steps)" if len(steps) > 1 else ""
    return Finding(
        "gradient-jumps",
        severity,
        jump.where.name,
        f"in one step of depth the gradient {fold} towards the input, in the other {jump.steps} by "
        f"x{two_to(jump.usual / 2):.3g} in the median{more}{_weights(analysis, jump.where)}",
        {
            "log2_step": jump.log2_step,
            "log2_usual": jump.usual,
            "steps": jump.steps,
            "change": change,
            "threshold_change": thresholds.change_of(severity),
            "jumps": len(steps),
            "fan_in_variance": fan_in_variance(jump.where),
        },
        "arXiv:1502.01852",
        advice_on(Trouble.JUMP) if severity != "info" else "",
        f"the gradient jumps at {place(jump.where.name)}: {fold} in one step of depth",
    )


def _inside(analysis: Analysis) -> Iterator[Jump]:
    """Steps of the bulk that lie far from the median of all, as wide as those spread."""
    sizes = _sizes(analysis)
    if len(sizes) < analysis.thresholds.jump_steps:
        return
    usual, far = _usual(analysis, sizes)
    for k, size in enumerate(sizes):
        if abs(size - usual) > far:
            yield Jump(_oddest(analysis, k, size > usual), size, usual, len(sizes) - 1)


def _usual(analysis: Analysis, sizes: list[float]) -> tuple[float, float]:
    """The median of some, and how far from it one is odd: a hundredfold, and as far as they spread.
    / all in log2."""
    usual, thresholds = median(sizes), analysis.thresholds
    spread = _NORMAL * median(abs(size - usual) for size in sizes)
    far = thresholds.jump_spreads * max(spread, thresholds.jump_least_spread)
    return usual, max(log2(thresholds.warn_change), far)


def _sizes(analysis: Analysis) -> list[float]:
    """log2 of what each step of the bulk does to the gradient's mean square; nothing where there is
    no rate."""
    ops, pairs = (
        analysis.trace.ops,
        analysis.depth.pairs if analysis.depth and isinstance(analysis.gradient, Growth) else (),
    )
    return [ops[below].log2_gradient_ms - ops[top].log2_gradient_ms for below, top in pairs]


def _oddest(analysis: Analysis, k: int, grows: bool) -> Reading:
    """Of a step's operations the one that does most beyond what its kind does in the median of all
    steps."""
    assert analysis.depth is not None
    below, top = analysis.depth.pairs[k]
    if not isinstance(analysis.ledger, Ledger):
        return analysis.trace.ops[top]
    odd = kept(analysis, "_odd_parts", lambda: _odd_parts(analysis))
    here = [op for op in analysis.trace.ops[below + 1 : top + 1] if op.id in odd]
    sign = 1 if grows else -1
    return max(here, key=lambda op: sign * odd[op.id], default=analysis.trace.ops[top])


def _odd_parts(analysis: Analysis) -> dict[int, float]:
    """By operation of the bulk its part of the gradient's change beyond what its kind has in the
    median."""
    assert isinstance(analysis.ledger, Ledger)
    assert analysis.depth is not None
    by_kind: dict[str, dict[int, float]] = defaultdict(dict)
    for entry in analysis.ledger.entries:
        if entry.id in analysis.depth:
            by_kind[analysis.trace.ops[entry.id].op][entry.id] = entry.backward
    usual = {kind: median(parts.values()) for kind, parts in by_kind.items()}
    return {op: part - usual[kind] for kind, parts in by_kind.items() for op, part in parts.items()}


def _at_the_ends(analysis: Analysis) -> Iterator[Jump]:
    """Before the first whole step and after the last one nothing repeats: there a jump must come
    with weights of an odd size. Beside one branch other paths lead there."""
    depth, ops = analysis.depth, analysis.trace.ops
    if depth is None or depth.paths is Paths.ONE_BRANCH:
        return
    crossed = {op.id for op in analysis.dominators}
    weights = [log2(size) for op in analysis.bulk if (size := fan_in_variance(op))]
    steps = _sizes(analysis)
    sources = [op for op, _ in analysis.trace.sources if op in crossed]
    if min(len(weights), len(steps)) < analysis.thresholds.jump_steps or not sources:
        return
    (usual, far), (usual_size, far_size) = (_usual(analysis, each) for each in (steps, weights))
    first, last = depth.pairs[0][0], depth.pairs[-1][1]
    for low, high in ((sources[0], first), (last, ends(analysis.trace)[0])):
        change = ops[low].log2_gradient_ms - ops[high].log2_gradient_ms
        if not isfinite(change) or abs(change - usual) <= far:
            continue
        for op in ops[low + 1 : high + 1]:
            size = fan_in_variance(op) if op.id in crossed else None
            apart = log2(size) - usual_size if size else 0.0
            if abs(apart) > far_size and apart * (change - usual) > 0:
                harmless = low == last and change < usual
                yield Jump(op, change, usual, len(steps), harmless)


def _weights(analysis: Analysis, op: Reading) -> str:
    size = fan_in_variance(op)
    others = [
        variance
        for other in analysis.bulk
        if other is not op and (variance := fan_in_variance(other)) is not None
    ]
    if size is None or not others:
        return ""
    return (
        f". The weights of {place(op.name)} have fan_in x variance {size:.3g}, those of the "
        f"others {median(others):.3g} "
        "in the median"
    )
