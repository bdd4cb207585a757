"""Rule on theory: a measured rate that a random network with such weights and inputs would not
have."""

from collections.abc import Iterator
from math import isnan, log

from depthscale._diagnose.finding import Finding
from depthscale.measure import Growth
from depthscale.measure.analysis import Analysis


def theory_findings(case: Analysis) -> Iterator[Finding]:
    """Measured and predicted rate apart by more than their errors: 3 standard errors, and what a
    finite width may do."""
    measured, predicted = case.gradient, case.predicted_rate
    if (
        not isinstance(measured, Growth)
        or isnan(predicted)
        or not predicted > 0
        or isnan(measured.log_stderr)
    ):
        return
    apart = log(measured.rate / predicted)
    allowed = (
        case.thresholds.deviates * measured.log_stderr
        + case.thresholds.theory_apart
        + _width_allowance(case)
    )
    if abs(apart) <= allowed:
        return
    yield Finding(
        "theory-differs",
        "info",
        case.bulk[-1].name if case.bulk else "",
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


def _width_allowance(case: Analysis) -> float:
    """Bias of one step's log gain at a finite width: 5 / (2 n) for ReLU, doubled. / source:
    arXiv:1812.05994."""
    widths = [
        op.shape[1] if len(op.shape) != 3 else op.shape[2]
        for op in case.bulk
        if len(op.shape) > 1 and op.weights
    ]
    return 5 / min(widths) if widths else 0.0
