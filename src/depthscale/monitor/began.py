"""began: where a training run's trouble began, the first operation to leave its range for good."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from depthscale.run import Reading, Run

FEWEST = 4  # earlier steps that make a range
_DEVIATIONS = 8.0  # of the median absolute deviation, each as large as a standard deviation
_NORMAL = 1.4826  # a normal standard deviation over the median absolute one
_RECENT = 3  # of so many steps before one the last belongs to no range: a slow departure is there


class Departed(StrEnum):
    """What left its range, in the order in which one makes the other; or what runs no more, or
    had not run before."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    GRADIENT = "gradient"
    GONE = "gone"
    NEW = "new"


_FLOORS = {  # log2 of a mean square by which anything may differ; weights move slowly
    Departed.WEIGHT: 1.0,
    Departed.ACTIVATION: 2.0,
    Departed.GRADIENT: 4.0,
}


@dataclass(frozen=True)
class Began:
    """The first departure from a range.

    Attributes:
        step: of training, among the sampled ones.
        operation: its name; place: in the order of running.
        block: the module that it ran in.
        what: its weight, its activation, or its gradient; gone, or new.
        log2_before: median of log2 of the mean square over earlier steps; log2_now: at that step;
            inf or nan where values are not finite.
        left: how many operations left their range at that step, in the same quantity.
    """

    step: int
    operation: str
    place: int
    block: str
    what: Departed
    log2_before: float
    log2_now: float
    left: int


def began(runs: Sequence[tuple[int, Run]]) -> Began | None:
    """Where it began; None where no operation left its range, or too few steps came before.

    A range is the median over the first two thirds of the earlier steps, give or take eight
    deviations and a factor of two in RMS (of a weight 1.4, of a gradient 4). An operation left it
    if it was outside at a step and at every later one. Of the weights and activations that left
    first it is the first to run. Gradients, which move by themselves as a model learns, count where
    nothing else left its range; of them it is the last to run, for they come from there.

    Args:
        runs: sampled steps, with their numbers, in order; the trouble was seen at the last one.
    """
    changed, runs = _of_one_architecture(runs)
    if len(runs) <= FEWEST:
        return changed
    found = {
        what: _first_outside(np.array([list(_levels(run, what)) for _, run in runs]), floor)
        for what, floor in _FLOORS.items()
    }
    forward = [
        (at, int(op), what)
        for what in (Departed.WEIGHT, Departed.ACTIVATION)
        for at, ops in [found[what]]
        if at is not None
        for op in ops
    ]
    if forward and changed is None:
        first, place, what = min(forward, key=lambda each: each[:2])
        return _described(runs, first, place, what, len(found[what][1]))
    first, ops = found[Departed.GRADIENT]
    if first is None or changed is not None:
        return changed
    return _described(runs, first, int(ops.max()), Departed.GRADIENT, len(ops))


def _of_one_architecture(
    runs: Sequence[tuple[int, Run]],
) -> tuple[Began | None, list[tuple[int, Run]]]:
    """What changed, if not all steps run the same operations, and the last ones that do."""
    names = [[op.name for op in run.graph.ops] for _, run in runs]
    start = next((k for k in range(len(runs) - 1, -1, -1) if names[k] != names[-1]), -1)
    if start < 0:
        return None, list(runs)
    return _changed(runs[start][1], *runs[start + 1]), list(runs[start + 1 :])


def _changed(before: Run, step: int, now: Run) -> Began:
    """The first operation that runs no more, or else the first that had not run before."""
    names = {op.name for op in before.graph.ops}, {op.name for op in now.graph.ops}
    gone = [op for op in before.ops if op.name not in names[1]]
    new = [op for op in now.ops if op.name not in names[0]]
    op, what = (gone[0], Departed.GONE) if gone else (new[0] if new else now.ops[0], Departed.NEW)
    return Began(step, op.name, op.id, _block(op), what, np.nan, np.nan, len(gone or new))


def _levels(run: Run, what: Departed) -> Iterator[float]:
    """log2 of a mean square at every operation; inf where a value is not finite."""
    for op in run.ops:
        if what is Departed.WEIGHT:
            squares = [ms for _, shape, ms in op.weights if len(shape) > 1]
            yield float(np.log2(max(squares))) if squares and max(squares) > 0 else np.nan
            continue
        sketch = op.activation if what is Departed.ACTIVATION else op.gradient
        bad = sketch is not None and sketch.finite < sketch.count
        level = op.log2_activation_ms if what is Departed.ACTIVATION else op.log2_gradient_ms
        yield np.inf if bad else level


def _first_outside(
    levels: NDArray[np.float64], floor: float
) -> tuple[int | None, NDArray[np.int64]]:
    """The first step at which something leaves its range for good, and what does. / levels:
    [steps, operations]."""
    outside = np.zeros(levels.shape, bool)
    for t in range(FEWEST, len(levels)):
        median, width = _range(levels[: max(FEWEST, t - t // _RECENT)], floor)
        with np.errstate(invalid="ignore"):
            outside[t] = np.abs(levels[t] - median) > width
        outside[t] |= np.isposinf(levels[t]) & np.isfinite(median)
    for_good = np.flip(np.logical_and.accumulate(np.flip(outside, 0), 0), 0)
    steps = np.flatnonzero(for_good.any(1))
    if not len(steps):
        return None, np.empty(0, np.int64)
    return int(steps[0]), np.flatnonzero(for_good[steps[0]])


def _range(
    levels: NDArray[np.float64], floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and half width of every operation's range. / levels: [steps, operations]."""
    with np.errstate(invalid="ignore"):
        median = np.median(levels, 0)
        spread = np.median(np.abs(levels - median), 0)
    return median, floor + _DEVIATIONS * _NORMAL * spread


def _described(
    runs: Sequence[tuple[int, Run]], at: int, place: int, what: Departed, left: int
) -> Began:
    step, run = runs[at]
    before = [list(_levels(each, what))[place] for _, each in runs[:at]]
    op = run.ops[place]
    now = list(_levels(run, what))[place]
    return Began(step, op.name, place, _block(op), what, float(np.median(before)), now, left)


def _block(op: Reading) -> str:
    return op.module.rpartition(".")[0] or op.module
