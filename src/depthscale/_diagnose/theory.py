"""Rule on theory: a measured rate that a random network with such weights and inputs would not
have."""

from collections.abc import Iterator
from math import isnan, log

from depthscale._diagnose.finding import Finding
from depthscale._diagnose.rule import Check, Rule
from depthscale.measure import Analysis, Growth
from depthscale.numerics import as_sure_as


def theory_findings(analysis: Analysis) -> Iterator[Finding]:
    """Measured and predicted rate apart by more than their errors: 3 standard errors, or as many as
    are as sure after Student's t, and what a finite width may do."""
    measured, predicted = analysis.gradient, analysis.predicted_rate
    if (
        not isinstance(measured, Growth)
        or isnan(predicted)
        or not predicted > 0
        or isnan(measured.log_stderr)
    ):
        return
    apart = log(measured.rate / predicted)
    allowed = (
        as_sure_as(analysis.thresholds.z_score, measured.degrees) * measured.log_stderr
        + analysis.thresholds.theory_apart
        + _width_allowance(analysis)
    )
    if abs(apart) <= allowed:
        return
    yield Finding(
        "theory-differs",
        "info",
        analysis.bulk[-1].name if analysis.bulk else "",
        f"theory gives x{predicted:.4g} per {measured.step} for independent, centred weights of "
        "these sizes; measured is "
        f"x{measured.rate:.4g} ± {measured.stderr:.2g}: the weights are trained, or depend on "
        "each other or on the inputs",
        {
            "predicted_rate": predicted,
            "rate": measured.rate,
            "stderr": measured.stderr,
            "allowed": allowed,
        },
        "arXiv:1611.01232",
        "",
    )


def _width_allowance(analysis: Analysis) -> float:
    """Bias of one step's log gain at a finite width: 5 / (2 n) for ReLU, doubled. / source:
    arXiv:1812.05994."""
    widths = [
        op.shape[1] if len(op.shape) != 3 else op.shape[2]
        for op in analysis.bulk
        if len(op.shape) > 1 and op.weights
    ]
    return 5 / min(widths) if widths else 0.0


THEORY = Check(
    theory_findings,
    (
        Rule(
            ("theory-differs",),
            "measured and predicted rate lie apart by more than their errors: trained "
            "weights, or correlated ones",
            "arXiv:1611.01232",
        ),
    ),
)
