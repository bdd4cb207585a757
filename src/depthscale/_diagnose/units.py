"""Rules on units: rectifiers that nothing activates, activations at their flat ends."""

from collections.abc import Callable, Iterator
from math import sqrt

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.data import large_input
from depthscale._diagnose.finding import Finding, Severity
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.unmoved import unmoved
from depthscale.measure import Analysis
from depthscale.run import Reading
from depthscale.sketch import Sketch

_DEVIATES = 3.0  # standard deviations of the number of units that are idle by chance
_NEAR = 0.01  # of an end, in units of the way from one to the other, from where the slope is lost


_DEAD = Rule(("dead-units",), "rectifiers that no sample activates", "arXiv:1903.06733")
_SATURATED = Rule(("saturated-units",), "sigmoids at their ends", "Glorot and Bengio 2010")


def unit_findings(case: Analysis) -> Iterator[Finding]:
    """At most one finding of each rule: at the worst operation, with how many others there are."""
    limits = case.thresholds
    # dead units from there on are one cause, told already
    until = len(case.trace) if case.silenced is None else case.silenced.id
    told = {op.id for each in unmoved(case) for op in each.makers}
    dead = [
        (op, op.dead) for op in case.trace.ops[:until] if op.dead is not None and op.id not in told
    ]
    at = limits.dead_warn, limits.dead_info
    # of an independent unit, in a network where all is well
    chance = 2.0**-case.trace.batch
    yield from _worst(_DEAD, dead, _dead, at, ("", Trouble.DEAD), chance)
    ends = [
        (op, saturated(op.activation, op.phi.ends))
        for op in case.trace.ops
        if op.activation is not None and op.phi is not None and op.phi.ends is not None
    ]
    at = limits.saturated_warn, limits.saturated_info
    yield from _worst(_SATURATED, ends, _saturation, at, _cause_of_saturation(case))


def _worst(
    rule: Rule,
    shares: list[tuple[Reading, float]],
    says: Callable[[Reading, float], str],
    limits: tuple[float, float],
    cause: tuple[str, Trouble],
    chance: float = 0.0,
) -> Iterator[Finding]:
    """The largest share, where it passes a limit by more than chance gives.

    Args:
        limits: from where on it is a warning, and from where on a remark.
        cause: what is said of it, and the trouble that advice is for.
        chance: of one unit to count, in a network where all is well.
    """
    warn, info = limits

    def passes(op: Reading, share: float, limit: float) -> bool:
        by_chance = min(chance + _DEVIATES * sqrt(chance / min(op.shape[1:], default=1)), 1.0)
        return share - by_chance > limit * (1 - by_chance)

    past = [(op, share) for op, share in shares if passes(op, share, info)]
    if not past:
        return
    op, share = max(past, key=lambda each: each[1])
    severity: Severity = "warn" if passes(op, share, warn) else "info"
    more = (
        f" ({len(past)} of {len(shares)} such operations pass {info:.0%})" if len(past) > 1 else ""
    )
    yield Finding(
        rule.names[0],
        severity,
        op.name,
        f"{says(op, share)}{more}{cause[0]}",
        {
            "share": share,
            "threshold": warn if severity == "warn" else info,
            "by_chance": chance,
            "operations": len(past),
        },
        rule.source,
        advice_on(cause[1], op.hazard) if severity == "warn" else "",
    )


def _cause_of_saturation(case: Analysis) -> tuple[str, Trouble]:
    large = large_input(case)
    if large is None or large.normalized:
        return "", Trouble.SATURATED
    return f": {large.says}, and nothing takes that away", Trouble.LARGE_INPUTS


def _dead(op: Reading, share: float) -> str:
    return (
        f"{share:.0%} of the units are 0 for every sample of the batch, so no gradient reaches "
        "their weights"
    )


def _saturation(op: Reading, share: float) -> str:
    return f"{share:.0%} of the values lie within 1 % of {op.phi}'s ends, where its slope is lost"


def saturated(values: Sketch, ends: tuple[float, float]) -> float:
    """Share of values that lie within 1 % of a bounded activation's ends."""
    low, high = ends
    margin = _NEAR * (high - low) / 2
    if values.count == values.finite and values.max_magnitude() < min(-low, high) - margin:
        return 0.0
    inside = float(values.histogram([low + margin, high - margin])[0])
    return 1 - inside / values.count if values.count else 0.0


UNITS = Check(unit_findings, (_DEAD, _SATURATED))
