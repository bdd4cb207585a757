"""Readings of profiles and traces: growth along depth, the ledger, comparisons."""

from depthscale.measure.analysis import Analysis
from depthscale.measure.compare import Comparison, Comparisons, TraceComparison, compare
from depthscale.measure.growth import Growth, growth
from depthscale.measure.ledger import Ledger, ledger
from depthscale.measure.thresholds import SEVERITIES, Severity, Thresholds

__all__ = [
    "SEVERITIES",
    "Analysis",
    "Comparison",
    "Comparisons",
    "Growth",
    "Ledger",
    "Severity",
    "Thresholds",
    "TraceComparison",
    "compare",
    "growth",
    "ledger",
]
