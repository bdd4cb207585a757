"""The command line: one file a command, in the order in which `--help` lists them."""

from depthscale.cli import demo, explain, phase, predict, probe, report, simulate
from depthscale.cli.frame import app, main

__all__ = ["app", "demo", "explain", "main", "phase", "predict", "probe", "report", "simulate"]
