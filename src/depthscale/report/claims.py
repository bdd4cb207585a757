"""Statements with what was predicted and what was measured, as a table: the one place where such rows are drawn."""

from collections.abc import Iterable
from typing import Protocol

from depthscale.report.html import Html, join, table, tag
from depthscale.report.mathml import formula
from depthscale.report.words import rounded, with_error


class Row(Protocol):
    """What a row must have. / stderr: of measured; nan where there is none."""

    @property
    def statement(self) -> str: ...
    @property
    def formula(self) -> str: ...
    @property
    def predicted(self) -> float: ...
    @property
    def measured(self) -> float: ...
    @property
    def stderr(self) -> float: ...
    @property
    def verdict(self) -> str: ...


def claims(rows: Iterable[Row]) -> Html:
    """The rows as a table: statement with its formula, predicted, measured ± standard error, verdict."""
    return table(
        ["statement", "predicted", "measured", "verdict"],
        [
            [join(each.statement, tag("div", formula(each.formula))), _plain(each), _measured(each), each.verdict]
            for each in rows
        ],
        class_="wrapped",
    )


def _plain(row: Row) -> Html:
    """As many digits as can be told from what was measured."""
    return tag("span", rounded(row.predicted, row.stderr, digits=4), class_="number")


def _measured(row: Row) -> Html:
    return tag("span", with_error(row.measured, row.stderr, digits=4), class_="number")
