"""One cell: the factory called after its seed, what it made measured, and a row of it; whatever
goes wrong there becomes the row's error."""

import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from time import perf_counter
from typing import Any

from depthscale.sweeps.grid import OWN, GridValue

CellRow = dict[str, GridValue]
Call = tuple[Mapping[str, GridValue], int]  # arguments and seed


@dataclass(frozen=True)
class Recipe:
    """What all cells share. / inputs: of models that come without; measure: what is made -> a
    number or columns."""

    make: Callable[..., Any]
    measure: Callable[..., Any]
    inputs: Any = None


def run_cells(pickled: bytes, calls: Sequence[Call]) -> tuple[list[CellRow], float]:
    """A row for each call, without id, and the seconds they took. On one thread, so that sums are
    taken in the same order everywhere."""
    import torch

    torch.set_num_threads(1)
    try:
        recipe = _recipe(pickled)
    except Exception as wrong:  # a module that this machine lacks
        return [
            _failed({**arguments, "seed": seed}, _said(wrong)) for arguments, seed in calls
        ], 0.0
    began = perf_counter()
    return [row_of(recipe, arguments, seed) for arguments, seed in calls], perf_counter() - began


def row_of(recipe: Recipe, arguments: Mapping[str, GridValue], seed: int) -> CellRow:
    """The row of one cell; "failed" with its error where the factory or the measure raised."""
    from depthscale._probe import seeded

    own = {**arguments, "seed": seed}
    try:
        with seeded(seed):
            made = recipe.make(**arguments, **_asked(recipe.make, seed=seed))
            also = _asked(recipe.measure, seed=seed, inputs=recipe.inputs)
            measured = _columns(recipe.measure(made, **also), own)
    except (Exception, SystemExit) as wrong:
        return _failed(own, _said(wrong))
    return {**own, "status": "ok", "error": None, **measured}


def died(arguments: Mapping[str, GridValue], seed: int) -> CellRow:
    """The row of a cell whose process did not survive it, whenever it was tried."""
    error = "the process that ran it died each time, as one without memory does"
    return _failed({**arguments, "seed": seed}, error)


def takes(function: Callable[..., Any]) -> Mapping[str, Any] | None:
    """A function's parameters by name; None where it does not tell."""
    try:
        return signature(function).parameters
    except ValueError:  # one written in C
        return None


def _asked(function: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    """What a function has a parameter for."""
    parameters = takes(function) or {}
    return {name: value for name, value in offered.items() if name in parameters}


def _failed(own: CellRow, error: str) -> CellRow:
    return {**own, "status": "failed", "error": error}


def _columns(measured: Any, own: Mapping[str, Any]) -> CellRow:
    columns = measured if isinstance(measured, Mapping) else {"value": measured}
    taken = [name for name in columns if name in own or name in OWN]
    if taken:
        raise ValueError(f"the measure returns {taken[0]!r}, which is a column already")
    return {str(name): _plain(str(name), value) for name, value in columns.items()}


def _plain(name: str, value: Any) -> GridValue:
    """A number as a float: a column is of one type, whichever cell comes first."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(
        f"the measure returns a {type(value).__name__} as {name!r}; a column holds numbers, texts, "
        "booleans or None"
    )


def _said(wrong: BaseException) -> str:
    """What was raised, and where, in one line."""
    frames = traceback.extract_tb(wrong.__traceback__)
    there = [frame for frame in frames if "depthscale" not in Path(frame.filename).parts[:-1]]
    last = (there or frames)[-1]
    text = " ".join(str(wrong).split())
    return f"{type(wrong).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"


@cache
def _recipe(pickled: bytes) -> Recipe:
    return pickle.loads(pickled)
