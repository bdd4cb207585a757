"""depthscale study."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Address, BackendName, Html, Json, Workers
from depthscale.cli.output import check, deliver, progress


def study(
    *,
    quick: Annotated[
        bool, Parameter(help="a share of it, in some two minutes on two cores", negative="")
    ] = False,
    network: Annotated[
        list[str] | None, Parameter(help="vanilla, 'batch norm', 'batch norm, shift 1'")
    ] = None,
    optimizer: Annotated[
        list[str] | None, Parameter(help="sgd, 'sgd with warmup', adam, layerwise")
    ] = None,
    depth: Annotated[
        list[int] | None, Parameter(help="may be given again and again [default: 5 to 50]")
    ] = None,
    rate: Annotated[
        list[float] | None, Parameter(help="learning rates [default: 1e-4 to 1, by decades]")
    ] = None,
    width: Annotated[int, Parameter(help="neurons in every layer")] = 100,
    batch: Annotated[int, Parameter(help="samples in a batch")] = 64,
    steps: Annotated[int | None, Parameter(help="[default: 300; of --quick 100]")] = None,
    seeds: Annotated[int | None, Parameter(help="[default: 3; of --quick 2]")] = None,
    data: Annotated[
        Path | None,
        Parameter(help="folder of Fashion-MNIST's idx files [default: scikit-learn's digits]"),
    ] = None,
    backend: BackendName = "local",
    address: Address = None,
    workers: Workers = None,
    out: Annotated[
        Path | None,
        Parameter(help="folder of the networks; the same command goes on where one ended"),
    ] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Does the growth of gradients matter? Trains networks over depth, optimizer and learning rate,
    and draws theory's lines over what they reach.

    The whole of it takes an hour or so on two cores; give --out, and it can be ended and gone on
    with.
    """
    from depthscale._report import study_table
    from depthscale.sweeps import QUICK, QUICK_STEPS, StudyGrid, Training
    from depthscale.sweeps import study as run

    check(json, html, folder=out)
    usual = QUICK if quick else StudyGrid()
    grid = StudyGrid(
        tuple(network or usual.networks),
        tuple(depth or usual.depths),
        tuple(optimizer or usual.optimizers),
        tuple(rate or usual.rates),
        usual.seeds if seeds is None else seeds,
    )
    long = steps if steps is not None else QUICK_STEPS if quick else Training.steps
    training = Training(width, batch, long, str(data) if data is not None else None)
    with progress("networks") as bar:
        found = run(
            grid,
            training,
            out=out,
            backend=backend,  # pyright: ignore[reportArgumentType]
            workers=workers,
            address=address,
            progress=bar,
        )
    deliver(found, "study", study_table(found), json, html)
