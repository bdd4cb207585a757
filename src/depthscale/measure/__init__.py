"""Readings of profiles and traces: growth along depth, the ledger, comparisons."""

from depthscale.measure.compare import Comparison, Comparisons, TraceComparison, compare
from depthscale.measure.growth import Growth, growth
from depthscale.measure.ledger import Ledger, ledger

__all__ = [
    "Comparison",
    "Comparisons",
    "Growth",
    "Ledger",
    "TraceComparison",
    "compare",
    "growth",
    "ledger",
]
