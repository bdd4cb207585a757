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
    from depthscale.report.tables import classical_lines
    from depthscale.store import classical_record
    from depthscale.theory import predict
    from depthscale.theory.classical import classical

    spec = spec or NetSpec()
    _check(json)
    profile = predict(spec, loss=loss)
    first = spec.sigma_w2 * spec.input_variance + spec.sigma_b2
    plain = (spec.norm, spec.residual) == ("none", None)
    found = classical(spec.activation, spec.sigma_w2, spec.sigma_b2, first or 1.0) if plain else None
    _show(profile, json, {"classical": classical_record(found)}, classical_lines(found) if found else [])


@app.command
def phase(
    *,
    activation: Annotated[str, Parameter(help="phi, by name: tanh, relu, gelu, leaky_relu(0.2), ...")] = "tanh",
    out: Annotated[Path, Parameter(help="folder for phase_<activation>.png and .svg")] = Path("phase"),
    sigma_w2_max: Annotated[float, Parameter(help="the largest fan_in times variance of a weight")] = 4.0,
    sigma_b2_max: Annotated[float, Parameter(help="the largest variance of a bias")] = 0.5,
    json: Json = None,
) -> None:
    """The phase diagram of an activation without norm: its critical line, and how deep correlations reach beside it."""
    from depthscale.report.figures import pictures
    from depthscale.report.phase import phase_chart, phase_summary
    from depthscale.store import dumps, phase_record
    from depthscale.theory.critical import phase_diagram

    files.check_folder(out)
    _check(json)
    diagram = phase_diagram(activation, sigma_w2_max, sigma_b2_max)
    figures = pictures(phase_chart(diagram), f"phase_{re.sub(r'[^0-9A-Za-z.-]+', '_', activation).strip('_')}")
    files.make_folder(out)
    files.write_all({out / name: content for name, content in figures.items()})
    _put(dumps(phase_record(diagram)), json)
    if str(json) != "-":
        console = _console()
        for line in phase_summary(diagram):
            console.print(line, soft_wrap=True)
        console.print(f"\nwritten to {out}/: {', '.join(figures)}", soft_wrap=True)


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


def _show(profile: Any, json: Path | None, more: dict[str, Any] | None = None, lines: Sequence[str] = ()) -> None:
    """Print a profile, its growth and further lines. / more: further keys of its record."""
    from depthscale import store
    from depthscale.errors import UnreliableGrowth
    from depthscale.measure import growth
    from depthscale.report.tables import growth_line, one_network_lines, profile_table, trainable_depth_lines

    _put(store.dumps(store.record(profile) | (more or {})), json)
    if str(json) == "-":
        return
    console = _console()
    console.print(profile_table(profile, whole=not console.is_terminal))
    try:
        found = growth(profile)
        depth = trainable_depth_lines(found) if profile.spec["norm"] == "batch" else []
        lines = [growth_line(found), *one_network_lines(profile, found), *depth, *lines]
    except UnreliableGrowth as refused:
        lines = [growth_line(refused), *lines]
    for line in lines:
        console.print(line, soft_wrap=True)
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
