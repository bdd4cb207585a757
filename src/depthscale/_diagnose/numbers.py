"""Rules on the numbers themselves: not finite, exactly 0, deleted by a norm, too small or too large
for a format."""

from collections.abc import Iterator
from math import inf, isfinite, log2

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.not_finite import LARGEST, not_finite
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import place
from depthscale.measure import Analysis, Factor, Growth, flow
from depthscale.network import Hazard, is_derivative
from depthscale.run import FateReason, Reading
from depthscale.sketch import FORMATS, Sketch

# the smallest number of each
_QUANTUM = {name: 2 * FORMATS[name].largest_lost for name in ("float16", "bfloat16")}
_LOG2_QUANTUM = {name: log2(quantum) for name, quantum in _QUANTUM.items()}
_FORESEEN = 4.0  # times as many steps as were measured
_ROOM = 4.0  # below the largest number of a type, from where on it is near
# log2 of what float32's sums leave of an exact 0, relative to the RMS: it may be lost
_ROUNDING = -22.0


def number_findings(case: Analysis) -> Iterator[Finding]:
    """Not finite first: where that reaches an end, nothing else of this file is worth saying."""
    broken = list(not_finite(case))
    yield from broken
    if not any(finding.severity == "error" for finding in broken):
        yield from _near_the_limit(case)
        yield from _deleted(case)
        yield from _swallowed(case)
        yield from _lost(case)


def _near_the_limit(case: Analysis) -> Iterator[Finding]:
    """Values within a factor of the largest number of the model's own type."""
    near = [(op, share) for op in case.trace.ops if (share := _share_of_limit(op)) * _ROOM > 1]
    if not near:
        return
    op, share = max(near, key=lambda each: each[1])
    largest, more = LARGEST[op.dtype], len(near) - 1
    others = f" ({more} more such operations)" if more else ""
    yield Finding(
        "activation-near-overflow",
        "warn",
        op.name,
        f"its values reach {share * largest:,.4g}, and {op.dtype} ends at {largest:,.5g}{others}",
        {"largest": share * largest, "limit": largest, "operations": len(near)},
        "IEEE 754",
        advice_on(Trouble.NEAR_LIMIT, op.hazard),
    )


def _share_of_limit(op: Reading) -> float:
    """Of the largest number of its type; what masks away is meant to be as large."""
    if op.activation is None or op.hazard is Hazard.RANDOM:
        return 0.0
    if op.dtype not in LARGEST or not op.activation.finite:
        return 0.0
    share = op.activation.max_magnitude() / LARGEST[op.dtype]
    if share * _ROOM > 1 and op.hazard in (Hazard.SELECTION, Hazard.SUM):
        return max(op.activation.quantile(1.0), 0.0) / LARGEST[op.dtype]
    return share


def _deleted(case: Analysis) -> Iterator[Finding]:
    """Where nothing is left of a gradient: said of the operation that is to blame, which may lie
    below, where the signal ends."""

    if case.deleted is None:
        return
    op, gain = case.deleted
    if is_derivative(op.op):
        return  # of a gradient that is taken inside, the constant terms have none
    evidence = {
        "log2_gain_norm2": gain if isfinite(gain) else None,
        "threshold": case.thresholds.deleted,
    }
    if any(p.fate.reason is FateReason.WAITS and p.fate.op == op.id for p in case.trace.params):
        yield Finding(
            "gradient-deleted",
            "info",
            op.name,
            f"no gradient passes {op.op} yet, as its weights are 0 and learn first",
            evidence,
            "arXiv:1706.02677",
        )
        return
    if case.silenced is not None and not _is_always_flat(case.silenced):
        yield _silent(case.silenced, op, evidence)
        return
    if case.silenced is not None:
        op = case.silenced
    says, source, advice = _on_deletion(case, op)
    yield Finding(
        "gradient-deleted",
        "error",
        op.name,
        f"{says}; everything below it gets none",
        evidence,
        source,
        advice,
    )


def _on_deletion(case: Analysis, op: Reading) -> tuple[str, str, str]:
    """Why nothing is left of a gradient behind an operation, the source, and what to try."""
    says = f"no gradient passes {op.op}"
    if op.norm is not None and not any(
        ms == 0 and name.endswith("weight") for name, _, ms in op.weights
    ):
        given = case.trace.loss in ("shared", "callable", "output")
        shared = " of a loss that is the same for all samples" if given else ""
        return (
            f"{says}: what {op.op} subtracts from the gradient is all there was{shared}",
            "arXiv:1902.08129",
            advice_on(Trouble.SUBTRACTED),
        )
    if op.settings.get("classes") == 1:
        why = f"{says}: over one class it is 0 whatever the model does"
        return why, "", advice_on(Trouble.ONE_CLASS)
    if op.hazard is Hazard.STEP:
        says = f"{says}, which is constant between its steps"
    elif op.hazard is Hazard.ASSEMBLY:
        says = (
            f"the output does not depend on what comes into {op.op} from below: what it is put "
            "beside gets all of the gradient"
        )
    return says, "", advice_on(Trouble.ZEROED, op.hazard)


def _is_always_flat(op: Reading) -> bool:
    """Whether an operation has no gradient whatever comes in."""
    return op.hazard is Hazard.STEP or op.settings.get("classes") == 1


def _silent(root: Reading, op: Reading, evidence: dict[str, float | None]) -> Finding:
    """The signal ends at root, on every path, so that no gradient passes op, which is the same or
    lies above."""
    zeros = next((name for name, _, ms in root.weights if name and ms == 0), None)
    why = "its output is 0 for every sample of the batch" + (f", as {zeros} is" if zeros else "")
    above = (
        f"; behind it the signal is 0, so that none passes {place(op.name)} either"
        if op.id > root.id
        else ""
    )
    return Finding(
        "gradient-deleted",
        "error",
        root.name,
        f"no gradient passes {root.op}: {why}{above}; everything below gets none",
        {**evidence, "dead": root.dead},
        "arXiv:1903.06733" if root.dead else "",
        advice_on(Trouble.ZERO_WEIGHTS if zeros else Trouble.SILENT, root.hazard),
    )


def _swallowed(case: Analysis) -> Iterator[Finding]:
    """An operation whose backward pass returns None where a gradient was asked for; bad where no
    other path leads on."""
    swallowed = flow(case.trace).swallowed
    if not swallowed:
        return
    names = case.trace.ops
    (op, below), more = (
        swallowed[0],
        f" ({len(swallowed) - 1} more such)" if len(swallowed) > 1 else "",
    )
    whole = not case.trace.sources
    rest = (
        "nothing else leads to the inputs, so none of them gets any"
        if whole
        else "what lies below gets its gradient elsewhere"
    )
    yield Finding(
        "gradient-deleted",
        "error" if whole else "info",
        names[op].name,
        f"the backward pass of {names[op].op} returns no gradient (None) for "
        f"{names[below].name}{more}; {rest}",
        {"operations": len(swallowed)},
        "",
        advice_on(Trouble.SWALLOWED) if whole else "",
    )


def _lost(case: Analysis) -> Iterator[Finding]:
    """Shares that a format would lose: of the model's own type a warning, of another a remark."""
    enough = case.thresholds.lost_info
    seen = [
        (op, what, sketch, sketch.log2_mean_square())
        for op in case.trace.ops
        if op.gradient is not None
        for what, sketch in (("gradient", op.gradient), ("activation", op.activation))
        if sketch is not None and sketch.count
    ]
    for name in _QUANTUM:
        losses = [
            (share, how, op, what)
            for op, what, sketch, level in seen
            for how, share in (
                ("0", _underflow(sketch, name, op.dtype, level)),
                ("infinite", _overflow(op, what, sketch, name, level, enough)),
            )
            if share > enough
        ]
        if not losses:
            continue
        share, how, op, what = max(losses, key=lambda loss: loss[0])
        own = op.dtype == name
        gone = (
            own
            and what == "gradient"
            and any(-inf in each.log2_gradient_norm2 for each in case.trace.ops)
        )
        warn = own and share > case.thresholds.lost_warn
        own_loss = case.trace.loss in ("callable", "output")
        if own_loss and not own and what == "gradient":
            continue  # a loss is scaled in 16 bits, by as much as it takes
        drawn = " (with cotangents of RMS 1)" if what == "gradient" and not own_loss else ""
        said = f"{'becomes' if own else 'would become'} {how} in {name}{drawn}"
        said += "; below, all of it" if gone else _depth(case, name, what)
        yield Finding(
            f"{what}-{'underflows' if how == '0' else 'overflows'}-{name}",
            "error" if gone else "warn" if warn else "info",
            op.name,
            f"{share:.1%} of the {what} {said}",
            {
                "share": share,
                "threshold": case.thresholds.lost_warn if warn else case.thresholds.lost_info,
            },
            "IEEE 754; arXiv:1710.03740",
            advice_on(Trouble.UNDERFLOW) if warn or gone else "",
        )


def underflows(case: Analysis) -> bool:
    """Whether gradients become 0 in the model's own type."""
    return any(
        _own_underflow(op.gradient, op.dtype) > case.thresholds.lost_info
        for op in case.trace.ops
        if op.gradient is not None and op.gradient.count and op.dtype in _QUANTUM
    )


def _underflow(sketch: Sketch, name: str, dtype: str, level: float) -> float:
    """Share of values that become 0. / level: log2 of their mean square."""
    if dtype == name:
        return _own_underflow(sketch, name)
    return 0.0 if level / 2 + _ROUNDING > _LOG2_QUANTUM[name] else sketch.underflow(name)


def _own_underflow(sketch: Sketch, name: str) -> float:
    """The same in a tensor that is of this format already, where they are 0: as the density of
    small values is flat, those below half the smallest number are half as many as those that are
    it."""
    quantum = _QUANTUM[name]
    below, _, above = sketch.histogram([-1.5 * quantum, -quantum / 2, quantum / 2, 1.5 * quantum])
    kept = sketch.count - sketch.zeros
    return min(1.0, float(below + above) / 2 / kept) if kept else 0.0


def _overflow(
    op: Reading, what: str, sketch: Sketch, name: str, level: float, enough: float
) -> float:
    """Share of values beyond a format's end; 0 where Chebyshev's bound, their mean square over the
    end's, is not enough. What a mask makes negative is meant to be as large."""
    if enough and level - 2 * log2(FORMATS[name].largest_kept) < log2(enough):
        return 0.0
    if what == "activation" and op.hazard in (Hazard.SELECTION, Hazard.SUM):
        return float(sketch.histogram([FORMATS[name].largest_kept, inf])[0]) / sketch.count
    return sketch.overflow(name)


def _depth(case: Analysis, name: str, what: str) -> str:
    """After how many steps the RMS itself reaches the format's end, at the rate found."""
    growth = case.gradient if what == "gradient" else case.activation
    if (
        not isinstance(growth, Growth)
        or abs(growth.z_score) < case.thresholds.z_score
        or not isinstance(growth.law, Factor)
    ):
        return ""
    smallest, largest = log2(_QUANTUM[name]), log2(FORMATS[name].largest_kept)
    per_step = log2(growth.rms_rate)
    if not per_step or case.depth is None or what != "gradient":
        return ""
    start = case.trace.ops[case.depth.pairs[-1][1]].log2_gradient_ms / 2
    reached = ((largest if per_step > 0 else smallest) - start) / per_step
    return (
        f"; at this rate its RMS leaves {name} after {reached:.0f} steps of depth"
        if growth.steps < reached <= _FORESEEN * growth.steps
        else ""
    )


NUMBERS = Check(
    number_findings,
    (
        Rule(
            (
                "activation-not-finite",
                "gradient-not-finite",
            ),
            "NaN or infinities, those of masks left out: the operation that made the first, even "
            "where a later one takes them away",
        ),
        Rule(
            ("activation-near-overflow",),
            "values within a factor 4 of the largest number of the model's own type",
            "IEEE 754",
        ),
        Rule(
            ("gradient-deleted",),
            "an operation leaves nothing of the gradient, as a last norm does of a shared "
            "loss; where the signal ends at a dead layer, that is named",
            "arXiv:1902.08129",
        ),
        Rule(
            (
                "gradient-underflows",
                "gradient-overflows",
                "activation-underflows",
                "activation-overflows",
            ),
            "values that float16 or bfloat16 loses; a warning in the model's own type, else "
            "a remark",
            "IEEE 754; arXiv:1710.03740",
        ),
    ),
)
