"""StepRow: a step in the few numbers that a person reads, and how they are read from its run."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, nan
from statistics import median

from depthscale._diagnose import saturated
from depthscale.measure import Analysis, Growth
from depthscale.run import Reading, Run

_LARGEST = 1000.0  # log2 of a factor that float64 holds


@dataclass(frozen=True)
class StepFacts:
    """What is known of a step beside its run.

    Attributes:
        loss: of its last backward pass; nan where it was no number.
        scale: of the loss; scale_known: whether somebody told it.
        skipped: whether a GradScaler keeps the optimizer from a step whose gradients overflowed.
        passes: backward passes that were seen.
        optimizer_steps: of all optimizers.
        clipped: by what gradients were multiplied before the optimizer; nan where not known.
        dropped: what went wrong, in words.
    """

    loss: float = nan
    scale: float = 1.0
    scale_known: bool = True
    skipped: bool = False
    passes: int = 0
    optimizer_steps: int = 0
    clipped: float = nan
    dropped: tuple[str, ...] = ()


def _column(heading: str) -> float:
    return field(default=nan, metadata={"heading": heading})  # type: ignore[return-value]


def _place(heading: str) -> str:
    return field(default="", metadata={"heading": heading})  # type: ignore[return-value]


@dataclass(frozen=True)
class StepRow:
    """One sampled step; nan where there is no such number.

    Attributes:
        step: its number; loss: the user's.
        rate, stderr: of the gradient's mean square, per step of depth.
        total: log2 of the gradient's RMS at the first place of depth over that at the last.
        worst, worst_factor: where the gradient's RMS changes most over one step of depth.
        activation_rate: of the activation's mean square, per step of depth.
        dead, dead_at: largest share of dead units.
        saturated, saturated_at: largest share of an activation's values at its ends.
        lost, lost_at: largest share of a gradient's values that float16 would lose at this scale.
        nonfinite, nonfinite_at: operations with values that are not finite, and the first of them.
        update, update_most, update_at: median and largest relative update of a parameter.
        clipped, scale: as of StepFacts.
    """

    step: int
    loss: float = _column("loss")
    rate: float = _column("growth of the squared gradient per step of depth")
    stderr: float = _column("± standard error")
    total: float = _column("log2 of gradient RMS, first over last")
    worst: str = _place("changes most at")
    worst_factor: float = _column("by a factor of RMS")
    activation_rate: float = _column("growth of the squared signal per step of depth")
    dead: float = _column("dead units, most")
    dead_at: str = _place("at")
    saturated: float = _column("saturated values, most")
    saturated_at: str = _place("at")
    lost: float = _column("lost in float16, most")
    lost_at: str = _place("at")
    nonfinite: float = _column("operations with values not finite")
    nonfinite_at: str = _place("first")
    update: float = _column("relative update, median")
    update_most: float = _column("largest")
    update_at: str = _place("at")
    clipped: float = _column("gradients multiplied by")
    scale: float = _column("loss scale")


def row_of(step: int, run: Run, facts: StepFacts) -> StepRow:
    """The numbers of a sampled step."""
    analysis = Analysis.of(run)
    gradient, activation = analysis.gradient, analysis.activation
    worst, worst_factor, total = _along_depth(analysis)
    dead, dead_at = _most((op, op.dead) for op in run.ops)
    saturated, saturated_at = _most((op, _saturation(op)) for op in run.ops)
    lost, lost_at = _most(
        (op, op.gradient.underflow("float16", facts.scale))
        for op in run.ops
        if op.gradient is not None and op.gradient.finite
    )
    bad = [op for op in run.ops if is_nonfinite(op)]
    moves = [(p.name, p.update) for p in run.params if p.update is not None and isfinite(p.update)]
    update_at, update_most = max(moves, key=lambda each: each[1], default=("", nan))
    return StepRow(
        step,
        facts.loss,
        rate=gradient.rate if isinstance(gradient, Growth) else nan,
        stderr=gradient.stderr if isinstance(gradient, Growth) else nan,
        total=total,
        worst=worst,
        worst_factor=worst_factor,
        activation_rate=activation.rate if isinstance(activation, Growth) else nan,
        dead=dead,
        dead_at=dead_at,
        saturated=saturated,
        saturated_at=saturated_at,
        lost=lost,
        lost_at=lost_at,
        nonfinite=float(len(bad)),
        nonfinite_at=bad[0].name if bad else "",
        update=median(value for _, value in moves) if moves else nan,
        update_most=update_most,
        update_at=update_at,
        clipped=facts.clipped,
        scale=facts.scale,
    )


def is_nonfinite(op: Reading) -> bool:
    """Whether values or gradients of an operation are infinite or no numbers."""
    sketches = (each for each in (op.activation, op.gradient) if each is not None)
    return any(each.finite < each.count for each in sketches)


def _saturation(op: Reading) -> float | None:
    """Of an activation's values, where it has ends."""
    ends = op.phi.ends if op.phi is not None else None
    return None if ends is None or op.activation is None else saturated(op.activation, ends)


def _along_depth(analysis: Analysis) -> tuple[str, float, float]:
    """Where the gradient's RMS changes most over a step of depth, by what factor, and log2 of the
    whole change."""
    depth, run = analysis.depth, analysis.trace
    places = (
        [run.ops[i] for i in sorted({op for pair in depth.pairs for op in pair})]
        if depth is not None
        else [op for op in analysis.dominators if op.module != "loss"]
    )
    levels = [(op, op.log2_gradient_ms / 2) for op in places if isfinite(op.log2_gradient_ms)]
    if len(levels) < 2:
        return "", nan, nan
    steps = [(above.name, lower - upper) for (_, lower), (above, upper) in pairwise(levels)]
    name, change = max(steps, key=lambda each: abs(each[1]))
    factor = 2.0**change if abs(change) < _LARGEST else nan
    return name, factor, levels[0][1] - levels[-1][1]


def _most(shares: Iterable[tuple[Reading, float | None]]) -> tuple[float, str]:
    known = [(share, op.name) for op, share in shares if share is not None]
    share, name = max(known, key=lambda each: each[0], default=(nan, ""))
    return share, name if share > 0 else ""
