"""First steps of a described network, from theory alone: the size of every weight's gradient under
a cross entropy with random labels, before any run, and the optimizer's own code on a stand-in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import inf, isfinite, log, log2, nan, sqrt

import torch
from torch import Tensor, nn

from depthscale._probe import Moved, Stepper, turned
from depthscale.errors import InvalidProbe, InvalidSpec, NoTheory, UnreliableGrowth
from depthscale.measure import BlockStep, FirstSteps, Growth, ParameterStep, growth
from depthscale.network import Graph, Linear, NetSpec, Norm, Op
from depthscale.run import log2_total
from depthscale.theory import predict, predict_graph
from depthscale.training.cross_entropy import handed_back

_DEEPEST = 2048  # layers, to which a depth limit is looked for

Make = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class WeightGradients:
    """The linear maps of a description, a readout last, under a mean cross entropy.

    Attributes:
        graph: of the description, with its readout.
        log2_ms: of each linear map, log2 of the mean square of an entry of dE/dW, by its place in
            the graph.
    """

    graph: Graph
    log2_ms: dict[int, float]

    @classmethod
    def of(cls, spec: NetSpec, classes: int) -> "WeightGradients":
        """What a readout with weights of variance 1 / width, and random labels, hand back.

        Raises:
            NoTheory: where an operation has no rule.
        """
        graph = _with_readout(spec, classes)
        own, shared = (predict_graph(graph, loss) for loss in ("independent", "shared"))
        for i, why in own.stops:
            raise NoTheory(f"theory stops at {graph.ops[i].name}: {why}")
        last = len(graph.ops) - 1
        variance = float(own.readings.activation.at((last,)).mean_square[0])
        spread = own.readings.batch_variance
        apart = float(spread.at((last,)).mean_square[0]) / (1 - 1 / spec.batch) if spread else nan
        correlation = min(max(1 - apart / variance, 0.0), 1.0) if variance else 0.0
        back = handed_back(variance, correlation, classes)
        parts = [(back.own - back.between, own.weight_gradients)]
        parts += [(back.between, shared.weight_gradients)] if back.between > 0 else []
        unit = log2(classes * spec.batch**2)  # each cotangent: a share of a mean over samples
        return cls(
            graph,
            {
                i: log2_total([log2(share) + float(ms[i]) for share, ms in parts if ms is not None])
                - unit
                for i, op in enumerate(graph.ops)
                if isinstance(op.what, Linear)
            },
        )


def first_steps_in_theory(spec: NetSpec, make: Make, classes: int) -> FirstSteps:
    """What theory says of the first step of such networks.

    Raises:
        InvalidSpec: for an infinite batch, or fewer than two classes.
        NoTheory: where an operation has no rule, and for an optimizer that couples tensors.
        InvalidProbe: for an optimizer that makes no step.
    """
    if not (isfinite(spec.batch) and spec.batch > 1):
        raise InvalidSpec(
            f"a step is of a batch of 2 samples or more, got {spec.batch}; give batch= the size "
            "that is trained with"
        )
    if not isinstance(classes, int) or classes < 2:
        raise InvalidSpec(f"classes must be a whole number from 2, got {classes!r}")
    found = WeightGradients.of(spec, classes)
    layers = _StandIns(found.graph, make)
    params = tuple(layers.stepped(found, i) for i in found.log2_ms)
    run = predict(spec)
    try:
        rate: Growth | None = growth(run)
    except UnreliableGrowth:
        rate = None
    word = "layer" if spec.residual is None else "block"
    return FirstSteps(
        run.model,
        params,
        _blocks(found.graph, dict(zip(found.log2_ms, params, strict=True)), word),
        layers.step,
        spec.batch,
        word,
        rate,
        nan if spec.widths else _depth_limit(spec, layers, classes),
        theory=True,
        notes=(
            f"theory of infinite width, of a mean cross entropy over {classes} classes with random "
            "labels behind a readout of variance 1 / width; biases are left aside",
        ),
    )


def _with_readout(spec: NetSpec, classes: int) -> Graph:
    graph = spec.graph()
    what = Linear(spec.width_of(spec.depth), classes, 1.0, 0.0)
    readout = Op("readout", what, (len(graph.ops) - 1,), spec.depth + 1)
    return Graph((*graph.ops, readout), graph.samples)


class _StandIns:
    """Weights and gradients of the right sizes in random directions, one for all layers alike, on
    which the optimizer's own code runs."""

    def __init__(self, graph: Graph, make: Make):
        maps = (i for i, op in enumerate(graph.ops) if isinstance(op.what, Linear))
        kinds = dict.fromkeys(_kind(graph, i) for i in maps)
        generator = torch.Generator().manual_seed(0)
        self._made = {kind: _stand_in(kind, graph.samples, generator) for kind in kinds}
        weights = [weight for weight, _ in self._made.values()]
        self._optimizer = make(list(weights))
        self._groups = {
            id(p): k
            for k, group in enumerate(self._optimizer.param_groups)
            for p in group["params"]
        }
        named = [(str(k), *pair) for k, pair in enumerate(self._made.values())]
        self.step, _ = turned(self._optimizer, named)
        if self.step.refused:
            raise InvalidProbe(self.step.refused)
        if self.step.is_coupled:
            raise NoTheory(
                f"what {self.step.optimizer} does to one tensor depends on others, which theory "
                "does not draw; give a model"
            )

    def stepped(self, found: WeightGradients, op: int) -> ParameterStep:
        """The step of the weights of an operation."""
        weight, gradient = self._made[_kind(found.graph, op)]
        moved = Moved(weight, gradient * 2.0 ** (found.log2_ms[op] / 2))
        (turn,) = Stepper(self._optimizer, False).turns([moved])
        group = self._groups.get(id(weight), 0)
        name, turn = found.graph.ops[op].name, replace(turn, group=group)
        return ParameterStep(name, tuple(weight.shape), turn, self.step.rates[group])


@dataclass(frozen=True)
class _Kind:
    """What tells the weights of two layers apart. / rows, whole: whether the loss does not see the
    size of each row, or of all of them."""

    what: Linear
    rows: bool
    whole: bool


def _kind(graph: Graph, op: int) -> _Kind:
    what = graph.ops[op].what
    assert isinstance(what, Linear)
    readers = [each.what for each in graph.ops if op in each.inputs]
    norms = [each for each in readers if isinstance(each, Norm) and _hides(each)]
    hidden = len(norms) == len(readers) > 0
    by_rows = hidden and all(norm.kind == "batch" for norm in norms)
    return _Kind(what, by_rows, hidden and not by_rows and not what.sigma_b2)


def _hides(norm: Norm) -> bool:
    return not norm.eps and norm.statistics == "batch"


def _stand_in(
    kind: _Kind, samples: float, generator: torch.Generator
) -> tuple[nn.Parameter, Tensor]:
    """A weight of a layer and a gradient of mean square 1, of no higher rank than a batch makes it,
    across what the loss does not see the size of."""
    shape = kind.what.fan_out, kind.what.fan_in
    rank = min(int(samples), *shape)

    def drawn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    weight = drawn(*shape)
    weight *= sqrt(kind.what.sigma_w2 * shape[0]) / weight.norm()
    gradient = drawn(shape[0], rank) @ drawn(rank, shape[1])
    if kind.rows:
        along = (gradient * weight).sum(1, keepdim=True) / weight.square().sum(1, keepdim=True)
        gradient -= along * weight
    if kind.whole:
        gradient -= (gradient * weight).sum() / weight.square().sum() * weight
    return nn.Parameter(weight), gradient * sqrt(gradient.numel()) / gradient.norm()


def _blocks(graph: Graph, steps: dict[int, ParameterStep], word: str) -> tuple[BlockStep, ...]:
    """By layer of the description, the readout last."""
    inside: dict[int, list[ParameterStep]] = {}
    for i, step in steps.items():
        inside.setdefault(graph.ops[i].layer, []).append(step)
    most = {layer: max(some, key=lambda each: each.degrees) for layer, some in inside.items()}
    *layers, readout = most.items()
    return (
        *(BlockStep(f"{word} {layer}", layer, step) for layer, step in layers),
        BlockStep(readout[1].name, 0, readout[1]),
    )


def _depth_limit(spec: NetSpec, stand_ins: _StandIns, classes: int) -> float:
    """The depth at which the step turns the first layer by 45 degrees, between two whole ones by
    the logarithm; inf where none of up to some thousand does."""

    @cache
    def log_limit(depth: int) -> float:
        found = WeightGradients.of(replace(spec, depth=depth), classes)
        limit = stand_ins.stepped(found, min(found.log2_ms)).turn.limit
        return log(limit) if limit > 0 else -inf

    above = 1
    while log_limit(above) > 0:
        above *= 2
        if above > _DEEPEST:
            return inf
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (middle, above) if log_limit(middle) > 0 else (below, middle)
    if not below:
        return 1.0
    high, low = log_limit(below), log_limit(above)
    return below + high / (high - low) if isfinite(high) else float(above)
