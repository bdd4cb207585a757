"""depthscale sweep."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Address, BackendName, Html, Json, Seed, Workers
from depthscale.cli.models import Inputs, Keywords
from depthscale.cli.output import check, deliver, progress


def sweep(
    factory: Annotated[
        str,
        Parameter(help="file.py:function or package.module:function that takes the grid's names"),
    ],
    /,
    *grid: Annotated[
        str,
        Parameter(
            help="name=10,20,40 lists values, 1..5 counts, .01..0.1x5 has 5 values at equal "
            "distances, 1e-4..1x5log at equal factors"
        ),
    ],
    seeds: Annotated[int, Parameter(help="networks of each combination")] = 1,
    seed: Seed = 0,
    input: Inputs = None,
    kw: Keywords = None,
    measure: Annotated[
        str | None,
        Parameter(
            help="file.py:function of what the factory makes -> a number, or columns by name "
            "[default: growth, ledger and verdict of a probe]"
        ),
    ] = None,
    backend: BackendName = "local",
    address: Address = None,
    workers: Workers = None,
    out: Annotated[
        Path | None, Parameter(help="folder of the cells; the same command goes on where one ended")
    ] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Measure every combination of a grid's arguments: growth, ledger and verdict of each network
    that your function makes.

    A cell that fails is a row with its error. The page of --html is renewed while the sweep runs.
    """
    from depthscale._report import sweep_table
    from depthscale.cli.models import named
    from depthscale.cli.tensors import arguments
    from depthscale.sweeps import propagation, read_grid
    from depthscale.sweeps import sweep as run

    check(json, html, folder=out)
    make, values = named(factory), read_grid(grid)
    with progress("cells") as bar:
        found = run(
            make,
            values,
            seeds=range(seed, seed + max(0, seeds)),
            measure=propagation if measure is None else named(measure),
            inputs=arguments(input or [], kw or [], seed),
            out=out,
            backend=backend,  # pyright: ignore[reportArgumentType]
            workers=workers,
            address=address,
            html=html,
            progress=bar,
        )
    deliver(found, "sweep", sweep_table(found), json, html)
