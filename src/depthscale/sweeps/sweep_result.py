"""Sweep: the cells of a grid as a table, and as maps of two of its arguments."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from depthscale.drawable import Drawable
from depthscale.errors import InvalidSpec, MissingPackage
from depthscale.sweeps.cell_folder import arrow
from depthscale.sweeps.grid import GridValue, SweepCell


@dataclass(frozen=True)
class Field:
    """A column over the cells of one combination of arguments.

    Attributes:
        where: Those arguments' values.
        mean: Of numbers; of texts the most frequent; None where there is no value.
        stderr: Of a mean over several cells, else 0.
        count: Cells that have a value.
        failed: Cells that raised.
    """

    where: tuple[GridValue, ...]
    mean: float | str | None
    stderr: float
    count: int
    failed: int


@dataclass(frozen=True, eq=False)
class SweepMap(Drawable):
    """What a column is over one or two arguments of a grid.

    Attributes:
        axes: The arguments, x and y, with their values.
        color: The column.
        fields: x, then y.
        over: What else varies in a field, with its number of values.
        fixed: What was held.
    """

    axes: Mapping[str, Sequence[GridValue]]
    color: str
    fields: tuple[Field, ...]
    over: Mapping[str, int]
    fixed: Mapping[str, GridValue]

    @property
    def is_text(self) -> bool:
        return any(isinstance(field.mean, str) for field in self.fields)

    def __repr__(self) -> str:
        return f"SweepMap({self.color} over {' and '.join(self.axes)}, {len(self.fields)} fields)"


@dataclass(frozen=True, eq=False)
class Sweep(Drawable):
    """The cells of a sweep that are done.

    Attributes:
        grid: The values of each argument.
        seeds: Of each combination.
        folder: Where the cells are kept; None where only in memory.
    """

    grid: Mapping[str, tuple[GridValue, ...]]
    seeds: tuple[int, ...]
    folder: Path | None
    _cells: Any

    @classmethod
    def of(
        cls,
        grid: Mapping[str, tuple[GridValue, ...]],
        seeds: tuple[int, ...],
        cells: Sequence[SweepCell],
        table: Any,
        folder: Path | None,
    ) -> "Sweep":
        """Of those cells of a table that the grid has, in its order."""
        row = {cell: i for i, cell in enumerate(table["cell"].to_pylist())}
        order = [row[cell.id] for cell in cells if cell.id in row]
        return cls(grid, seeds, folder, table.take(arrow().array(order, arrow().int64())))

    def table(self) -> Any:
        """A pyarrow table with a row for each cell: the grid's names, seed, status ("ok" or
        "failed"), error, and what was measured."""
        return self._cells

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. / raises: MissingPackage."""
        try:
            return self._cells.to_pandas()
        except ImportError:
            raise MissingPackage(
                "to_pandas needs pandas; install it: pip install 'depthscale[pandas]'"
            ) from None

    @property
    def total(self) -> int:
        """Cells of the whole grid."""
        return int(np.prod([len(values) for values in self.grid.values()])) * len(self.seeds)

    @property
    def errors(self) -> dict[str, int]:
        """What failed, with the number of cells, the most frequent first."""
        return dict(Counter(filter(None, self._cells["error"].to_pylist())).most_common())

    @property
    def measured(self) -> list[str]:
        """The columns that the measure gave."""
        own = {"cell", "seed", "status", "error", *self.grid}
        return [name for name in self._cells.column_names if name not in own]

    def map(
        self, x: str, y: str | None = None, color: str = "rate", **fixed: GridValue
    ) -> SweepMap:
        """A column over two arguments of the grid, or over one, for `chart`, `report` and
        notebooks.

        Args:
            x, y: Names of the grid.
            color: A measured column; the mean over whatever else varies, of texts the most
                frequent.
            **fixed: Values at which other arguments are held.

        Raises:
            InvalidSpec: For names that are not there.
        """
        axes = (x,) if y is None else (x, y)
        if x == y:
            raise InvalidSpec(f"a map has two different arguments, got {x!r} twice")
        fields = self.fields(axes, color, **fixed)
        others = {n: len(v) for n, v in self.grid.items() if n not in (*axes, *fixed)}
        over = {name: n for name, n in (others | {"seed": len(self.seeds)}).items() if n > 1}
        return SweepMap({name: self.grid[name] for name in axes}, color, fields, over, fixed)

    def fields(self, names: Sequence[str], color: str, **fixed: GridValue) -> tuple[Field, ...]:
        """A column over every combination of some arguments. / raises: as `map`."""
        self._check_names(names, color, fixed)
        columns = {name: self._cells[name].to_pylist() for name in (*names, *fixed)}
        places: dict[tuple[GridValue, ...], list[tuple[str, GridValue]]] = {
            where: [] for where in product(*(self.grid[name] for name in names))
        }
        measured = zip(*(self._cells[name].to_pylist() for name in ("status", color)), strict=True)
        for i, cell in enumerate(measured):
            if all(columns[name][i] == value for name, value in fixed.items()):
                places[tuple(columns[name][i] for name in names)].append(cell)
        return tuple(_field(where, found) for where, found in places.items())

    def record(self) -> dict[str, Any]:
        """Plain values: the grid, and every cell."""
        return {
            "grid": {name: list(values) for name, values in self.grid.items()},
            "seeds": list(self.seeds),
            "total": self.total,
            "cells": self._cells.to_pylist(),
        }

    def __len__(self) -> int:
        return len(self._cells)

    def __repr__(self) -> str:
        failed = sum(self.errors.values())
        names = " x ".join(f"{len(values)} {name}" for name, values in self.grid.items())
        told = f", {failed:,} failed" if failed else ""
        return (
            f"Sweep({names} x {len(self.seeds)} seed: {len(self):,} of {self.total:,} cells{told})"
        )

    def _check_names(
        self, names: Sequence[str], color: str, fixed: Mapping[str, GridValue]
    ) -> None:
        for name in (*names, *fixed):
            if name not in self.grid:
                raise InvalidSpec(f"the grid has no {name!r}; it has {', '.join(self.grid)}")
        if color not in self.measured:
            there = ", ".join(self.measured) or "none: every cell failed"
            raise InvalidSpec(f"no column {color!r} was measured; there is {there}")
        for name, value in fixed.items():
            if value not in self.grid[name]:
                raise InvalidSpec(f"the grid has no {name} = {value!r}")


def _field(where: tuple[GridValue, ...], found: Sequence[tuple[str, GridValue]]) -> Field:
    values = [value for status, value in found if status == "ok" and value is not None]
    failed = sum(status == "failed" for status, _ in found)
    if any(isinstance(value, str) for value in values):
        (most, _), *_ = Counter(map(str, values)).most_common()
        return Field(where, most, 0.0, len(values), failed)
    numbers = [float(value) for value in values if not isinstance(value, str)]
    numbers = [number for number in numbers if isfinite(number)]
    n = len(numbers)
    stderr = float(np.std(numbers, ddof=1) / sqrt(n)) if n > 1 else 0.0
    return Field(where, float(np.mean(numbers)) if n else None, stderr, n, failed)
