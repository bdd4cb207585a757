"""The table of blocks for a terminal: a row a place of depth, towers under their own headings."""

from collections.abc import Iterable, Iterator, Sequence
from math import isnan

from rich.table import Table
from rich.text import Text

from depthscale._report.short_names import cut_middle
from depthscale.run import BlockRow, Blocks

_MOST_ROWS = 44
_ENDS = 8  # rows kept at both ends of a tower that is cut
_NAME = 12  # columns of a name, at least
_HELD = 40.0  # log2 of an RMS, beyond which its exponent is shown
GAINS = (
    "gain backward: RMS of the gradient where a block begins, over that where it ends; theory: "
    "the same"
)
_MEASURED = " (~: a measured gain stands in for a rule that is missing)"
_BRANCH = "; branch: RMS of what is added over that of the trunk it is added to"


def legend(blocks: Blocks) -> str:
    """What the columns mean."""
    known = any(not isnan(row.theory_backward) for row in blocks)
    said = GAINS if known else GAINS.partition("; theory")[0]
    said += _MEASURED if known and not all(row.from_theory for row in blocks) else ""
    return said + (_BRANCH if any(row.branches for row in blocks) else "")


def blocks_table(blocks: Blocks, width: int, cut: str = "…") -> Table:
    """width: of the terminal; cut: what stands for what is left out."""
    columns = [c for c in _COLUMNS if any(map(c[1], blocks))]
    towers = len(blocks.parts) > 1
    lines = list(_shown(blocks, towers))
    cells = [[form(row) for _, form in columns] for row in lines if isinstance(row, BlockRow)]
    heads = [heading for heading, _ in columns]
    sizes = [
        max(len(part) for part in [*head.split("\n"), *column])
        for head, column in zip(heads, zip(*cells, strict=True), strict=True)
    ]
    named = max(len(row) if isinstance(row, str) else len(_name(row, towers)) for row in lines)
    room = max(min(named, width - sum(sizes) - 2 * len(sizes)), _NAME)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("\nblock", no_wrap=True)
    for heading in heads:
        left = heading.endswith("finding")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in lines:
        if isinstance(row, str):
            table.add_row(Text(cut_middle(row, room, cut), style="bold cyan"))
            continue
        name = cut_middle(_name(row, towers), room, cut)
        style = "yellow" if row.findings else "" if row.kind else "dim"
        table.add_row(Text(name, style=style), *(form(row) for _, form in columns))
    return table


def _shown(blocks: Blocks, towers: bool) -> Iterator[BlockRow | str]:
    """Rows, the heading of a tower before its first, and a line for rows that are left out."""
    part = ""
    for rows in _runs(blocks):
        if towers and rows[0].part and rows[0].part != part:
            part = rows[0].part
            yield part
        if len(blocks) <= _MOST_ROWS or len(rows) <= 2 * _ENDS + 1:
            yield from rows
            continue
        yield from rows[:_ENDS]
        yield f"… {len(rows) - 2 * _ENDS} more"
        yield from rows[-_ENDS:]


def _runs(blocks: Blocks) -> Iterator[list[BlockRow]]:
    """Rows of one tower that follow each other."""
    run: list[BlockRow] = []
    for row in blocks:
        if run and (row.part, bool(row.kind)) != (run[-1].part, bool(run[-1].kind)):
            yield run
            run = []
        run.append(row)
    yield run


def _name(row: BlockRow, towers: bool) -> str:
    """Under its tower's heading what the heading does not say."""
    return f"  {row.name.removeprefix(f'{row.part}.')}" if towers and row.part else row.name


def power(log2_value: float) -> str:
    """2 to this, in three digits."""
    if abs(log2_value) > _HELD:
        return "0" if log2_value == -float("inf") else f"2^{log2_value:.0f}"
    value = 2.0**log2_value
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value >= 1e-3 else f"{value:.1e}"


def _root(log2_ms: float) -> str:
    return "" if isnan(log2_ms) else power(log2_ms / 2)


def _gain(log2_ms: float, mark: str = "") -> str:
    return "" if isnan(log2_ms) else f"{mark}x{power(log2_ms / 2)}"


def _theory(row: BlockRow) -> str:
    return _gain(row.log2_theory_backward, "" if row.from_theory else "~")


def _branches(row: BlockRow) -> str:
    return " ".join(f"{ratio:#.2g}" for ratio in _ends(row.branches))


def _ends(ratios: Sequence[float]) -> Iterable[float]:
    """All of two, of more the least and the largest."""
    return ratios if len(ratios) < 3 else (min(ratios), max(ratios))


_COLUMNS = (
    ("activation\nRMS", lambda row: _root(row.log2_activation_ms)),
    ("gradient\nRMS", lambda row: _root(row.log2_gradient_ms)),
    ("gain\nforward", lambda row: _gain(row.log2_forward)),
    ("gain\nbackward", lambda row: _gain(row.log2_backward)),
    ("\ntheory", _theory),
    ("\nbranch", _branches),
    ("parameters'\ngradient", lambda row: _root(row.log2_parameter_gradient_ms)),
    ("\nfinding", lambda row: " ".join(row.findings[:1])),
)
