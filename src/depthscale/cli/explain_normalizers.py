"""depthscale explain normalizers."""

from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json, Seed, Seeds
from depthscale.cli.output import check, deliver, progress


def normalizers(
    *,
    activation: Annotated[
        list[str] | None,
        Parameter(help="by name; may be given again and again [default: 12 of them]"),
    ] = None,
    depth: Annotated[int, Parameter(help="number of layers")] = 20,
    width: Annotated[int, Parameter(help="neurons in every layer")] = 256,
    batch: Annotated[int, Parameter(help="number of inputs")] = 32,
    group_size: Annotated[int, Parameter(help="neurons in a group of the group norm")] = 8,
    sigma_w2: Annotated[
        float | None,
        Parameter(help="fan_in times the variance of a weight [default: keeps mean squares]"),
    ] = None,
    seeds: Seeds = 8,
    seed: Seed = 0,
    json: Json = None,
    html: Html = None,
) -> None:
    """Do normalized preactivations imply exploding gradients? What preserves them, and at what
    price?"""
    from depthscale._explain import ACTIVATIONS, normalizers
    from depthscale._report import normalizers_table

    check(json, html)
    with progress("networks") as bar:
        found = normalizers(
            activation or ACTIVATIONS,
            depth,
            width,
            batch,
            group_size,
            seeds,
            seed,
            sigma_w2=sigma_w2,
            progress=bar,
        )
    deliver(found, "explain normalizers", normalizers_table(found), json, html)
