"""The command line: one file a command, imported when the command is called."""

from depthscale.cli.frame import app, main, offer

for command in ("demo", "explain", "monitor", "phase", "predict", "probe", "report", "simulate"):
    offer(app, command, command)

__all__ = ["app", "main"]
