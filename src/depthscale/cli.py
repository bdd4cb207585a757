"""The command line: argv -> one public function each. Torch is loaded only by commands that measure."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from depthscale import files
from depthscale.errors import DepthscaleError
from depthscale.spec import NetSpec

app = App(
    name="depthscale",
    suppress_keyboard_interrupt=False,
    help="Whether signal and gradient survive a network's depth, and what theory says of it.",
)

Network = Annotated[NetSpec | None, Parameter(name="*")]
Json = Annotated[Path | None, Parameter(help="write the record as JSON; - for standard output", allow_leading_hyphen=True)]
Seeds = Annotated[int, Parameter(help="how many random networks")]
Seed = Annotated[int, Parameter(help="number of the first one")]
Loss = Annotated[str, Parameter(help="independent: a cotangent for every sample; shared: one for all, E = sum of w.x")]


@app.command
def demo(
    spec: Network = None,
    *,
    out: Annotated[Path, Parameter(help="folder for the figures and demo.json")] = Path("demo"),
    seeds: Seeds = 20,
    quick: Annotated[bool, Parameter(help="3 seeds", negative="")] = False,
    seed: Seed = 0,
    loss: Loss = "shared",
    json: Json = None,
) -> None:
    """The founding experiment: Batch Norm makes gradients explode. Three networks on the same weights, theory beside them.

    Vanilla, Batch Norm, and Batch Norm whose statistics take no gradient; norm and statistics are set by the experiment.
    """
    from depthscale.experiments import founding
    from depthscale.report.founding import save_figures
    from depthscale.report.tables import founding_table
    from depthscale.store import dumps, founding_record

    files.check_folder(out)
    with _progress("networks") as progress:
        found = founding(spec, seeds=3 if quick else seeds, seed=seed, loss=loss, progress=progress)
    record = founding_record(found)
    paths = [*save_figures(found, out), out / "demo.json"]
    files.write(paths[-1], dumps(record))
    _put(record, json)
    if str(json) != "-":
        console = Console()
        console.print(founding_table(found))
        if found.without_theory:
            console.print(f"without theory: {found.without_theory}")
        console.print(f"\nwritten to {out}/: {', '.join(path.name for path in paths)}", soft_wrap=True)


@app.command
def simulate(spec: Network = None, *, seeds: Seeds = 20, seed: Seed = 0, loss: Loss = "independent", json: Json = None) -> None:
    """Measure random networks of one kind, layer by layer, over seeds."""
    from depthscale.nets import simulate

    with _progress("networks") as progress:
        profile = simulate(spec or NetSpec(), seeds=seeds, seed=seed, loss=loss, progress=progress)
    _show(profile, json)


@app.command
def predict(spec: Network = None, *, loss: Loss = "independent", json: Json = None) -> None:
    """What theory says of such networks, layer by layer, without running any."""
    from depthscale.theory import predict

    _show(predict(spec or NetSpec(), loss=loss), json)


def main(argv: list[str] | None = None) -> None:
    """Run one command. / exit status: 0 done, 2 wrong use, 130 interrupted."""
    try:
        app(argv, exit_on_error=False, print_error=False)
    except (CycloptsError, DepthscaleError) as wrong:
        _stop(f"depthscale: {_one_line(wrong)}", 2)
    except KeyboardInterrupt:
        _stop("depthscale: interrupted; nothing was left half-written", 130)
    except BrokenPipeError:
        _stop("", 0)


def _show(profile: Any, json: Path | None) -> None:
    from depthscale import store
    from depthscale.errors import UnreliableGrowth
    from depthscale.measure import growth
    from depthscale.report.tables import growth_line, profile_table

    _put(store.record(profile), json)
    if str(json) == "-":
        return
    console = Console()
    console.print(profile_table(profile))
    try:
        console.print(growth_line(growth(profile)), soft_wrap=True)
    except UnreliableGrowth as refused:
        console.print(growth_line(refused), soft_wrap=True)
    for note in profile.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _put(record: dict[str, Any], json: Path | None) -> None:
    from depthscale import store

    if json is None:
        return
    if str(json) == "-":
        sys.stdout.write(store.dumps(record))
    else:
        files.write(json, store.dumps(record))


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere. / yields: a function of the number done and the number in all."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _one_line(wrong: Exception) -> str:
    return " ".join(str(wrong).split())


def _stop(message: str, status: int) -> None:
    if message:
        sys.stderr.write(message + "\n")
    sys.exit(status)
