"""depthscale report."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from depthscale.cli.frame import app
from depthscale.cli.output import check, console
from depthscale.errors import InvalidRecord


@app.command
def report(
    record: Annotated[Path, Parameter(help="what simulate --json, predict --json, probe --save or save wrote")],
    /,
    *others: Annotated[Path, Parameter(help="further profiles, to be compared with the first")],
    html: Annotated[Path, Parameter(help="the page to write")] = Path("report.html"),
) -> None:
    """Draw saved records as one HTML page with charts, which opens without a network."""
    from depthscale.profile import Profile
    from depthscale.report.show import report
    from depthscale.store import load

    check(None, html)
    if not others:
        report(load(record), html)
    else:
        loaded = [(path, load(path)) for path in (record, *others)]
        profiles = [each for _, each in loaded if isinstance(each, Profile)]
        if len(profiles) < len(loaded):
            trace = next(path for path, each in loaded if not isinstance(each, Profile))
            raise InvalidRecord(f"{trace} holds a trace; profiles alone are compared, so give it by itself")
        report(profiles, html)
    console().print(f"written to {html}", soft_wrap=True)
