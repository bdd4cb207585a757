"""Readings of profiles and traces: growth along depth, the ledger, comparisons."""

from depthscale.measure.compare import Comparison, TraceComparison, compare
from depthscale.measure.growth import Growth, growth
from depthscale.measure.ledger import Ledger, ledger

__all__ = ["Comparison", "Growth", "Ledger", "TraceComparison", "compare", "growth", "ledger"]
