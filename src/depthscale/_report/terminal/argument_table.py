"""The growth argument as a table for 80 columns."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from depthscale._explain import Argument, Outcome, Row
from depthscale._report.condensed import StepLine, condensed, steps, verdict_line
from depthscale.network import NetSpec

_WIDTHS = (7, 13, 13, 21, 17)  # of layers, argument, theory, measured, verdict
STYLES = {
    Outcome.HOLDS: "green",
    Outcome.HOLDS_UP_TO: "yellow",
    Outcome.TOO_FEW_SEEDS: "yellow",
    Outcome.FAILS: "bold red",
}


def argument_table(argument: Argument) -> RenderableType:
    """The argument's network, and its rows."""
    spec = argument.spec
    net = (
        f"{spec.depth} {'layers' if spec.depth > 1 else 'layer'} of {spec.width:,}, "
        f"{spec.activation}, {_norm(spec)}"
    )
    reading = (
        "p: mean square of the gradient; argument: as it is told, for an infinite batch; theory: "
        "for this "
        "network; measured: mean over seeds ± standard error of one layer"
    )
    sizes = f"{net}; {spec.batch:,} samples, {argument.loss} loss, {argument.seeds} seeds"
    return rows_table([Text(sizes), Text(reading, style="dim")], argument.rows)


def rows_table(head: Sequence[RenderableType], rows: Sequence[Row]) -> RenderableType:
    """Step by step under some lines; layers with the same verdict and reason share a line."""
    headings = grid(("layers", "argument", "theory", "measured", "verdict"), "bold")
    parts: list[RenderableType] = [*head, Text(), headings]
    for number, step in enumerate(steps(rows), start=1):
        parts += step_lines(number, step[0], map(_line, condensed(step)))
    return Group(*parts, Text(), Text(verdict_line(rows)))


def _line(line: StepLine) -> tuple[Sequence[str], Outcome, str]:
    cells = (line.layers, line.argued, line.predicted, line.measured, line.verdict)
    return cells, line.outcome, line.why


def _norm(spec: NetSpec) -> str:
    if spec.norm == "none":
        return "no norm"
    after = " after it" if spec.position == "after" else ""
    statistics = (
        f", {spec.statistics} statistics"
        if spec.normalizer.has_statistics and spec.statistics != "batch"
        else ""
    )
    return spec.normalizer.name + after + statistics


def step_lines(
    at: int,
    first: Row,
    lines: Iterable[tuple[Sequence[str], Outcome, str]],
    widths: Sequence[int] = _WIDTHS,
) -> Iterator[RenderableType]:
    """A step's heading, and its lines: cells, outcome and the reason for it."""
    yield heading(at, first)
    if first.outcome is Outcome.NO_STEP:
        yield Padding(Text(f"no such step: {first.why}", style="dim"), (0, 0, 0, 4))
        return
    for cells, outcome, why in lines:
        yield grid(cells, STYLES.get(outcome, "dim"), widths)
        if why:
            yield Padding(Text(why, style="dim"), (0, 0, 0, 6))


def heading(at: int, row: Row) -> Text:
    """A step's number, statement and formula."""
    said = Text(f"{at:2}  {row.statement}")
    room = 80 - len(said) - len(row.formula)
    return said.append(" " * room if room >= 2 else "\n    ").append(row.formula, style="cyan")


def grid(cells: Sequence[str], style: str, widths: Sequence[int] = _WIDTHS) -> RenderableType:
    """One line of cells in fixed columns; the style is the verdict's."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    for width in widths:
        table.add_column(width=width)
    table.add_row(*cells[:-1], Text(cells[-1], style=style))
    return Padding(table, (0, 0, 0, 4))
