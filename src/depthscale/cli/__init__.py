"""The command line: one file a command, imported when the command is called."""

from depthscale.cli.frame import app, main, offer

for command in (
    "demo",
    "explain",
    "monitor",
    "phase",
    "predict",
    "probe",
    "report",
    "simulate",
    "study",
    "sweep",
):
    offer(app, command, command)
offer(app, "first_steps", "first_steps")

__all__ = ["app", "main"]
