"""Rule on positions of a sequence: one that has all of the gradient."""

from collections.abc import Iterator

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.unmoved import learning_zeros
from depthscale.measure import Analysis

_FEWEST = 8  # positions, of which one is few


def position_findings(case: Analysis) -> Iterator[Finding]:
    """Looked for at the lowest sum or norm of the trunk, where positions should have been mixed."""
    op = next(
        (
            each
            for each in case.dominators
            if each.details.reached is not None
            and each.shape[1] >= _FEWEST
            and not (each.is_input or each.is_embedding)
        ),
        None,
    )
    if op is None or op.details.reached is None or op.details.reached * op.shape[1] > 1.5:
        return
    waits = bool(learning_zeros(case))
    yet = " yet, as weights that are 0 learn first" if waits else ""
    yield Finding(
        "one-position",
        "info" if waits else "warn",
        op.name,
        f"of {op.shape[1]} positions one gets the gradient, a million times as much as any other, "
        "at the lowest place where all paths meet: what stands at the others hardly reaches the "
        f"output{yet}",
        {"positions": op.shape[1], "reached": op.details.reached},
        "",
        "" if waits else advice_on(Trouble.ONE_POSITION),
    )


POSITIONS = Check(
    position_findings,
    (
        Rule(
            ("one-position",),
            "one position of a sequence, as a class token, has all of the gradient at the lowest "
            "sum or norm, so that the others hardly reach the output; a remark where weights that "
            "are 0 learn first",
        ),
    ),
)
