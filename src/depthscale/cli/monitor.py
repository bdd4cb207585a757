"""depthscale monitor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from depthscale.cli.frame import Html, Json
from depthscale.cli.output import check, console, put

if TYPE_CHECKING:
    from depthscale.monitor import Recording


def monitor(
    recording: Annotated[Path, Parameter(help="the file that a Monitor's out= names")],
    /,
    *,
    step: Annotated[
        int | None, Parameter(help="show this sampled step's run, as probe does")
    ] = None,
    whole: Annotated[
        bool, Parameter(name="--all", help="of that run, list every operation", negative="")
    ] = False,
    save: Annotated[Path | None, Parameter(help="write that run, sketches included")] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Read what a Monitor wrote of a training run: what went wrong at which step, where it began,
    and the sampled steps before it. A file of a process that was killed is read up to its last
    whole segment."""
    from depthscale.monitor import load_recording

    check(json, html, save)
    loaded = load_recording(recording)
    if step is not None or save is not None:
        _one_step(loaded, -1 if step is None else step, whole, save, json, html)
    else:
        _all(loaded, json, html)


def _all(loaded: "Recording", json: Path | None, html: Path | None) -> None:
    from depthscale._report import recording_view, report
    from depthscale.store import SCHEMA, dumps

    if str(json) != "-":
        terminal = console()
        for line in recording_view(loaded, width=min(terminal.width, 120)):
            terminal.print(line, soft_wrap=isinstance(line, str))
    put(dumps({"schema": SCHEMA, "command": "monitor"} | loaded.record()), json)
    if html is not None:
        report(loaded, html)


def _one_step(
    loaded: "Recording",
    step: int,
    whole: bool,
    save: Path | None,
    json: Path | None,
    html: Path | None,
) -> None:
    from depthscale.cli.probe import told, written
    from depthscale.errors import InvalidInput

    try:
        run = loaded.at(step)
    except KeyError as missing:
        raise InvalidInput(missing.args[0]) from None
    told(run, whole, None, quiet=str(json) == "-")
    written(run, save, json, html)
