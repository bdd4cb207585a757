"""Rules on the numbers themselves: not finite, exactly 0, deleted by a norm, too small or too large
for a format."""

from collections.abc import Iterator
from math import inf, isfinite, log2

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.words import place
from depthscale.measure import Analysis, Factor, Growth, flow, mean_over_repeats
from depthscale.run import Reading
from depthscale.sketch import FORMATS, Sketch

_QUANTUM = {"float16": 2.0**-24, "bfloat16": 2.0**-133}  # the smallest number
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float32": 3.4028e38}
_NEAR = 2.0**8  # below the largest number, from where on a sum of products overflows
_LOOK = "look at what this operation divides by, takes a root or a logarithm of, or sums up"
_ROOM = (
    "keep the values smaller from layer to layer (by the weights' variance, or a norm), or "
    "compute in a type of wider range"
)
# log2 of what float32's sums leave of an exact 0, relative to the RMS: it may be lost
_ROUNDING = -22.0


def number_findings(case: Analysis) -> Iterator[Finding]:
    """Not finite first: where that is so, nothing else of this file is worth saying."""
    broken = list(_not_finite(case))
    yield from broken
    if not broken:
        yield from _deleted(case)
        yield from _swallowed(case)
        yield from _lost(case)


def _not_finite(case: Analysis) -> Iterator[Finding]:
    ops = case.trace.ops
    spoilt = next((op for op in ops if op.activation is not None and op.activation.nans), None)
    if spoilt is None and ops and _infinite(ops[-1]):
        spoilt = ops[-1]  # infinities elsewhere are masks that a softmax makes 0
    if spoilt is not None:
        while (
            before := next((ops[i] for i in spoilt.reads if _infinite(ops[i])), None)
        ) is not None:
            spoilt = before
        assert spoilt.activation is not None
        wrong = next((name for name, _, ms in spoilt.weights if not isfinite(ms)), None)
        why = f"its parameter {wrong} holds them" if wrong else "its inputs are finite"
        overflow = (
            ""
            if wrong or spoilt.activation.nans
            else _outgrown(spoilt, [ops[i] for i in spoilt.reads])
        )
        why = "the input holds them" if spoilt.is_input else overflow or why
        yield _first(spoilt, spoilt.activation, "activation", why, _ROOM if overflow else _LOOK)
        return
    for op in reversed(case.trace.ops):
        if op.gradient is not None and (op.gradient.nans or op.gradient.infs):
            above = [
                reader
                for reader in case.trace.ops
                if any(edge.source == op.id for edge in reader.edges)
            ]
            where = above[0] if above else op
            why = f"what arrived there was finite, what it hands to {op.name} is not"
            yield _first(where, op.gradient, "gradient", why, _LOOK)
            return


def _infinite(op: Reading) -> bool:
    return op.activation is not None and bool(op.activation.nans or op.activation.infs)


def _outgrown(op: Reading, reads: list[Reading]) -> str:
    """Why an operation's values are infinite, where what it reads comes near to the largest number
    of its type."""
    before = max(
        (each.activation.max_magnitude() for each in reads if each.activation is not None),
        default=0.0,
    )
    largest = _LARGEST.get(op.dtype, inf)
    if not before > largest / _NEAR:
        return ""
    return f"its inputs reach {before:,.4g}, and {op.dtype} ends at {largest:,.6g}"


def _first(op: Reading, sketch: Sketch, what: str, why: str, advice: str) -> Finding:
    counted = [
        f"{n:,} {name}" for n, name in ((sketch.nans, "NaNs"), (sketch.infs, "infinities")) if n
    ]
    return Finding(
        f"{what}-not-finite",
        "error",
        op.name,
        f"{' and '.join(counted)} among {sketch.count:,} values of the {what} first appear here; "
        f"{why}",
        {"nans": sketch.nans, "infinities": sketch.infs, "count": sketch.count},
        "",
        advice,
    )


def _deleted(case: Analysis) -> Iterator[Finding]:
    """Where nothing is left of a gradient: said of the operation that is to blame, which may lie
    below, where the signal ends."""

    if case.deleted is None:
        return
    op, gain = case.deleted
    evidence = {
        "log2_gain_norm2": gain if isfinite(gain) else None,
        "threshold": case.thresholds.deleted,
    }
    if case.silenced is not None:
        yield _silent(case.silenced, op, evidence)
        return
    norm = op.norm is not None and not any(
        ms == 0 and name.endswith("weight") for name, _, ms in op.weights
    )
    shared = (
        " of a loss that is the same for all samples"
        if case.trace.loss in ("shared", "callable", "output")
        else ""
    )
    because = f": what {op.op} subtracts from the gradient is all there was{shared}" if norm else ""
    yield Finding(
        "gradient-deleted",
        "error",
        op.name,
        f"no gradient passes {op.op}{because}; everything below it gets none",
        evidence,
        "arXiv:1902.08129" if norm else "",
        "put a layer between the last norm and the loss, or a loss that differs from sample to "
        "sample"
        if norm
        else "",
    )


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
        "draw these weights at random"
        if zeros
        else "look at the biases and the scale of what comes in",
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
        "return the gradient of that input from backward, or detach it in forward if it is to "
        "have none"
        if whole
        else "",
    )


def _lost(case: Analysis) -> Iterator[Finding]:
    """Shares that a format would lose: of the model's own type a warning, of another a remark."""
    enough = case.thresholds.lost_info
    for name in _QUANTUM:
        losses = [
            (share, how, op, what)
            for op in case.trace.ops
            if op.gradient is not None
            for what, sketch in (("gradient", op.gradient), ("activation", op.activation))
            if sketch is not None and sketch.count
            for how, share in (
                ("0", _underflow(sketch, name, op.dtype)),
                ("infinite", _overflow(sketch, name, enough)),
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
        drawn = " (with cotangents of RMS 1)" if what == "gradient" else ""
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
            "scale the loss (torch.amp.GradScaler), or use bfloat16" if warn or gone else "",
        )


def _underflow(sketch: Sketch, name: str, dtype: str) -> float:
    """Share of values that become 0. In a tensor that is of this format already they are 0; as the
    density of small values is flat, those below half the smallest number are half as many as those
    that are it."""
    if dtype == name:
        quantum = _QUANTUM[name]
        below, _, above = sketch.histogram(
            [-1.5 * quantum, -quantum / 2, quantum / 2, 1.5 * quantum]
        )
        kept = sketch.count - sketch.zeros
        return min(1.0, float(below + above) / 2 / kept) if kept else 0.0
    if sketch.log2_mean_square() / 2 + _ROUNDING > log2(_QUANTUM[name]):
        return 0.0
    return sketch.underflow(name)


def _overflow(sketch: Sketch, name: str, enough: float) -> float:
    """Share of values beyond a format's end; 0 where Chebyshev's bound, their mean square over the
    end's, is not enough."""
    if enough and sketch.log2_mean_square() - 2 * log2(FORMATS[name].largest_kept) < log2(enough):
        return 0.0
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
    smallest, largest = {"float16": (-24.0, 16.0), "bfloat16": (-133.0, 128.0)}[name]
    per_step = log2(growth.rms_rate)
    ends = case.trace.sinks[0][1] if what == "gradient" else ()
    if not per_step or not ends:
        return ""
    top = case.trace.ops[case.trace.sinks[0][0]]
    start = (mean_over_repeats(ends) - log2(max(top.size, 1))) / 2
    reached = ((largest if per_step > 0 else smallest) - start) / per_step
    return (
        f"; at this rate the RMS leaves {name} {reached:.0f} steps of depth from the loss"
        if reached > 0
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
            "NaN, or infinities that reach the output: the operation that made the first",
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
