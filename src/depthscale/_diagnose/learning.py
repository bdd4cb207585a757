"""Rules on what a step of training would move: parameters whose gradient is exactly 0, or that
nothing would change."""

from collections.abc import Iterator
from math import prod

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.not_finite import is_spoilt
from depthscale._diagnose.numbers import underflows
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.unmoved import CUTS, Unmoved, is_chosen, nothing_moves, unmoved
from depthscale._diagnose.words import percent, place
from depthscale.measure import Analysis, Severity
from depthscale.network import Hazard
from depthscale.run import FateKind, Reading

_CHOOSE = (Hazard.SELECTION, Hazard.RANDOM, Hazard.ASSEMBLY)  # another time another part


def parameter_findings(case: Analysis) -> Iterator[Finding]:
    """One finding for each thing that keeps parameters from learning."""
    told = _told(case)
    zero = [
        each
        for each in unmoved(case)
        if each.trouble not in CUTS and not told.intersection(op.id for op in each.makers)
        if not (each.trouble is Trouble.UNDERFLOW and underflows(case))  # told of the gradient
    ]
    if is_spoilt(case):
        zero = []  # what comes of infinities is told of them
    elif nothing_moves(case) and zero:
        zero = [max(zero, key=lambda each: each.share)]  # the others come of it
    for each in zero:
        yield _zero(case, each)
    yield from _beside_the_model(case)


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
    at = (
        f" ({place(where)}{others})"
        if maker is not None and named and (others or place(where) != maker.op)
        else ""
    )
    why = f"{_why(each, maker)}{at}"
    severity = _zero_severity(case, each)
    who = each.who(case.trace)
    return Finding(
        "gradient-deleted",
        severity,
        where,
        f"{who}, {percent(each.share)} of what is to be trained, get no gradient, exactly 0: "
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
    if each.trouble is Trouble.MASKED:
        return "warn"
    chosen = each.hazard in _CHOOSE or any(is_chosen(case.trace, op) for op in each.makers)
    if chosen and each.trouble in (Trouble.ZEROED, Trouble.SILENT):
        return "info"
    if not any(len(p.shape) > 1 for p in each.params):
        return "info"
    return "error" if each.share >= case.thresholds.cut_error else "warn"


def _why(each: Unmoved, maker: Reading | None) -> str:
    if each.trouble is Trouble.UNDERFLOW:
        return "the products that make it are too small for their number type"
    if each.trouble is Trouble.MASKED and maker is not None:
        return (
            f"their part of what {maker.op} makes gets a gradient of 0, so that it is masked, or "
            "not chosen, behind it"
        )
    if each.trouble is Trouble.PIECEWISE and maker is not None:
        return (
            f"the forward pass differentiates, and the second derivative of {maker.op}, which is "
            "piecewise linear, is 0"
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
    if maker.phi is not None or each.hazard is Hazard.LIMIT:
        return f"all values lie where {maker.op} is flat"
    return f"{maker.op} hands back 0 of what it gets"


def is_over_one_value(op: Reading) -> bool:
    """Whether a softmax goes over an axis of size 1."""
    axis = op.settings.get("dim")
    return isinstance(axis, int) and -len(op.shape) <= axis < len(op.shape) and op.shape[axis] == 1


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
        moving = any(p.fate.kind is FateKind.MOVES for p in case.trace.params)
        if kind is FateKind.NOT_IN_OPTIMIZER and not moving:
            is_so = (
                "require a gradient, and the optimizer holds none of them: it was made for another "
                "model, or before this one was made anew"
            )
        names = ", ".join(p.name for p in params[:3]) + (", ..." if len(params) > 3 else "")
        yield Finding(
            rule,
            "warn" if moving else "error",
            params[0].name,
            f"{len(params)} parameters ({names}) {is_so}",
            {"parameters": len(params), "elements": sum(prod(p.shape) for p in params)},
            "",
            advice_on(trouble),
            f"{len(params)} parameters, from {params[0].name} on, {is_so}",
        )


PARAMETERS = Check(
    parameter_findings,
    (
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
