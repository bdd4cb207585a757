"""Diagnosis: a trace -> findings with evidence, and one sentence."""

from depthscale._diagnose.advice import ADVICE
from depthscale._diagnose.assertion import assert_propagation
from depthscale._diagnose.diagnose import RULE_NAMES, RULES, diagnose
from depthscale._diagnose.finding import Diagnosis, Finding
from depthscale._diagnose.rule import Rule
from depthscale._diagnose.trouble import Trouble
from depthscale._diagnose.units import saturated

__all__ = [
    "ADVICE",
    "RULES",
    "RULE_NAMES",
    "Diagnosis",
    "Finding",
    "Rule",
    "Trouble",
    "assert_propagation",
    "diagnose",
    "saturated",
]
