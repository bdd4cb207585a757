"""Diagnosis: a trace -> findings with evidence, and one sentence."""

from depthscale._diagnose.assertion import assert_propagation
from depthscale._diagnose.diagnose import diagnose
from depthscale._diagnose.finding import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "assert_propagation", "diagnose"]
