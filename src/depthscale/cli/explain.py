"""depthscale explain: one command for each thing that can be explained."""

from cyclopts import App

from depthscale.cli.frame import app

explain = App(name="explain", help="Why: the backward pass node by node, and the growth argument step by step.")
app.command(explain)
