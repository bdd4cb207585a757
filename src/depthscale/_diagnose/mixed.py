"""Rule on a depth of mixed growth: over one segment of it gradients or signals grow, over another
they shrink."""

from math import sqrt

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import decades, factor, place
from depthscale.measure import Analysis, Growth, Segment, Segments
from depthscale.numerics import two_to


def mixed_finding(analysis: Analysis, of: str, growth: Growth, law: Segments) -> Finding | None:
    """One finding for all segments, as bad as the largest change over one of them, though another
    makes up for it."""
    thresholds, unit = analysis.thresholds, growth.step
    largest = max(law.parts, key=lambda segment: abs(segment.change))
    change = two_to(abs(largest.change))
    if change < thresholds.info_change or analysis.depth is None:
        return None
    severity = thresholds.severity(change)
    end = "input" if of == "gradient" else "output"
    parts = "; ".join(f"{_between(analysis, part)} {_does(part, unit)}" for part in law.parts)
    short = ", then ".join(_briefly(part) for part in law.parts)
    return Finding(
        f"{of}-mixed-growth",
        severity,
        analysis.trace.ops[analysis.depth.pairs[largest.first][1]].name,
        f"no one rate holds: towards the {end} the {of}s grow over one part of the depth and "
        f"shrink over another; {parts}",
        {
            "rate": growth.rate,
            "step": unit,
            "segments": [
                {
                    "first": part.first,
                    "last": part.last,
                    "rate": part.rate,
                    "change_log2": part.change,
                }
                for part in law.parts
            ],
            "change": change,
            "threshold_change": thresholds.change_of(severity),
        },
        "arXiv:1502.01852",
        advice_on(Trouble.MIXED) if severity != "info" else "",
        f"{of}s turn: from the input on they {short}; at both ends they may look healthy",
    )


def _between(analysis: Analysis, segment: Segment) -> str:
    pairs = analysis.depth.pairs if analysis.depth else ()
    ops = analysis.trace.ops
    return (
        f"from {place(ops[pairs[segment.first][0]].name)} "
        f"to {place(ops[pairs[segment.last][1]].name)}"
    )


def _does(segment: Segment, unit: str) -> str:
    if not segment.direction:
        return f"they are steady ({segment.steps} steps)"
    verb = "explode" if segment.direction > 0 else "vanish"
    return (
        f"they {verb}, {factor(sqrt(segment.rate))} in RMS per {unit}, "
        f"{decades(segment.change)} over {segment.steps} of them"
    )


def _briefly(segment: Segment) -> str:
    verb = {1: "explode", -1: "vanish", 0: "are steady"}[segment.direction]
    return f"{verb} over {segment.steps} steps" + (
        f" ({decades(segment.change)})" if segment.direction else ""
    )
