"""Rule on branches that do nothing: neither a signal nor a gradient worth the name passes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, log2, sqrt
from statistics import median

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.data import large_input
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.unmoved import learning_zeros
from depthscale._diagnose.words import decades, span
from depthscale.measure import Analysis
from depthscale.numerics import two_to
from depthscale.run import Reading


def branch_findings(case: Analysis) -> Iterator[Finding]:
    """Maps beside the trunk where both are tiny; or, as a remark, those that get no gradient as the
    branch's weights begin at 0.

    Where only one of the two is tiny, the branch trains at once: of a last layer that begins at 0
    (SkipInit, adaLN-zero, LoRA) the gradient is not small, and what lies before it has its signal.
    """
    trunk = [op for op in case.dominators if op.module != "loss" and op.log2_gradient_norm2]
    signal = min((op.log2_activation_ms for op in trunk), default=-inf)
    gradient = min((op.log2_gradient_ms for op in trunk), default=-inf)
    if not (isfinite(signal) and isfinite(gradient)):
        return
    maps = [
        op for op in case.trace.ops if op.log2_gradient_norm2 and fan_in_variance(op) is not None
    ]
    far = log2(case.thresholds.dead_branch)
    beside = [
        (op, min(signal - op.log2_activation_ms, gradient - op.log2_gradient_ms))
        for op in maps
        if not op.settings.get("frozen")
    ]
    idle = [(op, below) for op, below in beside if below > far and fan_in_variance(op)]
    if not idle:
        yield from _inert(case)
    if idle:
        yield _idle(
            case,
            [op for op, _ in idle],
            min(idle, key=lambda each: -each[1]),
            [op for op in maps if op in trunk],
        )
    else:
        yield from _begins_at_zero(case, [op for op in maps if op.log2_gradient_ms == -inf])


@dataclass(frozen=True)
class Join:
    """A sum of trunk and branch.

    Attributes:
        op: the sum.
        branch: the operand that is not on the trunk.
        log2_ratio: of the branch's mean square to the trunk's.
    """

    op: Reading
    branch: Reading
    log2_ratio: float


def joins(case: Analysis) -> list[Join]:
    """The sums on the trunk, which every path crosses, of itself and one branch."""
    trunk = {op.id for op in case.dominators}
    found = []
    for op in case.dominators:
        on = [i for i in op.reads if i in trunk]
        beside = [i for i in op.reads if i not in trunk]
        if op.adds and len(on) == len(beside) == 1:
            branch, below = case.trace.ops[beside[0]], case.trace.ops[on[0]]
            found.append(Join(op, branch, branch.log2_activation_ms - below.log2_activation_ms))
    return found


def _inert(case: Analysis) -> Iterator[Finding]:
    """Blocks whose branch adds next to nothing to the trunk, by a small scale or small weights."""
    limit = -log2(case.thresholds.inert_branch)
    every = joins(case)
    inert = [join for join in every if -inf < join.log2_ratio < limit]
    large = large_input(case)
    if not inert or (large is not None and not large.normalized):
        return  # beside an input that is far too large every branch is small
    scales = [scale for join in inert if (scale := _scale_of(case, join.branch)) is not None]
    meant = len(scales) == len(inert)
    ratio = two_to(median(join.log2_ratio for join in inert) / 2)
    by = f"a scale of RMS {median(scales):.2g}" if meant else "the size of its weights"
    names = [join.op for join in inert]
    yield Finding(
        "branch-inert",
        "info" if meant or 2 * len(inert) < len(every) else "warn",
        inert[0].op.name,
        f"{len(inert)} of {len(every)} blocks are inert ({span(names)}): their branch is "
        f"{ratio:.2g} of the trunk in RMS, by {by}"
        f"{', which learns first' if meant else ''}",
        {"ratio_rms": ratio, "operations": len(inert), "threshold_log2": limit},
        "arXiv:2103.17239" if meant else "arXiv:1502.01852",
        "" if meant or 2 * len(inert) < len(every) else advice_on(Trouble.INERT),
    )


def _scale_of(case: Analysis, op: Reading) -> float | None:
    """RMS of the parameter that scales a branch at its end, where that is what makes it small."""
    limit = 1 / case.thresholds.inert_branch
    while op.map is None and op.reads:
        small = [ms for _, _, ms in op.weights if 0 < ms < limit**0.5]
        if small and op.norm is None:
            return sqrt(min(small))
        op = case.trace.ops[op.reads[0]]
    return None


def fan_in_variance(op: Reading) -> float | None:
    """fan_in times the mean square of a map's weights; None for what is no linear map or
    convolution."""
    return None if op.map is None else op.map.sigma_w2


def _idle(
    case: Analysis, ops: list[Reading], worst: tuple[Reading, float], trunk: list[Reading]
) -> Finding:
    op, below = worst
    sizes, others = (
        median(fan_in_variance(each) or 0.0 for each in some) if some else 0.0
        for some in (ops, trunk)
    )
    beside = f", against {others:.3g} on the trunk, which every path takes" if trunk else ""
    finite, do = (
        below < 2000,
        "does nothing" if len(ops) == 1 else f"do nothing ({len(ops)} operations with weights)",
    )
    return Finding(
        "branch-vanishes",
        "warn",
        op.name,
        f"{span(ops)} {do}: signal and gradient are both at least "
        f"{decades(log2(case.thresholds.dead_branch))} smaller in RMS there than anywhere on the "
        "trunk"
        f"{f', {decades(below)} at the worst' if finite else ''}. The weights have fan_in x "
        f"variance {sizes:.3g} in the median"
        f"{beside}",
        {
            "log2_below": below if finite else None,
            "threshold_log2": log2(case.thresholds.dead_branch),
            "operations": len(ops),
            "fan_in_variance": sizes,
            "fan_in_variance_elsewhere": others if trunk else None,
        },
        "arXiv:1502.01852",
        advice_on(Trouble.IDLE),
        f"a branch does nothing: neither signal nor gradient reaches {span(ops)}",
    )


def _begins_at_zero(case: Analysis, without: list[Reading]) -> Iterator[Finding]:
    """The usual way to begin a residual branch; said, as nothing else tells that its parts get no
    gradient yet."""
    learning = learning_zeros(case)
    if learning and without:
        yield Finding(
            "branch-begins-at-zero",
            "info",
            learning[0].name,
            f"{len(without)} operations with weights get no gradient yet ({span(without)}): the "
            f"weights of {learning[0].name}"
            f"{f' and {len(learning) - 1} others' if len(learning) > 1 else ''} are 0, and learn "
            "first",
            {"operations": len(without), "zeros": len(learning)},
            "arXiv:1706.02677",
        )


BRANCHES = Check(
    branch_findings,
    (
        Rule(
            ("branch-inert",),
            "a block's branch is 10,000 times smaller in RMS than the trunk it is added to; a "
            "remark where a learnt scale makes it so, as LayerScale",
            "arXiv:2103.17239",
        ),
        Rule(
            ("branch-vanishes",),
            "in operations beside the trunk signal and gradient are both a thousandfold "
            "smaller in RMS than anywhere on it",
            "arXiv:1502.01852",
        ),
        Rule(
            ("branch-begins-at-zero",),
            "a branch gets no gradient yet, as its last weights are 0, which learn first: a remark",
            "arXiv:1706.02677",
        ),
    ),
)
