"""The command line: argv -> one public function each. Torch is loaded only by commands that measure."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, Token, convert
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from depthscale import files
from depthscale.errors import DepthscaleError, InvalidSpec
from depthscale.spec import NetSpec


def _strictly(type_: Any, tokens: Sequence[Token]) -> Any:
    """As cyclopts converts, but a whole number is never rounded from one that is not."""
    whole = type_ is int or type_ == int | None
    if whole and not re.fullmatch(r"[+-]?\d+", tokens[0].value):
        raise ValueError(f"{tokens[0].value!r} is not a whole number")
    if type_ == int | float:
        return int(tokens[0].value) if re.fullmatch(r"[+-]?\d+", tokens[0].value) else float(tokens[0].value)
    return convert(type_, tokens)


app = App(
    name="depthscale",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(converter=_strictly),
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
    seeds: Annotated[int | None, Parameter(help="how many random networks [default: 20]")] = None,
    quick: Annotated[bool, Parameter(help="3 seeds", negative="")] = False,
    seed: Seed = 0,
    loss: Loss = "shared",
    json: Json = None,
) -> None:
    """The founding experiment: Batch Norm makes gradients explode. Three networks on the same weights, theory beside them.

    Vanilla, Batch Norm, and Batch Norm whose statistics take no gradient; norm and statistics are set by the experiment.
    """
    from depthscale.experiments import founding
    from depthscale.report.founding import founding_figures
    from depthscale.report.tables import founding_table
    from depthscale.store import dumps, founding_record

    if spec and (spec.norm, spec.statistics) != ("none", "batch"):
        raise InvalidSpec(
            "demo runs without norm, with Batch Norm and with frozen statistics; leave --norm and --statistics out"
        )
    if quick and seeds is not None:
        raise InvalidSpec("--quick means --seeds 3; give one of the two")
    files.check_folder(out)
    _check(json)
    with _progress("networks") as progress:
        count = 3 if quick else seeds if seeds is not None else 20
        found = founding(spec, seeds=count, seed=seed, loss=loss, progress=progress)
    record = dumps(founding_record(found))
    figures = founding_figures(found)
    files.make_folder(out)
    files.write_all({out / name: content for name, content in {**figures, "demo.json": record}.items()})
    _put(record, json)
    if str(json) != "-":
        console = _console()
        console.print(founding_table(found))
        for note in found.notes():
            console.print(f"note: {note}", soft_wrap=True)
        console.print(f"\nwritten to {out}/: {', '.join([*figures, 'demo.json'])}", soft_wrap=True)


@app.command
def simulate(spec: Network = None, *, seeds: Seeds = 20, seed: Seed = 0, loss: Loss = "independent", json: Json = None) -> None:
    """Measure random networks of one kind, layer by layer, over seeds."""
    from depthscale.nets import simulate

    _check(json)
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" gets "?"
    try:
        app(argv, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (CycloptsError, DepthscaleError) as wrong:
        _stop(f"depthscale: {_one_line(wrong)}", 2)
    except KeyboardInterrupt:
        _stop("depthscale: interrupted; nothing was left half-written", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        _stop("", 0)
    except OSError as refused:
        _stop(f"depthscale: cannot write the output: {refused.strerror}", 2)


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console() -> Console:
    return _Terminal(markup=False, highlight=False)


def _check(json: Path | None) -> None:
    if json is not None and str(json) != "-":
        files.check_file(json)


def _show(profile: Any, json: Path | None) -> None:
    from depthscale import store
    from depthscale.errors import UnreliableGrowth
    from depthscale.measure import growth
    from depthscale.report.tables import growth_line, profile_table

    _put(store.dumps(store.record(profile)), json)
    if str(json) == "-":
        return
    console = _console()
    console.print(profile_table(profile, whole=not console.is_terminal))
    try:
        console.print(growth_line(growth(profile)), soft_wrap=True)
    except UnreliableGrowth as refused:
        console.print(growth_line(refused), soft_wrap=True)
    for note in profile.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _put(record: str, json: Path | None) -> None:
    if json is None:
        return
    if str(json) == "-":
        sys.stdout.write(record)
    else:
        files.write(json, record)


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
