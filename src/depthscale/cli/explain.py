"""Why: the backward pass node by node, and the growth argument step by step."""

from cyclopts import App

from depthscale.cli.explain_model import model
from depthscale.cli.frame import offer

explain = App(name="explain", help=__doc__)
for subject in ("batchnorm", "growth", "matter", "model", "normalizers"):
    offer(explain, f"explain_{subject}", subject)
explain.default(model)
