"""Rules on what a step of training would move: parameters that get no gradient, one of exactly 0,
or that nothing would change."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, prod

from depthscale._diagnose.advice import Trouble, advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.words import place, span
from depthscale.measure import Analysis, Severity
from depthscale.network import Hazard
from depthscale.run import FateKind, FateReason, Reading, Run, TracedParameter, kept

_STOPS = {  # why there is none: the trouble, and what the gradient stops at
    FateReason.DETACH: (Trouble.DETACHED, "detach"),
    FateReason.NO_GRAD: (Trouble.NO_GRAD, "torch.no_grad()"),
    FateReason.INDEX: (
        Trouble.INDEXED,
        "an index or a comparison (argmax, round to integers, ...)",
    ),
    FateReason.CHECKPOINT: (
        Trouble.CHECKPOINT,
        "a reentrant checkpoint, none of whose inputs requires a gradient,",
    ),
    FateReason.OUTSIDE: (Trouble.OUTSIDE, "values that leave torch (item(), as_tensor of a list)"),
    FateReason.UNKNOWN: (Trouble.CUT, "something that was not seen"),
}
_ZEROS = {
    FateReason.ZERO_GRADIENT: Trouble.ZEROED,
    FateReason.ZERO_INPUT: Trouble.SILENT,
    FateReason.ZERO_FACTOR: Trouble.BOTH_ZERO,
    FateReason.ROUNDED: Trouble.ROUNDED,
    FateReason.MASKED: Trouble.MASKED,
    FateReason.UNDERFLOW: Trouble.UNDERFLOW,
    FateReason.UNKNOWN: Trouble.ZEROED,
}
_SILENT = (Trouble.SILENT, Trouble.BOTH_ZERO)
_HALVES = ("float16", "bfloat16")
_ON_PURPOSE = (
    "; where it is meant, requires_grad_(False) on these parameters says so, and is no finding"
)


@dataclass(frozen=True)
class Unmoved:
    """Parameters that one thing keeps from learning.

    Attributes:
        trouble: what it is.
        params: those parameters.
        makers: the operations that make it so, of one kind, in the order of running.
        hazard: what these do; None of what is not known.
        share: of all elements that are to be trained and run.
    """

    trouble: Trouble
    params: tuple[TracedParameter, ...]
    makers: tuple[Reading, ...]
    hazard: Hazard | None
    share: float

    @property
    def names(self) -> set[str]:
        return {p.name for p in self.params}

    def readers(self, trace: Run) -> list[Reading]:
        """The operations that these parameters go into."""
        names = self.names
        return [op for op in trace.ops if any(name in names for name, *_ in op.weights)]

    def who(self, trace: Run) -> str:
        """The parameters in a few words, by their operations or their names."""
        ops, first = self.readers(trace), self.params[0].name
        if not ops:
            more = f" and {len(self.params) - 1} more" if len(self.params) > 1 else ""
            return f"{first}{more}"
        return f"{span(ops)} ({len(ops)} operations with weights)" if len(ops) > 1 else span(ops)


def parameter_findings(case: Analysis) -> Iterator[Finding]:
    """One finding for each thing that keeps parameters from learning."""
    told = _told(case)
    for each in unmoved(case):
        if each.trouble in _CUTS:
            yield _cut(case, each)
        elif not told.intersection(op.id for op in each.makers):
            yield _zero(case, each)
    yield from _outside(case)
    yield from _beside_the_model(case)


def unmoved(case: Analysis) -> tuple[Unmoved, ...]:
    """What gets no gradient, or one of exactly 0, and does not wait for others to learn."""
    return kept(case, "_unmoved", lambda: tuple(_unmoved(case.trace)))


def nothing_moves(case: Analysis) -> bool:
    """Whether of all that is to be trained nothing gets a gradient."""
    kinds = {p.fate.kind for p in case.trace.params}
    lost = any(each.trouble is not Trouble.UNDERFLOW for each in unmoved(case))
    return lost and FateKind.MOVES not in kinds


def _unmoved(trace: Run) -> Iterator[Unmoved]:
    groups: dict[tuple[Trouble, str], list[TracedParameter]] = defaultdict(list)
    makers: dict[str, int] = {}
    for p in trace.params:
        trouble = _trouble(trace, p)
        if trouble is None:
            continue
        label = ""
        if p.fate.op is not None:
            makers[p.name] = _root(trace, p.fate.op) if trouble in _SILENT else p.fate.op
            label = "" if trouble in _CUTS else trace.ops[makers[p.name]].op
        groups[trouble, label].append(p)
    trained = sum(prod(p.shape) for p in trace.params if p.fate.kind is FateKind.MOVES)
    whole = trained + sum(prod(p.shape) for group in groups.values() for p in group)
    for (trouble, _), params in groups.items():
        found = sorted({makers[p.name] for p in params if p.name in makers})
        ops = tuple(trace.ops[i] for i in found)
        share = sum(prod(p.shape) for p in params) / whole if whole else 0.0
        yield Unmoved(trouble, tuple(params), ops, ops[0].hazard if ops else None, share)


def _root(trace: Run, op: int) -> int:
    """The first operation whose output is exactly 0, of one whose output is."""
    while below := [i for i in trace.ops[op].reads if i < op and _is_silent(trace.ops[i])]:
        op = below[0]
    return op


def _is_silent(op: Reading) -> bool:
    return op.log2_activation_ms == -inf


def _silence(trace: Run, op: Reading) -> Trouble:
    """Whether weights that are 0, and do not learn first, make an output 0."""
    root = trace.ops[_root(trace, op.id)]
    zeros = any(name and ms == 0 and len(shape) > 1 for name, shape, ms in root.weights)
    return Trouble.BOTH_ZERO if zeros else Trouble.SILENT


def _trouble(trace: Run, p: TracedParameter) -> Trouble | None:
    fate = p.fate
    if not prod(p.shape) or fate.reason is None:
        return None
    if fate.kind is FateKind.NONE:
        return _STOPS[fate.reason][0] if fate.reason in _STOPS else None
    if fate.kind is not FateKind.ZERO:
        return None
    trouble = _ZEROS.get(fate.reason)
    if trouble is Trouble.SILENT and fate.op is not None:
        return _silence(trace, trace.ops[fate.op])
    if trouble is not Trouble.ZEROED or fate.op is None:
        return trouble
    maker = trace.ops[fate.op]
    if _is_silent(maker):
        return _silence(trace, maker)
    return Trouble.UNDERFLOW if _loses(maker) else trouble


def _loses(op: Reading) -> bool:
    """Whether what an operation hands back is a product in 16 bits, which may become 0."""
    constant = (Hazard.STEP, Hazard.SELECTION, Hazard.LIMIT)
    return op.dtype in _HALVES and op.hazard not in constant


_CUTS = {trouble for trouble, _ in _STOPS.values()}


def _told(case: Analysis) -> set[int]:
    """Operations that another finding names for the same."""
    named = [case.silenced] if case.deleted is not None else []
    deleted = [case.deleted[0]] if case.deleted is not None else []
    return {op.id for op in (*named, *deleted) if op is not None}


def _zero(case: Analysis, each: Unmoved) -> Finding:
    maker, more = each.makers[0] if each.makers else None, len(each.makers) - 1
    named = maker is not None and each.trouble is not Trouble.MASKED
    where = maker.name if maker is not None and named else each.params[0].name
    others = f" and {more} more" if more > 0 else ""
    why = f"{_why(each, maker)}{f', as {place(where)}{others}' if named else ''}"
    severity = _zero_severity(case, each)
    who = each.who(case.trace)
    return Finding(
        "gradient-deleted",
        severity,
        where,
        f"{who}, {_percent(each.share)} of what is to be trained, get no gradient, exactly 0: "
        f"{why}"
        f"{'; nothing that is to be trained gets any' if nothing_moves(case) else ''}",
        {
            "share": each.share,
            "threshold": case.thresholds.cut_error,
            "parameters": len(each.params),
            "operations": len(each.makers),
            "first": each.params[0].name,
            "last": each.params[-1].name,
        },
        "",
        advice_on(each.trouble, each.hazard) if severity != "info" else "",
        f"no gradient, exactly 0, for {who}: {why}",
    )


def _zero_severity(case: Analysis, each: Unmoved) -> Severity:
    """What is chosen in a batch may be another in the next; a scale or an offset is a remark."""
    if nothing_moves(case):
        return "error"
    chosen = each.trouble is Trouble.ZEROED and each.hazard is Hazard.SELECTION
    if chosen or not any(len(p.shape) > 1 for p in each.params):
        return "info"
    return "error" if each.share >= case.thresholds.cut_error else "warn"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{100 * share:.1g}%"


def _why(each: Unmoved, maker: Reading | None) -> str:
    if each.trouble is Trouble.UNDERFLOW:
        return "the products that make it are too small for their number type"
    if each.trouble is Trouble.MASKED and maker is not None:
        return (
            f"of what {maker.op} makes of them and of others their own part gets 0, as where it is "
            "masked or not chosen behind it"
        )
    if each.trouble is Trouble.ROUNDED:
        return "they are rounded before they are used, and a rounding is constant between its steps"
    if each.trouble is Trouble.BOTH_ZERO:
        return "they are multiplied with other parameters that are 0"
    if maker is None:
        return "seen in a run without the probe"
    if each.trouble is Trouble.SILENT:
        return f"what comes out of {maker.op} is 0 for every sample"
    if each.hazard in (Hazard.SHARES, Hazard.LOG_SHARES):
        one = is_over_one_value(maker)
        over = "over one value is constant" if one else "is at 0 or 1"
        return f"a {maker.op} {over}, so that it hands back nothing"
    if each.hazard is Hazard.STEP:
        return f"{maker.op} is constant between its steps"
    if maker.phi is not None or each.hazard in (Hazard.LIMIT, Hazard.SIGMOID):
        return f"all values lie where {maker.op} is flat"
    return f"{maker.op} hands back 0 of what it gets"


def is_over_one_value(op: Reading) -> bool:
    """Whether a softmax goes over an axis of size 1."""
    axis = op.settings.get("dim")
    return isinstance(axis, int) and -len(op.shape) <= axis < len(op.shape) and op.shape[axis] == 1


def _cut(case: Analysis, each: Unmoved) -> Finding:
    trace, at = case.trace, next(text for t, text in _STOPS.values() if t is each.trouble)
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
        f"no gradient reaches {who}, {_percent(share)} of the parameters that are to be trained: "
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


def _beside_the_model(case: Analysis) -> Iterator[Finding]:
    """What runs and no step would move, though nothing stops its gradient."""
    for kind, rule, trouble, is_so in (
        (
            FateKind.UNREGISTERED,
            "parameter-unregistered",
            Trouble.UNREGISTERED,
            "run, and are no parameters of the model: their modules stand in a plain list, tuple "
            "or dict, so that neither an optimizer nor a state_dict knows of them",
        ),
        (
            FateKind.NOT_IN_OPTIMIZER,
            "parameter-not-optimized",
            Trouble.NOT_OPTIMIZED,
            "require a gradient, and the optimizer was not given them: no step moves them",
        ),
    ):
        params = [p for p in case.trace.params if p.fate.kind is kind]
        if not params:
            continue
        names = ", ".join(p.name for p in params[:3]) + (", ..." if len(params) > 3 else "")
        yield Finding(
            rule,
            "warn",
            params[0].name,
            f"{len(params)} parameters ({names}) {is_so}",
            {"parameters": len(params), "elements": sum(prod(p.shape) for p in params)},
            "",
            advice_on(trouble),
            f"{len(params)} parameters are left out, from {params[0].name} on",
        )


PARAMETERS = Check(
    parameter_findings,
    (
        Rule(
            ("gradient-cut",),
            "parameters that are to be trained run and get no gradient, behind a `detach`, "
            "`no_grad`, `argmax`, numpy or a reentrant checkpoint: an error across the network, by "
            "how many they are; frozen ones, and those that get some elsewhere, are none",
        ),
        Rule(
            ("gradient-deleted",),
            "parameters get a gradient of exactly 0, by an operation that hands back nothing: a "
            "rounding, a softmax over one value, a dead or saturated unit, a product with 0; an "
            "error where nothing at all gets one, none where weights that are 0 learn first",
        ),
        Rule(
            ("parameter-unregistered",),
            "parameters run that are not the model's, as of layers in a plain list",
        ),
        Rule(
            ("parameter-not-optimized",),
            "the optimizer that was given does not move a parameter that requires a gradient",
        ),
    ),
)
