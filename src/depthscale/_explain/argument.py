"""The growth argument made executable: each step of "why Batch Norm makes gradients explode"
argued, predicted, measured, judged.

source: the argument of "Why Batch Norm Causes Exploding Gradients" (Luther 2020), each of its
approximations a step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from typing import Any

import numpy as np

from depthscale._explain.expected import Numbers, argued, expected
from depthscale._explain.forward_backward import Tape, places, record
from depthscale._explain.measured import measured
from depthscale._explain.steps import STEPS, Step
from depthscale._explain.verdict import TOLERANCE, Row, judge
from depthscale.errors import InvalidSpec, NoTheory
from depthscale.nets import LOSSES, Loss, Progress, check_run
from depthscale.network import NetSpec
from depthscale.run import Array

_NEURONS = 3
# times depth / width: a generous bound on what infinite-width theory leaves out of a factor
_FINITE_WIDTH = 2.0
DEFAULT = NetSpec(norm="batch")


@dataclass(frozen=True, eq=False)
class Argument:
    """spec: the network, drawn `seeds` times from `seed` on; rows: step by step, layer by layer.

    preactivations: (network, layer) -> [batch, 3], what three neurons' activations receive, for the
    first seed, without a norm ("vanilla") and with it, at the first, middle and last layer
    (`shown`). neurons: [batch, 3] y of the middle layer with it.
    """

    spec: NetSpec
    loss: str
    seeds: int
    rows: tuple[Row, ...]
    preactivations: dict[tuple[str, int], Array]
    neurons: Array
    shown: tuple[int, ...]
    seed: int = 0

    def of(self, step: str) -> list[Row]:
        """The rows of one step, by layer."""
        return [row for row in self.rows if row.step == step]

    def record(self) -> dict[str, Any]:
        """Plain values: a row for each step at each layer; layer None: the layers in between."""
        return {
            "spec": self.spec.record(),
            "loss": self.loss,
            "seeds": self.seeds,
            "rows": [row.record() for row in self.rows],
        }


def growth_argument(
    spec: NetSpec = DEFAULT,
    loss: str = "shared",
    seeds: int = 10,
    seed: int = 0,
    run: Callable[[NetSpec, int, Loss], Tape] = record,
    progress: Progress | None = None,
) -> Argument:
    """Every step of the argument, for every layer of a plain network.

    loss: "shared" or "independent". seeds: at least 3, for standard errors.
    run: gives the tape of a network, by default a random one's; any other is judged by the same
    theory.
    raises: InvalidSpec for a residual network, or too few seeds; else as `simulate`.
    """
    _check(spec, loss, seeds, seed)
    vanilla = replace(spec, norm="none", position="before")
    theory = _together(expected(spec, loss), expected(vanilla, loss))
    _require_gradient(theory, loss)
    samples: list[list[Numbers]] = []
    first: dict[str, Tape] = {}
    for done, s in enumerate(range(seed, seed + seeds)):
        tapes = {"norm": run(spec, s, loss), "vanilla": run(vanilla, s, loss)}
        samples.append(_together(*(measured(tape) for tape in tapes.values())))
        first = first or tapes
        if progress:
            progress(done + 1, seeds)
    same_for_each = _together(expected(spec, "independent"), expected(vanilla, "independent"))
    ideal = [
        each | _renamed(own, vanilla_variance="vanilla_variance")
        for each, own in zip(_argued(spec, vanilla), theory, strict=True)
    ]
    rows = tuple(_rows(spec, ideal, theory, same_for_each, samples))
    return Argument(spec, loss, seeds, rows, *_pictured(spec, first), seed)


def _check(spec: NetSpec, loss: Loss, seeds: int, seed: int) -> None:
    check_run([spec], seeds, seed, loss)
    if spec.residual is not None:
        raise InvalidSpec("the growth argument is one of plain networks; leave the residual out")
    if loss not in LOSSES:
        raise NoTheory(
            f"the argument knows the losses {' and '.join(LOSSES)}, not a loss of one's own"
        )
    if seeds < 3:
        raise InvalidSpec(f"a verdict needs a standard error: take at least 3 seeds, got {seeds}")


def _require_gradient(theory: list[Numbers], loss: str) -> None:
    for layer, numbers in enumerate(theory, start=1):
        if numbers.get("layer") == 0:
            other = "; take --loss independent" if loss == "shared" else ""
            raise InvalidSpec(
                f"layer {layer} deletes the whole gradient of a {loss} loss, so nothing grows "
                f"below it{other}"
            )


def _together(own: list[Numbers], vanilla: list[Numbers]) -> list[Numbers]:
    """One network's numbers and, of the one without norm, those that the argument speaks of."""
    return [
        a | _renamed(b, layer="vanilla", variance="vanilla_variance")
        for a, b in zip(own, vanilla, strict=True)
    ]


def _renamed(numbers: Numbers, **names: str) -> Numbers:
    return {new: numbers[old] for old, new in names.items() if old in numbers}


def _argued(spec: NetSpec, vanilla: NetSpec) -> list[Numbers]:
    """What is argued: without a norm a layer's factor is 1."""
    return [each | {"vanilla": 1.0} for each in _together(argued(spec), argued(vanilla))]


def _rows(
    spec: NetSpec,
    ideal: list[Numbers],
    theory: list[Numbers],
    independent: list[Numbers],
    samples: list[list[Numbers]],
) -> Iterator[Row]:
    """From what is argued, what theory gives, here and for independent cotangents, and what each
    seed measured, by layer."""
    for step in STEPS:
        if why := step.lacks(spec):
            yield step.blank(spec, why)
            continue
        for layer in [None] if step.name == "rate" else range(1, spec.depth + 1):
            argued, predicted, own, *values = (
                _number(layers, step, layer) for layers in (ideal, theory, independent, *samples)
            )
            row = step.row(spec, layer, argued, predicted, values)
            cause = partial(_cause, spec, step, row, own)
            yield judge(row, len(samples), cause, _FINITE_WIDTH * spec.depth / spec.width)


def _number(layers: list[Numbers], step: Step, layer: int | None) -> float:
    return _bulk(layers) if layer is None else layers[layer - 1].get(step.name, nan)


def _cause(spec: NetSpec, step: Step, row: Row, independent: float) -> str:
    """Why theory departs from what is argued, found by putting the argument's premises back one by
    one. / independent: theory for cotangents of their own."""
    if step.vanilla:
        return f"sigma_w² E φ'² is not 1 for {spec.activation} here, sigma_w² = {spec.sigma_w2:g}"
    tolerance, causes = TOLERANCE[row.unit] * row.whole(row.argued), []
    if not abs(independent - row.argued) <= tolerance:
        causes.append(
            f"a group holds {spec.width // spec.groups} values"
            if spec.normalizer.grouped
            else f"a batch holds {spec.batch} samples"
        )
    if abs(row.predicted - independent) > tolerance:
        causes.append("one cotangent is common to all samples, and nothing above has centred it")
    return "; ".join(causes)


def _bulk(layers: list[Numbers]) -> float:
    """Geometric mean of the factors of layers 2..depth - 1; nan where one is not known."""
    return float(np.exp(np.mean(np.log([each.get("layer", nan) for each in layers[1:-1]]))))


def _pictured(
    spec: NetSpec, tapes: dict[str, Tape]
) -> tuple[dict[tuple[str, int], Array], Array, tuple[int, ...]]:
    middle = (spec.depth + 1) // 2
    shown = tuple(sorted({1, middle, spec.depth}))
    networks = {"vanilla": tapes["vanilla"]}
    if spec.norm != "none":
        networks[f"{spec.norm} norm" if spec.normalizer.kind else spec.norm.replace("_", " ")] = (
            tapes["norm"]
        )
    preactivations = {
        (name, layer): _of_neurons(tape, places(tape.graph)[layer - 1].activation, received=True)
        for name, tape in networks.items()
        for layer in shown
    }
    neurons = _of_neurons(tapes["norm"], places(tapes["norm"].graph)[middle - 1].linear)
    return preactivations, neurons, shown


def _of_neurons(tape: Tape, at: int, *, received: bool = False) -> Array:
    """[batch, 3] of an operation's output, or of what it received."""
    at = tape.graph.ops[at].inputs[0] if received else at
    return tape.values[at][:, :_NEURONS].double().numpy().copy()
