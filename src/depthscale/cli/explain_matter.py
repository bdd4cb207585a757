"""depthscale explain matter."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json, Seed, Seeds
from depthscale.cli.output import check, deliver, progress


def matter(
    *,
    data: Annotated[
        Path | None,
        Parameter(help="folder of Fashion-MNIST's idx files [default: scikit-learn's digits]"),
    ] = None,
    depth: Annotated[
        list[int] | None, Parameter(help="may be given again and again [default: 10 20 30 50]")
    ] = None,
    lr: Annotated[
        list[float] | None, Parameter(help="may be given again and again [default: 0.001 0.01 0.1]")
    ] = None,
    width: Annotated[int, Parameter(help="neurons in every layer")] = 100,
    batch: Annotated[int, Parameter(help="samples in a batch")] = 64,
    steps: Annotated[int, Parameter(help="of plain SGD")] = 300,
    seeds: Seeds = 3,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="folder for matter.png and .svg")] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Does the explosion matter? Trains networks with and without Batch Norm at several depths, for
    a minute or two."""
    from depthscale._explain import DEPTHS, RATES, Settings, matter
    from depthscale._report import matter_figures, matter_table

    check(json, html, folder=out)
    with progress("networks") as bar:
        found = matter(
            depth or DEPTHS,
            lr or RATES,
            seeds,
            seed,
            Settings(width, batch, steps),
            data,
            progress=bar,
        )
    deliver(found, "explain matter", matter_table(found), json, html, out, matter_figures)
