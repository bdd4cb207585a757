"""Readings of profiles and traces: growth along depth, the ledger, comparisons."""

from depthscale.measure.analysis import Analysis
from depthscale.measure.compare import (
    AS_UNLIKELY,
    Comparison,
    Difference,
    Ratio,
    compare,
    gradient_along_depth,
    run_names,
)
from depthscale.measure.first_steps import FirstSteps
from depthscale.measure.growth import Growth, Of, growth
from depthscale.measure.laws import Factor, Law, Power, Segments, SuperExponential, Transient
from depthscale.measure.ledger import Ledger, ledger
from depthscale.measure.paths import flow
from depthscale.measure.segments import Segment
from depthscale.measure.small_batches import (
    FEWEST_VALUES,
    is_empty,
    norms_over_few,
    values_per_channel,
)
from depthscale.measure.step_words import at_rate, explodes, of_layers, short_rate
from depthscale.measure.steps_taken import SCRAMBLED, BlockStep, ParameterStep
from depthscale.measure.thresholds import SEVERITIES, Severity, Thresholds
from depthscale.measure.wording import growth_in_words

__all__ = [
    "AS_UNLIKELY",
    "FEWEST_VALUES",
    "SCRAMBLED",
    "SEVERITIES",
    "Analysis",
    "BlockStep",
    "Comparison",
    "Difference",
    "Factor",
    "FirstSteps",
    "Growth",
    "Law",
    "Ledger",
    "Of",
    "ParameterStep",
    "Power",
    "Ratio",
    "Segment",
    "Segments",
    "Severity",
    "SuperExponential",
    "Thresholds",
    "Transient",
    "at_rate",
    "compare",
    "explodes",
    "flow",
    "gradient_along_depth",
    "growth",
    "growth_in_words",
    "is_empty",
    "ledger",
    "norms_over_few",
    "of_layers",
    "run_names",
    "short_rate",
    "values_per_channel",
]
