"""depthscale explain model, also without its name: depthscale explain file.py:factory."""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Group

from depthscale.cli.frame import Html, Json, Seed
from depthscale.cli.models import Inputs, Keywords, Mode, Model, OutputLoss, Part, Repeats, probed
from depthscale.cli.output import check, console, deliver


def model(
    model: Model,
    /,
    *,
    input: Inputs = None,
    kw: Keywords = None,
    loss: OutputLoss = "independent",
    mode: Mode = None,
    repeats: Repeats = 1,
    output: Part = None,
    norm: Annotated[str | None, Parameter(help="show the norm of this name in full")] = None,
    whole: Annotated[
        bool, Parameter(name="--all", help="show every norm in full", negative="")
    ] = False,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
) -> None:
    """Which step of the growth argument breaks at which norm of your own model.

    At every batch, layer, group, instance or RMS norm: what its backward pass does to the gradient,
    step by step.
    """
    from depthscale._explain import explain
    from depthscale._report import explained_view

    check(json, html)
    asked = {"loss": loss, "mode": mode, "repeats": repeats, "output": output}
    found = explain(probed(model, input, kw, seed, norms=True, **asked))
    if norm is not None:
        found[norm]  # so that a wrong name is said before anything is written
    shown = Group(*explained_view(found, norm, whole=whole, width=min(console().width, 100)))
    deliver(found, "explain model", shown, json, html)
