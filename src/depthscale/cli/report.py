"""depthscale report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from depthscale.cli.frame import app
from depthscale.cli.output import check, console
from depthscale.errors import InvalidRecord

if TYPE_CHECKING:
    from depthscale.run import Profile, Trace


@app.command
def report(
    record: Annotated[
        Path, Parameter(help="what simulate --json, predict --json, probe --save or save wrote")
    ],
    /,
    *others: Annotated[
        Path, Parameter(help="further profiles or traces, to be compared with the first")
    ],
    html: Annotated[Path, Parameter(help="the page to write")] = Path("report.html"),
) -> None:
    """Draw saved records as one HTML page with charts, which opens without a network."""
    from depthscale._report.render import report
    from depthscale.store import load

    check(None, html)
    if not others:
        report(load(record), html)
    else:
        loaded = [(path, load(path)) for path in (record, *others)]
        kinds = {type(each).__name__ for _, each in loaded}
        if len(kinds) > 1:
            told = ", ".join(
                f"{path} holds a {type(each).__name__.lower()}" for path, each in loaded
            )
            raise InvalidRecord(
                f"profiles are compared with profiles and traces with traces, but {told}"
            )
        report(_by_file(loaded) if "Trace" in kinds else [each for _, each in loaded], html)
    console().print(f"written to {html}", soft_wrap=True)


def _by_file(loaded: "list[tuple[Path, Profile | Trace]]") -> "dict[str, Profile | Trace]":
    """By the names of their files, where these differ."""
    stems = [path.stem for path, _ in loaded]
    told = stems if len(set(stems)) == len(stems) else [str(path) for path, _ in loaded]
    return dict(zip(told, (each for _, each in loaded), strict=True))
