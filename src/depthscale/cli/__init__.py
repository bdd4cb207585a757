"""The command line: one file a command, in the order in which `--help` lists them."""

from depthscale.cli import (
    demo,
    explain,
    explain_growth,
    explain_matter,
    explain_model,
    explain_normalizers,
    phase,
    predict,
    probe,
    report,
    simulate,
)
from depthscale.cli.frame import app, main

__all__ = [
    "app",
    "demo",
    "explain",
    "explain_growth",
    "explain_matter",
    "explain_model",
    "explain_normalizers",
    "main",
    "phase",
    "predict",
    "probe",
    "report",
    "simulate",
]
