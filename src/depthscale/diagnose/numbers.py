"""Rules on the numbers themselves: not finite, exactly 0, deleted by a norm, too small or too large for a format."""

from collections.abc import Iterator
from math import isfinite, log2

from depthscale.diagnose.case import Case
from depthscale.diagnose.finding import Finding
from depthscale.measure.paths import mean_over_repeats
from depthscale.sketch import Sketch
from depthscale.trace import TracedOp, log2_total

_SMALL = {"float16": "float16", "bfloat16": "bfloat16"}
_NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")


def number_findings(case: Case) -> Iterator[Finding]:
    """Not finite first: where that is so, nothing else of this file is worth saying."""
    broken = list(_not_finite(case))
    yield from broken
    if not broken:
        yield from _deleted(case)
        yield from _lost(case)


def _not_finite(case: Case) -> Iterator[Finding]:
    ahead = next((op for op in case.trace.ops if op.activation is not None and op.activation.nans), None)
    if ahead is None:
        ahead = next((op for op in case.trace.ops if op.gradient is not None and op.activation and op.activation.infs), None)
        if ahead is not None and _masked(case, ahead):
            ahead = None
    if ahead is not None:
        assert ahead.activation is not None
        yield _first(ahead, ahead.activation, "activation", "its inputs were finite")
        return
    for op in reversed(case.trace.ops):
        if op.gradient is not None and (op.gradient.nans or op.gradient.infs):
            above = [reader for reader in case.trace.ops if any(edge.source == op.id for edge in reader.edges)]
            where = above[0] if above else op
            yield _first(where, op.gradient, "gradient", f"what arrived there was finite, what it hands to {op.name} is not")
            return


def _masked(case: Case, op: TracedOp) -> bool:
    """Whether infinities are a mask on the way to a softmax, which makes them 0."""
    return all(
        found.activation is None or not (found.activation.nans or found.activation.infs) for found in case.trace.ops[-1:]
    )


def _first(op: TracedOp, sketch: Sketch, what: str, why: str) -> Finding:
    counted = [f"{n:,} {name}" for n, name in ((sketch.nans, "NaNs"), (sketch.infs, "infinities")) if n]
    return Finding(
        f"{what}-not-finite",
        "error",
        op.name,
        f"{' and '.join(counted)} among {sketch.count:,} values first appear here; {why}",
        {"nans": sketch.nans, "infinities": sketch.infs, "count": sketch.count},
        "",
        "look at what this operation divides by, takes a root or a logarithm of, or sums up",
    )


def _deleted(case: Case) -> Iterator[Finding]:
    """The first operation, from the loss down, that leaves nothing of a gradient."""
    for op in reversed(case.trace.ops):
        if not op.edges or not op.log2_gradient_norm2:
            continue
        arrived = mean_over_repeats(op.log2_gradient_norm2)
        left = log2_total([mean_over_repeats(edge.log2_norm2) for edge in op.edges])
        if not isfinite(arrived) or not left - arrived < case.limits.deleted:
            continue
        norm = op.op in _NORMS
        shared = " of a loss that is the same for all samples" if case.trace.loss in ("shared", "callable", "output") else ""
        because = f": what {op.op} subtracts from the gradient is all there was{shared}" if norm else ""
        yield Finding(
            "gradient-deleted",
            "error",
            op.name,
            f"no gradient passes {op.op}{because}; everything below it gets none",
            {"log2_gain_norm2": left - arrived if isfinite(left) else None, "threshold": case.limits.deleted},
            "arXiv:1902.08129" if norm else "",
            "put a layer between the last norm and the loss, or a loss that differs from sample to sample" if norm else "",
        )
        return


def _lost(case: Case) -> Iterator[Finding]:
    """Shares that a format would lose: of the model's own type a warning, of another a remark."""
    own = {op.dtype for op in case.trace.ops}
    for name in ("float16", "bfloat16"):
        worst: tuple[float, str, TracedOp, str] | None = None
        for op in case.trace.ops:
            for what, sketch in (("gradient", op.gradient), ("activation", op.activation)):
                if sketch is None or not sketch.count or op.gradient is None:
                    continue
                for how, share in (("0", sketch.underflow(name)), ("infinite", sketch.overflow(name))):
                    if share > case.limits.lost_info and (worst is None or share > worst[0]):
                        worst = share, how, op, what
        if worst is None:
            continue
        share, how, op, what = worst
        warn = name in own and share > case.limits.lost_warn
        yield Finding(
            f"{what}-{'underflows' if how == '0' else 'overflows'}-{name}",
            "warn" if warn else "info",
            op.name,
            f"{share:.1%} of the {what} would become {how} in {name} (with cotangents of RMS 1){_depth(case, name, what)}",
            {"share": share, "threshold": case.limits.lost_warn if warn else case.limits.lost_info},
            "IEEE 754; arXiv:1710.03740",
            "scale the loss (torch.amp.GradScaler), or use bfloat16" if warn else "",
        )


def _depth(case: Case, name: str, what: str) -> str:
    """After how many steps the RMS itself reaches the format's end, at the rate found."""
    growth = case.gradient if what == "gradient" else case.activation
    if growth is None or abs(growth.deviates) < case.limits.deviates or (growth.power is not None and growth.power.better):
        return ""
    smallest, largest = {"float16": (-24.0, 16.0), "bfloat16": (-133.0, 128.0)}[name]
    per_step = log2(growth.rms_rate)
    ends = case.trace.sinks[0][1] if what == "gradient" else ()
    if not per_step or not ends:
        return ""
    top = case.trace.ops[case.trace.sinks[0][0]]
    start = (mean_over_repeats(ends) - log2(max(top.size, 1))) / 2
    reached = ((largest if per_step > 0 else smallest) - start) / per_step
    return f"; at this rate the RMS leaves {name} {reached:.0f} {growth.step}s from the loss" if reached > 0 else ""
