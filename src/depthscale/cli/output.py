"""What every command prints and writes: tables on the terminal, records as JSON, a bar while
something runs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from depthscale import files
from depthscale.controls import disarm

if TYPE_CHECKING:
    from depthscale.run import Run


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The pieces of text that are printed, disarmed."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(disarm(piece.text), piece.style)


def console() -> Console:
    return _Terminal(markup=False, highlight=False)


def check(json: Path | None, *others: Path | None, folder: Path | None = None) -> None:
    """raises: UnwritablePath, before anything is computed."""
    for path in (None if str(json) == "-" else json, *others):
        if path is not None:
            files.check_file(path)
    if folder is not None:
        files.check_folder(folder)


def deliver(
    found: Any,
    command: str,
    shown: RenderableType,
    json: Path | None,
    html: Path | None = None,
    folder: Path | None = None,
    pictures: Callable[[Any], dict[str, bytes | str]] = lambda found: {},
) -> None:
    """What an explanation found: its page, its record, its pictures into a folder, and a table on
    the terminal. / command: as its record names it."""
    from depthscale._report import to_html
    from depthscale.store import SCHEMA, dumps

    drawn = pictures(found) if folder is not None else {}
    if folder is not None:
        files.make_folder(folder)
        files.write_all({folder / name: content for name, content in drawn.items()})
    if html is not None:
        files.write(html, to_html(found))
    put(dumps({"schema": SCHEMA, "command": command} | found.record()), json)
    if str(json) == "-":
        return
    terminal = console()
    terminal.print(shown)
    written = [f"{folder}/: {', '.join(drawn)}"] if drawn else []
    written += [str(html)] if html is not None else []
    if written:
        terminal.print(f"\nwritten to {' and '.join(written)}", soft_wrap=True)


def show(
    profile: "Run",
    save: Path | None,
    json: Path | None,
    html: Path | None,
    more: Callable[[], dict[str, Any]] = dict,
    lines: Sequence[str] = (),
) -> None:
    """Print a profile, its growth and further lines; write its record and its page. / more: further
    keys of its record."""
    from depthscale._report import (
        growth_line,
        one_network_lines,
        profile_table,
        trainable_depth_lines,
    )
    from depthscale.errors import UnreliableGrowth
    from depthscale.measure import growth

    if save is not None:
        from depthscale.store import save as save_run

        save_run(profile, save)
    if json is not None:
        from depthscale.store import dumps, record

        put(dumps(record(profile) | more()), json)
    if html is not None:
        from depthscale._report import report

        report(profile, html)
    if str(json) == "-":
        return
    terminal = console()
    terminal.print(profile_table(profile, whole=not terminal.is_terminal))
    try:
        found = growth(profile)
        depth = trainable_depth_lines(found) if profile.spec["norm"] == "batch" else []
        lines = [growth_line(found), *one_network_lines(profile, found), *depth, *lines]
    except UnreliableGrowth as refused:
        lines = [growth_line(refused), *lines]
    for line in lines:
        terminal.print(line, soft_wrap=True)
    for note in profile.notes:
        terminal.print(f"note: {note}", soft_wrap=True)


def put(record: str, json: Path | None) -> None:
    if json is None:
        return
    if str(json) == "-":
        sys.stdout.write(record)
    else:
        files.write(json, record)


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere. / yields: a function of the number done and the
    number in all."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield lambda done, total: None
        return
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner with these words on a terminal, nothing elsewhere."""
    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield
        return
    with terminal.status(what):
        yield
