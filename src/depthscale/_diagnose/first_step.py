"""Rules on what the given optimizer will make of the gradient in its first step."""

from collections.abc import Iterator

from depthscale._diagnose.advice import advice_on
from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale._diagnose.trouble import Trouble
from depthscale.measure import SCRAMBLED, Analysis, FirstSteps, Severity, explodes

_SOURCE = "arXiv:1706.05350, arXiv:2306.00700"


def first_step_findings(case: Analysis) -> Iterator[Finding]:
    """How far the step turns each layer, wherever an optimizer was given with a loss."""
    steps = case.first_steps
    if steps is not None and steps.blocks:
        share = len(steps.scrambled) / len(steps.layers)
        yield _turned(case, steps, share)
    elif case.trace.step is not None and case.trace.step.refused:
        yield Finding(
            "first-step-not-taken",
            "info",
            "",
            case.trace.step.refused,
            {"optimizer": case.trace.step.optimizer},
        )


def _turned(case: Analysis, steps: FirstSteps, share: float) -> Finding:
    most = max(steps.layers, key=lambda each: each.degrees)
    equal = steps.is_equal and explodes(steps)
    trouble = Trouble.SCRAMBLED if share else Trouble.EQUALIZED if equal else None
    return Finding(
        "first-step-scrambles" if share else "first-step-turns",
        _severity(case, share),
        "",
        steps.verdict,
        {
            "scrambled": len(steps.scrambled),
            "of": len(steps.layers),
            "degrees": most.degrees,
            "threshold_degrees": SCRAMBLED,
            "threshold_share": case.thresholds.scrambled_error,
            "lr_limit": steps.lr_limit,
            "depth_limit": steps.depth_limit,
        },
        _SOURCE,
        advice_on(trouble) if trouble is not None else "",
        f"the first step of {steps.step.optimizer} turns {len(steps.scrambled)} of "
        f"{len(steps.layers)} {steps.word}s by more than {SCRAMBLED:.0f} degrees",
    )


def _severity(case: Analysis, share: float) -> Severity:
    if share >= case.thresholds.scrambled_error:
        return "error"
    return "warn" if share else "info"


FIRST_STEP = Check(
    first_step_findings,
    (
        Rule(
            ("first-step-scrambles",),
            "the first step of the given optimizer turns layers by more than 45 degrees, so that "
            "more of their weights is new than is left; an error for half of them",
            _SOURCE,
        ),
        Rule(
            ("first-step-turns",),
            "how far the given optimizer's first step turns each layer, where that is less; equal "
            "steps, as of Adam, are no cure for growth",
            _SOURCE,
        ),
        Rule(
            ("first-step-not-taken",),
            "the given optimizer's step could not be taken on copies, and why",
        ),
    ),
)
