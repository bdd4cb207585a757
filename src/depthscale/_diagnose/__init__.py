"""Diagnosis: a trace -> findings with evidence, and one sentence."""

from depthscale._diagnose.assertion import assert_propagation
from depthscale._diagnose.diagnose import diagnose
from depthscale._diagnose.finding import Diagnosis, Finding
from depthscale._diagnose.thresholds import Thresholds

__all__ = ["Diagnosis", "Finding", "Thresholds", "assert_propagation", "diagnose"]
