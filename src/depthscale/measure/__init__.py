"""Readings of profiles and traces: growth along depth, the ledger, comparisons."""

from depthscale.measure.analysis import Analysis
from depthscale.measure.compare import (
    Comparison,
    Difference,
    Ratio,
    compare,
    gradient_along_depth,
    run_names,
)
from depthscale.measure.growth import Growth, growth
from depthscale.measure.ledger import Ledger, ledger
from depthscale.measure.thresholds import SEVERITIES, Severity, Thresholds

__all__ = [
    "SEVERITIES",
    "Analysis",
    "Comparison",
    "Difference",
    "Growth",
    "Ledger",
    "Ratio",
    "Severity",
    "Thresholds",
    "compare",
    "gradient_along_depth",
    "growth",
    "ledger",
    "run_names",
]
