"""The growth argument at the norms of a user's model, for a terminal of 80 columns."""

from collections.abc import Iterator
from math import isfinite
from textwrap import fill

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._explain import BLOCK_STEPS, Explanation, NormRows, Outcome, Row, read_explanation
from depthscale._report.condensed import number
from depthscale._report.short_names import cut_middle
from depthscale._report.short_numbers import short
from depthscale._report.terminal.argument_table import STYLES, grid, step_lines

_WIDTH, _NAME = 80, 8  # columns of the table; of a norm's name, at least
_WIDTHS = (13, 13, 21, 24)  # of argument, theory, measured, verdict
_LABELS = {step.name: step.label for step in BLOCK_STEPS}
_SHOWN = (  # step, heading
    ("inverse", "1/σ²"),
    ("through_mean", "through\nmean"),
    ("through_sigma", "through\nsigma"),
    ("slopes_independent", "r(φ'²,\ng²)"),
    ("z_independent", "r(z,g)"),
    ("norm", "gain"),
)
_FORMS = {
    "through_mean": ".4f",
    "through_sigma": ".4f",
    "slopes_independent": "+.2f",
    "z_independent": "+.2f",
}


def explained_view(
    found: Explanation, norm: str | None = None, *, whole: bool = False, width: int = 80
) -> Iterator[RenderableType]:
    """Everything that `depthscale explain model` prints. / norm: the one that is shown in full;
    whole: all of them are."""
    chosen = [found[norm]] if norm is not None else list(found.norms)
    over = f"{found.networks} networks" if found.networks > 1 else "one network"
    yield f"{found.model}, {found.mode} mode, loss {found.loss}, {found.batch:,} samples, {over}"
    yield ""
    first, *failing = read_explanation(found)
    yield Text(fill(first, width), style="bold")
    for clause in failing:
        yield Text(fill(f"- {clause}", width, subsequent_indent="  "))
    yield ""
    if whole or norm is not None:
        yield Text(fill(f"p: mean square of the gradient. {_legend(found)}", width), style="dim")
        for each in chosen:
            yield from _in_full(each)
    else:
        yield _table(chosen)
        yield Text(
            fill(
                "gain, theory: of the mean square of dE/dz through the norm, γ apart. "
                f"{_legend(found)}",
                width,
            ),
            style="dim",
        )
    yield from _left_out(found, width)


def _legend(found: Explanation) -> str:
    within = "A step holds within 2 % (|r| within 0.05)"
    if found.networks > 1:
        return f"{within} and 3 standard errors."
    return (
        f"{within}: one network has no standard error; a function that makes it, with "
        "--repeats 10, does."
    )


def _table(norms: list[NormRows]) -> Table:
    """One line a norm; its name has the columns that the others leave."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    rows = [
        [
            *(_cell(norm[step]) for step, _ in _SHOWN),
            _plain(norm["norm"].predicted),
            _first(norm.failing),
        ]
        for norm in norms
    ]
    titles = [*(title for _, title in _SHOWN), "theory", "fails"]
    cells = zip(*rows, strict=True)
    widths = [
        max(map(len, (*title.split("\n"), *column)))
        for title, column in zip(titles, cells, strict=True)
    ]
    room = max(_NAME, _WIDTH - sum(widths) - len(widths))
    table.add_column("\nnorm", no_wrap=True)
    for title, width in zip(titles, widths, strict=True):
        side = "left" if title == "fails" else "right"
        table.add_column(
            title if "\n" in title else f"\n{title}", justify=side, no_wrap=True, min_width=width
        )
    for norm, row in zip(norms, rows, strict=True):
        table.add_row(cut_middle(norm.name, room), *row)
    return table


def _cell(row: Row) -> Text:
    form = _FORMS.get(row.step)
    style = "" if row.outcome is Outcome.HOLDS else STYLES.get(row.outcome, "")
    return (
        Text(format(row.measured, form), style=style)
        if form and isfinite(row.measured)
        else _plain(row.measured, style)
    )


def _plain(value: float, style: str = "") -> Text:
    """In at most 7 columns."""
    if not isfinite(value):
        return Text("-", style=style)
    return Text(f"{value:.0f}" if 100 <= abs(value) < 1e5 else short(value, 3), style=style)


def _first(failing: list[Row]) -> Text:
    """The first step that fails, as the argument goes, and how many more."""
    if not failing:
        return Text()
    return Text(
        _LABELS[failing[0].step] + (f" +{len(failing) - 1}" if len(failing) > 1 else ""),
        style=STYLES[Outcome.FAILS],
    )


def _in_full(norm: NormRows) -> Iterator[RenderableType]:
    yield ""
    yield Text(f"{norm.name}: {norm.title}, one σ over {norm.values:,} values", style="bold")
    yield grid(("argument", "theory", "measured", "verdict"), "bold", _WIDTHS)
    for at, row in enumerate(norm.rows, start=1):
        error = f" ± {row.stderr:.2g}" if isfinite(row.stderr) else ""
        values = (number(v) if isfinite(v) else "-" for v in (row.argued, row.predicted))
        cells = (*values, number(row.measured) + error, row.verdict)
        yield from step_lines(at, row, [(cells, row.outcome, row.why)], _WIDTHS)


def _left_out(found: Explanation, width: int) -> Iterator[Text]:
    notes = []
    if found.without:
        notes.append(
            f"not explained, since no finite gradient reached them: {', '.join(found.without)}"
        )
    if found.missing:
        more = f", and {len(found.missing) - 2} more" if len(found.missing) > 2 else ""
        notes.append(
            f"theory is blank (-) where it has no rule: {'; '.join(found.missing[:2])}{more}"
        )
    for note in notes:
        yield Text(fill(f"note: {note}", width, subsequent_indent="  "), style="dim")
