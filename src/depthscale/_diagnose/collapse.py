"""Rules on what tells inputs apart: samples, or positions of a sequence, that become the same with
depth."""

from collections.abc import Iterator
from math import isfinite

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.messages import SMOOTHING, passes_messages
from depthscale.measure.analysis import Analysis
from depthscale.run import TracedOp

_DIFFERENT = 0.9  # correlation of what comes in, up to which samples count as different
_OFFSET = ("sigmoid", "hardsigmoid")  # whose values lie around 1/2, and are alike for that
# correlation from which few directions mean no more than that: 16 samples at 0.85 have an effective
# rank of 1.4
_ALIKE = 0.5
_FEW_ROWS = 8
_FEW_COLUMNS = 4  # of so narrow an output nothing else can be expected
_CRITICAL = (
    "raise the weights' variance to the critical line (`depthscale phase`), or add skip connections"
)
_ROUNDING = 1e-6  # of a correlation in float32


def collapse_findings(case: Analysis) -> Iterator[Finding]:
    """Compared where every path passes: near the input, and at the last such place."""
    seen = [
        (op, op.likeness)
        for op in case.dominators
        if op.likeness is not None and op.op not in _OFFSET
    ]
    if (
        len(seen) < 2 or case.silenced is not None
    ):  # where the signal ends, all samples are alike, of course
        return
    (_, first), (last, now) = seen[0], seen[-1]
    for rule, what, before, after in (
        ("samples-collapse", "samples", first.samples, now.samples),
        ("positions-collapse", "positions of a sequence", first.positions, now.positions),
    ):
        if isfinite(before) and before < _DIFFERENT and 1 - after < case.thresholds.alike_info:
            yield _alike(case, rule, what, before, after, last)
            return
    directions = now.rank * min(32, last.shape[0])
    if (
        last.shape[0] >= _FEW_ROWS
        and last.size >= _FEW_COLUMNS * last.shape[0]
        and directions < case.thresholds.rank_warn
        and now.samples < _ALIKE
    ):
        yield Finding(
            "rank-collapse",
            "warn",
            last.name,
            f"the batch has collapsed onto {directions:.2f} directions: samples differ in size "
            "and sign only",
            {"effective_rank": directions, "threshold": case.thresholds.rank_warn},
            "arXiv:2003.01652",
            "normalize over the batch, add skip connections, or use fewer layers without an "
            "activation",
        )


def _near_1(apart: float) -> str:
    return f"1 - {apart:.1g}" if apart > _ROUNDING else "1, but for rounding"


def _alike(
    case: Analysis, rule: str, what: str, before: float, after: float, last: TracedOp
) -> Finding:
    apart = max(1 - after, 0.0)
    warn = apart < case.thresholds.alike_warn
    return Finding(
        rule,
        "warn" if warn else "info",
        last.name,
        f"different {what} become the same with depth: their correlation rises from "
        f"{max(before, 0.0):.2f} to {_near_1(apart)}",
        {
            "correlation_first": before,
            "correlation_last": after,
            "threshold": 1 - (case.thresholds.alike_warn if warn else case.thresholds.alike_info),
        },
        "arXiv:1611.01232" if rule == "samples-collapse" else "arXiv:2103.03404",
        "" if not warn else SMOOTHING if passes_messages(case) else _CRITICAL,
    )
