"""First steps: what a probe saw of an optimizer's next step, by block, and the verdict on it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite, isnan, nan, sqrt
from typing import Any

import numpy as np

from depthscale.drawable import Drawable
from depthscale.measure.growth import Growth
from depthscale.measure.step_words import verdict_of
from depthscale.measure.steps_taken import BlockStep, ParameterStep, StepsTaken
from depthscale.numerics import normal_deviate
from depthscale.run import Depth, OptimizerStep, Run

_SURELY = 3.0  # standard normal deviates


@dataclass(frozen=True, eq=False)
class FirstSteps(StepsTaken, Drawable):
    """What an optimizer's next step does to a network, with the verdict on it; its fields are those
    of StepsTaken."""

    @property
    def verdict(self) -> str:
        """All of it in words and numbers."""
        return verdict_of(self)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "theory": self.theory,
            "optimizer": asdict(self.step),
            "batch": self.batch,
            "verdict": self.verdict,
            "lr_limit": self.lr_limit,
            "depth_limit": self.depth_limit,
            "block": self.word,
            "growth": None
            if self.growth is None
            else {"rate": self.growth.rate, "stderr": self.growth.stderr},
            "blocks": [
                {"name": b.name, "number": b.number, "degrees": b.degrees, "most": b.most.name}
                for b in self.blocks
            ],
            "params": [
                {"name": p.name, "shape": list(p.shape), "rate": p.rate}
                | asdict(p.turn)
                | {"scale_invariant": p.scale_invariant}
                for p in self.params
            ],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"FirstSteps({self.model}, {self.step.optimizer}: {self.verdict})"


def first_steps_of(run: Run, depth: Depth | None, growth: Growth | None) -> FirstSteps | None:
    """What was probed of an optimizer's step; None where none was, or it was refused."""
    step = run.step
    if step is None or step.refused:
        return None
    params = tuple(
        ParameterStep(p.name, p.shape, p.turn, step.rates[p.turn.group])
        for p in run.params
        if p.turn is not None
    )
    word, blocks = _blocks(run, depth, [each for each in params if each.is_matrix])
    layers = [each for each in blocks if each.number]
    return FirstSteps(
        run.model,
        params,
        blocks,
        step,
        run.batch,
        word,
        growth,
        _depth_limit([each.most.turn.limit for each in layers]),
        notes=_notes(params, step),
    )


def _notes(params: Sequence[ParameterStep], step: OptimizerStep) -> tuple[str, ...]:
    zero = [p.name for p in params if len(p.shape) > 1 and isnan(p.degrees)]
    notes = []
    if zero:
        notes.append(f"weights that are 0 have no direction to turn: {', '.join(zero[:3])}")
    if step.hooks:
        notes.append(f"{step.hooks} hooks of the optimizer, which run with its step, were left out")
    if step.is_coupled:
        notes.append("what a step does to one tensor depends on others: all were stepped together")
    return tuple(notes)


def _blocks(
    run: Run, depth: Depth | None, matrices: Sequence[ParameterStep]
) -> tuple[str, tuple[BlockStep, ...]]:
    """What a block is called, and matrices by block, in the order of running."""
    first: dict[str, int] = {}
    for op in run.ops:
        for name, *_ in op.weights:
            first.setdefault(name, op.id)
    reader = [first.get(each.name, len(run.ops)) for each in matrices]
    order = sorted(range(len(matrices)), key=reader.__getitem__)
    places = _places([reader[k] for k in order], depth)
    inside: dict[Any, list[ParameterStep]] = {}
    for k, place in zip(order, places, strict=True):
        inside.setdefault(matrices[k].name if place is None else place, []).append(matrices[k])
    repeated = [place for place in inside if place in places]
    single = all(len(inside[place]) == 1 for place in repeated)
    word = ("layer" if single else "block") if repeated else "weight matrix"
    numbers = {place: k for k, place in enumerate(repeated, 1)}
    return word, tuple(
        BlockStep(
            f"{word} {numbers[place]}" if place in numbers else place,
            numbers.get(place, 0),
            max(some, key=lambda each: each.degrees),
        )
        for place, some in inside.items()
    )


def _places(ops: Sequence[int], depth: Depth | None) -> list[float | None]:
    """The repetition in which each operation stands, in the order of running; None outside of all.

    Between two steps that do not join, as of two stages, lies a block of its own. The repetitions
    at both ends, which no step bounds on both sides, hold as many as their neighbours.
    """
    if depth is None or not depth.pairs:
        return [None] * len(ops)
    lowest, highest = depth.pairs[0][0], depth.pairs[-1][1]

    def place(op: int) -> float | None:
        if not lowest < op <= highest:
            return None
        step = next(k for k, (_, top) in enumerate(depth.pairs) if op <= top)
        return step if op > depth.pairs[step][0] else step - 0.5

    places = [place(op) for op in ops]
    last = len(depth.pairs) - 1
    below = [i for i, op in enumerate(ops) if op <= lowest]
    above = [i for i, op in enumerate(ops) if op > highest] if depth.last else []
    for i in below[len(below) - places.count(0) :]:
        places[i] = -1
    for i in above[: places.count(last)]:
        places[i] = last + 1
    return places


def _depth_limit(limits: Sequence[float]) -> float:
    """The number of layers at which the first one turns by 45 degrees, by a line through the
    logarithms of all. / limits: of the layers, from the input to the output."""
    if len(limits) < 3 or not all(map(isfinite, limits)):
        return nan if len(limits) < 3 else inf
    turns = -np.log(np.array(limits[::-1]))  # from the output down; 0 at 45 degrees
    steps = np.diff(turns)
    slope, spread = float(steps.mean()), float(steps.std(ddof=1)) / sqrt(len(steps))
    sure = normal_deviate(np.array(slope / spread if spread else inf), len(steps) - 1)
    if slope <= 0 or float(sure) < _SURELY:
        return inf
    middle = (len(limits) + 1) / 2
    return max(1.0, middle - float(turns.mean()) / slope)
