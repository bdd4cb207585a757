"""depthscale explain matter."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale import files
from depthscale.cli.explain import explain
from depthscale.cli.frame import Json, Seed, Seeds
from depthscale.cli.output import check, console, progress, put


@explain.command
def matter(
    *,
    data: Annotated[Path | None, Parameter(help="folder of Fashion-MNIST's idx files [default: scikit-learn's digits]")] = None,
    depth: Annotated[list[int] | None, Parameter(help="may be given again and again [default: 10 20 30 50]")] = None,
    lr: Annotated[list[float] | None, Parameter(help="may be given again and again [default: 0.001 0.01 0.1]")] = None,
    width: Annotated[int, Parameter(help="neurons in every layer")] = 100,
    batch: Annotated[int, Parameter(help="samples in a batch")] = 64,
    steps: Annotated[int, Parameter(help="of plain SGD")] = 300,
    seeds: Seeds = 3,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="folder for matter.png and .svg")] = None,
    json: Json = None,
) -> None:
    """Does the explosion matter? Trains networks with and without Batch Norm at several depths, for a minute or two."""
    from depthscale.explain.matter import DEPTHS, RATES, matter
    from depthscale.explain.training import Settings
    from depthscale.report.matter import matter_figures, matter_table
    from depthscale.store import dumps, matter_record

    check(json)
    if out is not None:
        files.check_folder(out)
    with progress("networks") as bar:
        found = matter(depth or DEPTHS, lr or RATES, seeds, seed, Settings(width, batch, steps), data, progress=bar)
    figures = matter_figures(found) if out else {}
    if out:
        files.make_folder(out)
        files.write_all({out / name: content for name, content in figures.items()})
    put(dumps(matter_record(found)), json)
    if str(json) != "-":
        terminal = console()
        terminal.print(matter_table(found))
        if out:
            terminal.print(f"\nwritten to {out}/: {', '.join(figures)}", soft_wrap=True)
