"""Rule on a gradient that is cut: parameters that are to be trained, run, and get none."""

from collections.abc import Iterator, Sequence
from math import prod

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.unmoved import CUTS, STOPS, Unmoved, nothing_moves, unmoved
from depthscale._diagnose.words import percent, place, span
from depthscale.measure import Analysis, Severity, flow
from depthscale.network import is_derivative
from depthscale.run import FateKind, FateReason, Reading, Run

_ON_PURPOSE = (
    "; where it is meant, requires_grad_(False) on these parameters says so, and is no finding"
)


def cut_findings(case: Analysis) -> Iterator[Finding]:
    """One finding for each way in which gradients are cut."""
    second = any(each.trouble is Trouble.PIECEWISE for each in unmoved(case))
    derives = any(is_derivative(op.op) for op in case.trace.ops)
    for each in unmoved(case):
        offsets = derives and all(len(p.shape) < 2 for p in each.params)
        if each.trouble is Trouble.DETACHED and (second or offsets):
            continue  # what a second derivative does not read, or a derivative is free of
        if each.trouble in CUTS:
            yield _cut(case, each)
    outside = list(_outside(case))
    yield from outside
    if not (outside or flow(case.trace).swallowed):  # else told of what keeps it back
        yield from _beside(case)


def _beside(case: Analysis) -> Iterator[Finding]:
    """Much that is to be trained and does not lead to what is differentiated: it may be meant."""
    reasons = (FateReason.BESIDE, FateReason.UNUSED)
    params = [p for p in case.trace.params if p.fate.reason in reasons]
    moves = (p for p in case.trace.params if p.fate.kind is FateKind.MOVES)
    size = sum(prod(p.shape) for p in params)
    share = size / max(size + sum(prod(p.shape) for p in moves), 1)
    if share < case.thresholds.cut_error:
        return
    runs = sum(p.fate.reason is FateReason.BESIDE for p in params)
    yield Finding(
        "parameters-unused",
        "info",
        params[0].name,
        f"{len(params)} parameters ({params[0].name} ... {params[-1].name}), {percent(share)} of "
        f"what is to be trained, do not lead to what is differentiated: {runs} run, "
        f"{len(params) - runs} do not",
        {"parameters": len(params), "share": share, "threshold": case.thresholds.cut_error},
    )


def _cut(case: Analysis, each: Unmoved) -> Finding:
    trace, at = case.trace, next(text for t, text in STOPS.values() if t is each.trouble)
    lost, above = each.readers(trace), _above(trace, each.makers)
    whole = not _reaches_an_input(trace) or each.trouble is Trouble.CHECKPOINT
    across = whole or (each.trouble is not Trouble.INDEXED and _is_entered(trace, each.makers))
    outside = each.trouble is Trouble.OUTSIDE
    severity = _cut_severity(case, each.share, whole, across, outside)
    inside = each.trouble is Trouble.CHECKPOINT and lost
    where = lost[0].name if inside else above.name if above is not None else each.params[0].name
    front = f" in front of {place(where)}" if above is not None and not inside else ""
    return _cut_finding(
        case,
        each.trouble,
        lost,
        each.who(trace),
        each.share,
        severity,
        whole,
        where,
        f"it stops at {at}{front}",
    )


def _cut_finding(
    case: Analysis,
    trouble: Trouble,
    lost: Sequence[Reading],
    who: str,
    share: float,
    severity: Severity,
    whole: bool,
    where: str,
    stops: str,
) -> Finding:
    limits = case.thresholds
    beside = "no input gets any" if whole else "a path beside it lives"
    return Finding(
        "gradient-cut",
        severity,
        where,
        f"no gradient reaches {who}, {percent(share)} of the parameters that are to be trained: "
        f"{stops}; {beside}",
        {
            "share": share,
            "threshold": limits.cut_warn if severity == "warn" and whole else limits.cut_error,
            "operations": len(lost),
            "first": lost[0].name if lost else "",
            "last": lost[-1].name if lost else "",
            "whole": whole,
        },
        "",
        advice_on(trouble) + _ON_PURPOSE,
        f"no gradient reaches {span(lost) if lost else who}: {stops}",
    )


def _cut_severity(
    case: Analysis, share: float, whole: bool, across: bool, outside: bool = False
) -> Severity:
    """An error where the cut goes across the network, or through trained features; a branch of its
    own may be a target network, an index beside a path that lives a quantizer, and a small part the
    head of an output that is not differentiated, unless the loss is the user's."""
    large = share >= case.thresholds.cut_error
    if nothing_moves(case) or (large and across):
        return "error"
    if outside:
        return "warn"
    own_loss = case.trace.loss in ("callable", "output") and share >= case.thresholds.cut_warn
    return "warn" if large or own_loss or (whole and share >= case.thresholds.cut_warn) else "info"


def _is_live(op: Reading) -> bool:
    return bool(op.log2_gradient_norm2)


def _reads(op: Reading) -> tuple[int, ...]:
    return (*op.reads, *op.settings.get("picked_by", ()))


def _above(trace: Run, makers: Sequence[Reading]) -> Reading | None:
    """The first operation that gets a gradient and reads what these make, by no edge that autograd
    knows of."""
    made = {op.id for op in makers}
    for op in trace.ops:
        if op.id not in made and made.intersection(_reads(op)):
            if _is_live(op):
                return op
            made.add(op.id)
    return None


def _is_entered(trace: Run, makers: Sequence[Reading]) -> bool:
    """Whether what is cut off reads from operations that are trained, as a target network beside
    the one in training does not."""
    seen, waiting = {op.id for op in makers}, list(makers)
    for op in waiting:
        for i in _reads(op):
            below = trace.ops[i]
            if _is_live(below):
                if not below.is_input:
                    return True
            elif i not in seen:
                seen.add(i)
                waiting.append(below)
    return False


def _reaches_an_input(trace: Run) -> bool:
    """Whether any input, or an embedding of one, gets a gradient."""
    return any(
        _is_live(op)
        for op in trace.ops
        if op.is_input
        or (
            op.is_embedding
            and not op.settings.get("same_for_all")
            and not op.settings.get("picked_by")
        )
    )


def _outside(case: Analysis) -> Iterator[Finding]:
    """No input is read on any path that was seen, though operations ran on it: values went around
    torch."""
    trace = case.trace
    given = [op for op in trace.ops if op.is_input]
    begun = [
        op
        for op in trace.ops
        if _is_live(op) and not op.reads and op.weights and not (op.is_input or op.is_embedding)
    ]
    if not given or not begun or any(map(_is_live, given)):
        return
    names = {p.name: prod(p.shape) for p in trace.params if p.fate.reason is FateReason.BESIDE}
    lost = [op for op in trace.ops[: begun[0].id] if any(n in names for n, *_ in op.weights)]
    trained = sum(prod(p.shape) for p in trace.params if p.fate.kind is FateKind.MOVES)
    gone = sum(names.get(n, 0) for op in lost for n, *_ in op.weights)
    share = gone / (gone + trained) if gone else 0.0
    if lost:
        who = f"{span(lost)} ({len(lost)} operations with weights)" if lost[1:] else span(lost)
        at = "it stops at values that leave torch (numpy, item(), tolist()) in front of "
        severity = _cut_severity(case, share, True, True)
        yield _cut_finding(
            case,
            Trouble.OUTSIDE,
            lost,
            who,
            share,
            severity,
            True,
            begun[0].name,
            at + place(begun[0].name),
        )


CUT = Check(
    cut_findings,
    (
        Rule(
            ("gradient-cut",),
            "parameters that are to be trained run and get no gradient, behind a `detach`, "
            "`no_grad`, `argmax`, numpy or a reentrant checkpoint: an error across the network, by "
            "how many they are; frozen ones, and those that get some elsewhere, are none",
        ),
        Rule(
            ("parameters-unused",),
            "a tenth or more of what is to be trained does not lead to what is differentiated: a "
            "remark, as it may be the head of another output",
        ),
    ),
)
