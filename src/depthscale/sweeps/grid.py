"""The cells of a sweep: a grid of arguments, as in Python or on a command line, and seeds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from json import dumps
from math import isnan, prod
from numbers import Integral, Real
from typing import Any

import numpy as np

from depthscale.errors import InvalidSpec

OWN = ("cell", "seed", "status", "error")  # columns that every table has
_MOST = 10_000_000  # cells, whose ids are held in memory
_LAST_SEED = 2**32 - 1
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:x(\d+)(log)?)?", re.IGNORECASE)
_HYDRA = re.compile(rf"range\(({_NUMBER}),({_NUMBER})(?:,({_NUMBER}))?\)", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "null": None}
_FORMS = "write name=10,20,40 or name=1..5 or name=.01..0.1x5 or name=1e-4..1x5log"

GridValue = bool | int | float | str | None


@dataclass(frozen=True)
class SweepCell:
    """One call of the factory. / id: of what makes it; arguments: of the grid."""

    id: str
    arguments: Mapping[str, GridValue]
    seed: int


def read_grid(words: Sequence[str]) -> dict[str, list[GridValue]]:
    """A grid as it is written on a command line.

    Args:
        words: Each name=values: 10,20,40 lists values; 1..5 counts; .01..0.1x5 has 5 values at
            equal distances, 1e-4..1x5log at equal factors; range(1,10,2) is Python's.

    Raises:
        InvalidSpec: For anything else.
    """
    grid: dict[str, list[GridValue]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not (equals and name.isidentifier() and values.strip()):
            raise InvalidSpec(f"{word!r} is no part of a grid; {_FORMS}")
        if name in grid:
            raise InvalidSpec(f"the grid names {name} twice; write all its values in one")
        pieces = re.split(r",(?![^(]*\))", values.replace(" ", ""))
        grid[name] = [value for piece in pieces for value in _values(piece, word)]
    return grid


def checked_grid(grid: Mapping[str, Sequence[Any]]) -> dict[str, tuple[GridValue, ...]]:
    """A grid of plain values. / raises: InvalidSpec for one that has no cells, or whose cells
    cannot be told apart."""
    if not isinstance(grid, Mapping) or not grid:
        raise InvalidSpec(
            f"a grid gives each name its values, as {{'depth': [10, 20]}}; got {grid!r}"
        )
    checked = {name: _column(name, values) for name, values in grid.items()}
    if prod(map(len, checked.values())) > _MOST:
        raise InvalidSpec(f"the grid has more than {_MOST:,} cells; sweep over fewer values")
    return checked


def checked_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Seeds from 0 on, or those listed. / raises: InvalidSpec."""
    if isinstance(seeds, Integral) and not isinstance(seeds, bool) and 1 <= int(seeds) <= _MOST:
        return tuple(range(int(seeds)))
    listed = tuple(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else ()
    whole = all(
        isinstance(seed, Integral) and not isinstance(seed, bool) and 0 <= seed <= _LAST_SEED
        for seed in listed
    )
    if not listed or not whole or len(set(listed)) < len(listed):
        raise InvalidSpec(
            "seeds are how many, from 1 on, or different whole numbers from 0 to 2^32 - 1; got "
            f"{seeds!r}"
        )
    return tuple(map(int, listed))


def cells_of(
    grid: Mapping[str, Sequence[GridValue]], seeds: Sequence[int], made_by: str
) -> Iterator[SweepCell]:
    """Every cell, the first seed of all before the second. / made_by: what else makes them."""
    common = blake2b(made_by.encode(), digest_size=16)
    for seed in seeds:
        for values in product(*grid.values()):
            own = common.copy()
            arguments = dict(zip(grid, values, strict=True))
            own.update(dumps([arguments, seed], sort_keys=True).encode())
            yield SweepCell(own.hexdigest(), arguments, seed)


def _column(name: str, values: Any) -> tuple[GridValue, ...]:
    if not isinstance(name, str) or not name.isidentifier() or name in OWN:
        raise InvalidSpec(f"{name!r} is no name of an argument, or one that every table has itself")
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray | range):
        raise InvalidSpec(f"the grid's {name} must list its values, as [10, 20]; got {values!r}")
    column = tuple(_plain(name, value) for value in values)
    if not column:
        raise InvalidSpec(f"the grid lists no value of {name}")
    twice = next((value for i, value in enumerate(column) if value in column[:i]), _plain)
    if twice is not _plain:
        raise InvalidSpec(f"the grid lists {name} = {twice!r} twice")
    return column


def _plain(name: str, value: Any) -> GridValue:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, bool | int | float | str | None) or (
        isinstance(value, Real) and isnan(value)
    ):
        raise InvalidSpec(
            f"the grid's {name} holds {value!r}; a value is a number, a text, a boolean or None "
            "(name anything else by a text, and look it up in the factory)"
        )
    return value


def _values(piece: str, word: str) -> list[GridValue]:
    """The values of one piece between commas."""
    if spread := _RANGE.fullmatch(piece):
        first, last, count, log = spread.groups()
        return _spread(first, last, count, log, word)
    if counted := _HYDRA.fullmatch(piece):
        start, stop, step = (_number(each) for each in (*counted.groups()[:2], counted[3] or "1"))
        if not step or (stop - start) * step <= 0:
            raise InvalidSpec(f"{word!r}: {piece} holds no value")
        exact = np.arange(start, stop, step).tolist()
        return [round(value, 12) for value in exact]
    if not piece or ".." in piece or piece.startswith("range("):
        raise InvalidSpec(f"{word!r}: {piece or 'nothing'!r} is no value; {_FORMS}")
    if re.fullmatch(_NUMBER, piece, re.IGNORECASE):
        return [_number(piece)]
    return [_WORDS.get(piece.lower(), piece)]


def _spread(
    first: str, last: str, count: str | None, log: str | None, word: str
) -> list[GridValue]:
    low, high = _number(first), _number(last)
    if count is None:
        if not (isinstance(low, int) and isinstance(high, int) and low < high):
            raise InvalidSpec(f"{word!r}: only rising whole numbers count by themselves; {_FORMS}")
        return list(range(low, high + 1))
    number = int(count)
    if not 2 <= number <= _MOST or low == high or (log and min(low, high) <= 0):
        raise InvalidSpec(
            f"{word!r}: a range has two different ends and 2 values or more; equal factors need "
            "ends above 0"
        )
    spaced = np.geomspace if log else np.linspace
    values = [float(f"{value:.12g}") for value in spaced(low, high, number)]
    if isinstance(low, int) and isinstance(high, int) and all(v.is_integer() for v in values):
        return [int(value) for value in values]
    return list(values)


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
