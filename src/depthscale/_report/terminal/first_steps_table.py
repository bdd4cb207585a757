"""First steps for a terminal: the verdict, and a row a block."""

from collections.abc import Sequence
from math import isfinite, isnan

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from depthscale._report.short_numbers import short
from depthscale._report.terminal.titled_table import titled_table
from depthscale.measure import BlockStep, FirstSteps, at_rate, short_rate

_MOST_ROWS = 24
_LONGEST = 40  # characters of a name


def first_steps_view(found: FirstSteps) -> RenderableType:
    """Everything that `depthscale first-steps` prints."""
    verdict = found.verdict
    how = "theory" if found.theory else "one forward and backward pass, the step taken on copies"
    batch = f", batch of {found.batch:g}" if isfinite(found.batch) else ""
    return Group(
        Text(f"{found.model}, {at_rate(found)}{batch}: {how}"),
        Text(),
        Text(f"{verdict[:1].upper() + verdict[1:]}.", style="bold"),
        Text(),
        _table(found),
        Text(),
        *(Text(line) for line in _limits(found)),
        *(Text(f"note: {note}") for note in found.notes),
    )


def _table(found: FirstSteps) -> Table:
    title = f"by {found.word}: its weight that turns most"
    headings = ("", "weight", "|update| / |weight|", "degrees", "then", "size seen")
    table = titled_table(title, headings, "weight", 2)
    half, blocks = _MOST_ROWS // 2, found.blocks
    rows = [_row(each) for each in blocks]
    if len(blocks) > _MOST_ROWS:
        rows = [*rows[:half], ("...", *[""] * 5), *rows[-half:]]
    for row in rows:
        table.add_row(*row)
    return table


def _row(block: BlockStep) -> Sequence[str]:
    most = block.most
    name = most.name if len(most.name) <= _LONGEST else f"..{most.name[2 - _LONGEST :]}"
    return (
        str(block.number or ""),
        name,
        short(most.relative, 3),
        short(most.degrees, 3),
        "" if isnan(most.turn.degrees_after) else short(most.turn.degrees_after, 3),
        "no" if most.scale_invariant else "yes",
    )


def _limits(found: FirstSteps) -> Sequence[str]:
    """The rate and the depth up to which no block turns by more than 45 degrees, and what the
    columns are."""
    rate = "not known: the step is not proportional to it"
    if not isnan(found.lr_limit):
        rate = short_rate(found.lr_limit) if isfinite(found.lr_limit) else "none"
    decisive = f" ({found.decisive.name} is the first)" if found.decisive else ""
    depth = f"{found.depth_limit:.1f}" if isfinite(found.depth_limit) else "none"
    depth = "not known" if isnan(found.depth_limit) else depth
    return (
        f"largest rate that turns nothing by more than 45 degrees: {rate}{decisive}",
        f"largest depth at this rate, in {found.word}s: {depth}",
        "then: degrees of the same step once the weight's norm has grown by this one, where the "
        "loss does not see its size (<w, dE/dw> = 0)",
    )
