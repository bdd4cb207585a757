"""A table under its title, without lines."""

from collections.abc import Iterable

from rich.table import Table


def titled_table(title: str, headings: Iterable[str], left: str, gap: int) -> Table:
    """left: the heading of the one column of words; gap: spaces between columns."""
    table = Table(title=title, box=None, title_justify="left", padding=(0, gap, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading == left else "right")
    return table
