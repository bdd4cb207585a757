"""Diagnosis: a trace -> findings with evidence, and one sentence."""

from depthscale.diagnose.assertion import assert_propagation
from depthscale.diagnose.diagnose import diagnose
from depthscale.diagnose.finding import Diagnosis, Finding
from depthscale.diagnose.thresholds import Thresholds

__all__ = ["Diagnosis", "Finding", "Thresholds", "assert_propagation", "diagnose"]
