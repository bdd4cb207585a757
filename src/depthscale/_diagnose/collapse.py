"""Rules on what tells inputs apart: samples, or positions of a sequence, that become the same with
depth."""

from collections.abc import Iterator
from math import inf, isfinite, sqrt

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.messages import passes_messages
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.words import place
from depthscale.measure import Analysis
from depthscale.numerics import two_to
from depthscale.run import Likeness, Reading

_FEW_ROWS = 8
_FEW_COLUMNS = 4  # of so narrow an output nothing else can be expected
_DROWNS = 5.0  # RMS over RMS, from where on samples of independent entries have 1 / 26 of a sum
_APART = 0.9  # a cosine of two, above which they are no different ones to begin with
_ROUNDING = 1e-6  # of a correlation in float32


def _is_offset(op: Reading) -> bool:
    """Whether its values lie around 1/2, as a sigmoid's, and are alike for that."""
    return op.phi is not None and op.phi.ends is not None and sum(op.phi.ends) != 0


Compared = list[tuple[Reading, Likeness]]


def collapse_findings(analysis: Analysis) -> Iterator[Finding]:
    """Compared where every path passes: near the input, and at the last such place. The first that
    speaks tells it."""
    seen = [
        (op, op.likeness)
        for op in analysis.dominators
        if op.likeness is not None and not _is_offset(op)
    ]
    if len(seen) < 2 or analysis.silenced is not None:
        return  # where the signal ends, all samples are alike, of course
    for look in (_equal, _parallel, _few_directions):
        found = look(analysis, seen)
        if found is not None:
            yield found
            return


def _equal(analysis: Analysis, seen: Compared) -> Finding | None:
    """Samples, or positions, that become the same."""
    for rule, what, side in (
        ("samples-collapse", "samples", "samples"),
        ("positions-collapse", "positions of a sequence", "positions"),
    ):
        before, after = _ends(seen, side)
        apart = isfinite(before) and before < analysis.thresholds.alike_inputs
        if apart and 1 - after < analysis.thresholds.alike_info:
            op = _first_alike(analysis, seen, side)
            return _alike(analysis, rule, what, before, after, op)
    return None


def _parallel(analysis: Analysis, seen: Compared) -> Finding | None:
    """Samples, or positions, that take one direction."""
    last, now = seen[-1]
    if last.shape[-1] < _FEW_COLUMNS:  # on so few axes they lie on a line, of course
        return None
    for rule, what, side in (
        ("rank-collapse", "samples", "aligned_samples"),
        (
            "positions-collapse",
            "positions of a sequence, or nodes of a graph,",
            "aligned_positions",
        ),
    ):
        before, after = _ends(seen, side)
        if before < _APART and 1 - after < analysis.thresholds.alike_info:
            mixed = rule == "positions-collapse" and now.aligned_samples < _APART
            op = _first_alike(analysis, seen, side)
            return _aligned(analysis, rule, what, before, after, op, mixed)
    return None


def _few_directions(analysis: Analysis, seen: Compared) -> Finding | None:
    """Samples that span next to nothing, though they are not alike."""
    last, now = seen[-1]
    directions = now.rank * min(32, last.shape[0])
    wide = last.shape[0] >= _FEW_ROWS and last.size >= _FEW_COLUMNS * last.shape[0]
    alike = now.samples >= analysis.thresholds.alike_outputs
    if not wide or alike or directions >= analysis.thresholds.rank_warn:
        return None
    return Finding(
        "rank-collapse",
        "warn",
        last.name,
        f"the batch has collapsed onto {directions:.2f} directions: samples differ in size and "
        "sign only",
        {"effective_rank": directions, "threshold": analysis.thresholds.rank_warn},
        "arXiv:2003.01652",
        advice_on(Trouble.ONE_DIRECTION),
    )


def _ends(seen: Compared, side: str) -> tuple[float, float]:
    """A number at the first place and at the last."""
    return getattr(seen[0][1], side), getattr(seen[-1][1], side)


def _first_alike(analysis: Analysis, seen: Compared, side: str) -> Reading:
    """Where they become alike and stay so."""
    op = seen[-1][0]
    for each, likeness in reversed(seen):
        if not 1 - getattr(likeness, side) < analysis.thresholds.alike_info:
            break
        op = each
    return op


def _drowned(analysis: Analysis, op: Reading) -> str:
    """How much smaller the term of a sum that differs from sample to sample is than one that is
    equal for all, where that is why they are alike."""
    terms = [analysis.trace.ops[i] for i in op.reads]
    equal = [ms for _, _, ms in op.weights]
    shared = [each for each in terms if each.settings.get("same_for_all")]
    equal += [two_to(each.log2_activation_ms) for each in shared]
    other = [each for each in terms if each not in shared]
    if len(other) != 1 or not equal or not op.adds:
        return ""
    own = two_to(other[0].log2_activation_ms)
    ratio = sqrt(max(equal) / own) if own else inf
    if ratio < _DROWNS:
        return ""
    return (
        f"; there {place(other[0].name)}, in which they differ, is {ratio:.3g} times smaller in "
        "RMS than what is added to it and is equal for all"
    )


def _aligned(
    analysis: Analysis, rule: str, what: str, before: float, after: float, op: Reading, mixed: bool
) -> Finding:
    """Of what takes one direction though its norms differ: by mixing, where samples stay apart; a
    remark where all lie along one large channel, which norms behind it can live with."""
    warn = mixed and 1 - after < analysis.thresholds.alike_warn
    return Finding(
        rule,
        "warn" if warn else "info",
        op.name,
        f"different {what} take the same direction with depth, though their norms differ: their "
        f"cosine rises from {before:.2f} to {_near_1(max(1 - after, 0.0))}",
        {"cosine_first": before, "cosine_last": after},
        "arXiv:1905.10947; arXiv:2103.03404",
        advice_on(Trouble.SMOOTHED) if warn else "",
    )


def _near_1(apart: float) -> str:
    return f"1 - {apart:.1g}" if apart > _ROUNDING else "1, but for rounding"


def _alike(
    analysis: Analysis, rule: str, what: str, before: float, after: float, last: Reading
) -> Finding:
    apart, thresholds = max(1 - after, 0.0), analysis.thresholds
    warn = apart < thresholds.alike_warn
    drowned = _drowned(analysis, last)
    trouble = Trouble.SMOOTHED if passes_messages(analysis) else Trouble.ORDERED
    if drowned:
        trouble = Trouble.DROWNED
    return Finding(
        rule,
        "warn" if warn else "info",
        last.name,
        f"different {what} become the same {'at a sum' if drowned else 'with depth'}: their "
        f"correlation rises from {max(before, 0.0):.2f} to {_near_1(apart)}{drowned}",
        {
            "correlation_first": before,
            "correlation_last": after,
            "threshold": 1
            - (analysis.thresholds.alike_warn if warn else analysis.thresholds.alike_info),
        },
        "arXiv:1611.01232" if rule == "samples-collapse" else "arXiv:2103.03404",
        advice_on(trouble) if warn or drowned else "",
    )


COLLAPSE = Check(
    collapse_findings,
    (
        Rule(
            (
                "samples-collapse",
                "positions-collapse",
                "rank-collapse",
            ),
            "different inputs, or positions of a sequence, become the same",
            "arXiv:1611.01232, arXiv:2103.03404, arXiv:2003.01652",
        ),
    ),
)
