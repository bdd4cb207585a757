"""An argument's rows as few lines: the layers of a step that have the same verdict and reason share
one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite

import numpy as np

from depthscale._explain import Outcome, Row
from depthscale._report.phrases import with_error

_ALIKE = 0.01  # relative difference of theory's values that are told as one


@dataclass(frozen=True)
class StepLine:
    """Layers of one step, in words. / verdict: the outcome with its number."""

    layers: str
    argued: str
    predicted: str
    measured: str
    outcome: Outcome
    verdict: str
    why: str


def steps(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows step by step."""
    return [list(each) for _, each in groupby(rows, key=lambda row: row.step)]


def condensed(rows: list[Row]) -> list[StepLine]:
    """The rows of one step, in the order of their first layers; the first layer apart where it
    differs alone."""
    groups: dict[tuple[Outcome, str], list[Row]] = {}
    for row in rows:
        why = "" if row.outcome is Outcome.TOO_FEW_SEEDS else row.why
        groups.setdefault((row.outcome, why), []).append(row)
    return [_line(part) for group in groups.values() for part in _parts(group)]


def where(rows: Sequence[Row]) -> str:
    """Their layers: "1, 3-9"; "bulk" for what is said of all layers between the first and the
    last."""
    layers = [row.layer for row in rows if row.layer is not None]
    if not layers:
        return "bulk"
    runs = [
        [layer for _, layer in run]
        for _, run in groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def verdict_line(rows: Iterable[Row]) -> str:
    """How many steps hold, and which do not, where."""
    judged = {
        number: [row for row in step if row.outcome not in (Outcome.NO_STEP, Outcome.NO_FORMULA)]
        for number, step in enumerate(steps(rows), start=1)
    }
    judged = {number: step for number, step in judged.items() if step}
    whole = sum(all(row.outcome is Outcome.HOLDS for row in step) for step in judged.values())
    failing: dict[str, list[str]] = {}
    for number, step in judged.items():
        at = where([row for row in step if row.outcome is Outcome.FAILS])
        if any(row.outcome is Outcome.FAILS for row in step):
            failing.setdefault(at, []).append(str(number))
    told = [
        f"{'steps' if len(numbers) > 1 else 'step'} {', '.join(numbers)} at layer {at}"
        for at, numbers in failing.items()
    ]
    return f"{whole} of {len(judged)} steps hold at every layer; " + (
        f"failing: {'; '.join(told)}" if told else "none fails"
    )


def _line(rows: list[Row]) -> StepLine:
    worst = max(rows, key=lambda row: (row.miss, _noise(row)))
    return StepLine(
        where(rows),
        _values(rows, "argued"),
        _values(rows, "predicted"),
        _values(rows, "measured"),
        worst.outcome,
        worst.verdict,
        worst.why,
    )


def _noise(row: Row) -> float:
    """Standard error relative to theory's value; 0 where that says nothing."""
    return (
        row.stderr / abs(row.predicted)
        if isfinite(row.predicted) and row.predicted and isfinite(row.stderr)
        else 0.0
    )


def _parts(rows: list[Row]) -> list[list[Row]]:
    return [rows[:1], rows[1:]] if len(rows) > 1 and not _same(rows) and _same(rows[1:]) else [rows]


def _same(rows: list[Row]) -> bool:
    """Whether theory's values, or else the measured ones, are told as one."""
    values = [row.predicted if isfinite(row.predicted) else row.measured for row in rows]
    return max(values) - min(values) <= _ALIKE * max(map(abs, values)) or rows[0].argued == 0


def _values(rows: Sequence[Row], which: str) -> str:
    values = [getattr(row, which) for row in rows]
    if not all(map(isfinite, values)):
        return "infinite" if any(value == float("inf") for value in values) else "-"
    if not _same(list(rows)):
        return (
            f"{values[0]:.3g} to {values[-1]:.3g}"
            if max(values) > min(values)
            else number(values[0])
        )
    mean = float(np.mean(values))
    return (
        with_error(mean, max(row.stderr for row in rows)) if which == "measured" else number(mean)
    )


def number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1e-4 or not value else f"{value:.0e}"
