"""Rule on a depth that turns: over one stretch of it gradients or signals grow, over another they
shrink."""

from collections.abc import Iterator
from math import inf, sqrt

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.words import decades, factor, place
from depthscale.measure.analysis import Analysis
from depthscale.measure.growth import Growth
from depthscale.measure.stretches import Stretch


def turning(case: Analysis, what: str, growth: Growth) -> Iterator[Finding]:
    """One finding for all stretches, as bad as the largest change over one of them, though another
    makes up for it."""
    largest = max(growth.stretches, key=lambda stretch: abs(stretch.change))
    change = 2.0 ** abs(largest.change) if abs(largest.change) < 1000 else inf
    if change < case.thresholds.info_change or case.depth is None:
        return
    severity = case.thresholds.severity(change)
    end, unit = ("input" if what == "gradient" else "output"), growth.step
    parts = "; ".join(f"{_between(case, each)} {_does(each, unit)}" for each in growth.stretches)
    short = ", then ".join(_briefly(each) for each in growth.stretches)
    yield Finding(
        f"{what}-turns",
        severity,
        case.trace.ops[case.depth.pairs[largest.first][1]].name,
        f"no one rate holds: towards the {end} the {what}s grow over one part of the depth and "
        f"shrink over another; {parts}",
        {
            "rate": growth.rate,
            "step": unit,
            "stretches": [
                {
                    "first": each.first,
                    "last": each.last,
                    "rate": each.rate,
                    "change_log2": each.change,
                }
                for each in growth.stretches
            ],
            "change": change,
            "threshold_change": case.thresholds.change_of(severity),
        },
        "arXiv:1502.01852",
        "look at what differs between these parts: widths, the weights' size, norms"
        if severity != "info"
        else "",
        f"{what}s turn: from the input on they {short}; at both ends they may look healthy",
    )


def _between(case: Analysis, stretch: Stretch) -> str:
    assert case.depth is not None
    first, last = (
        case.trace.ops[case.depth.pairs[k][side]].name
        for k, side in ((stretch.first, 0), (stretch.last, 1))
    )
    return f"from {place(first)} to {place(last)}"


def _does(stretch: Stretch, unit: str) -> str:
    if not stretch.direction:
        return f"they are steady ({stretch.steps} steps)"
    verb = "explode" if stretch.direction > 0 else "vanish"
    return (
        f"they {verb}, {factor(sqrt(stretch.rate))} in RMS per {unit}, "
        f"{decades(stretch.change)} over {stretch.steps} of them"
    )


def _briefly(stretch: Stretch) -> str:
    verb = {1: "explode", -1: "vanish", 0: "are steady"}[stretch.direction]
    return f"{verb} over {stretch.steps} steps" + (
        f" ({decades(stretch.change)})" if stretch.direction else ""
    )
