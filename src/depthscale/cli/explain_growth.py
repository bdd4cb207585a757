"""depthscale explain growth."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json, Loss, Seed, Seeds
from depthscale.cli.output import check, deliver, progress
from depthscale.network import NetSpec


@dataclass(frozen=True, kw_only=True)
class Argued:
    """The network whose argument is checked: the fields of a NetSpec that the argument speaks of,
    with a norm by default."""

    activation: Annotated[
        str, Parameter(help="phi, by name: relu, tanh, gelu, leaky_relu(0.2), ...")
    ] = "relu"
    norm: Annotated[str, Parameter(help="batch, layer, rms, group, none, ...")] = "batch"
    position: Annotated[str, Parameter(help="of the norm, before or after the activation")] = (
        "before"
    )
    statistics: Annotated[str, Parameter(help="of batch norm: batch, frozen or running")] = "batch"
    depth: Annotated[int, Parameter(help="number of layers")] = 10
    width: Annotated[int, Parameter(help="neurons in every layer")] = 1024
    batch: Annotated[int, Parameter(help="number of inputs")] = 128
    groups: Annotated[int, Parameter(help="of a group norm")] = 32
    eps: Annotated[float, Parameter(help="added to the variance under the norm's root")] = 0.0
    sigma_w2: Annotated[float, Parameter(help="fan_in times the variance of a weight")] = 2.0


def growth(
    network: Annotated[Argued, Parameter(name="*")] = Argued(),
    *,
    loss: Loss = "shared",
    seeds: Seeds = 10,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="folder for three charts, as PNG and SVG")] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Why Batch Norm makes gradients explode: the argument step by step, each predicted, measured
    and judged."""
    from depthscale._explain import growth_argument
    from depthscale._report import argument_figures, argument_table

    spec = NetSpec(**asdict(network))
    check(json, html, folder=out)
    with progress("networks") as bar:
        argument = growth_argument(spec, loss=loss, seeds=seeds, seed=seed, progress=bar)
    deliver(
        argument,
        "explain growth",
        argument_table(argument),
        json,
        html,
        out,
        argument_figures,
    )
