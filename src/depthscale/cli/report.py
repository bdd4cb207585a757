"""depthscale report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from depthscale.cli.output import check, console

if TYPE_CHECKING:
    from depthscale.run import Run


def report(
    record: Annotated[Path, Parameter(help="what --save or save wrote")],
    /,
    *others: Annotated[Path, Parameter(help="further runs, to be compared with the first")],
    html: Annotated[Path, Parameter(help="the page to write")] = Path("report.html"),
) -> None:
    """Draw saved records as one HTML page with charts, which opens without a network. Nothing in a
    record is run."""
    from depthscale._report import report
    from depthscale.store import load

    check(None, html)
    loaded = {path: load(path) for path in (record, *others)}
    described = all(run.graph.is_described for run in loaded.values())
    several = list(loaded.values()) if described else _by_file(loaded)
    report(several if others else loaded[record], html)
    console().print(f"written to {html}", soft_wrap=True)


def _by_file(loaded: "dict[Path, Run]") -> "dict[str, Run]":
    """By the names of their files, where these differ."""
    stems = [path.stem for path in loaded]
    names = stems if len(set(stems)) == len(stems) else map(str, loaded)
    return dict(zip(names, loaded.values(), strict=True))
