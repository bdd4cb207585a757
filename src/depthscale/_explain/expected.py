"""What theory gives for each step of the growth argument, layer by layer, from a walk of the
network's graph."""

from dataclasses import replace
from math import inf, nan

from depthscale._explain.forward_backward import LayerPlaces, places
from depthscale.errors import DepthscaleError
from depthscale.network import Conv, Graph, Linear, NetSpec, Norm
from depthscale.theory import (
    BETWEEN_SAMPLES,
    BackwardMoments,
    ForwardMoments,
    deviation,
    exchangeable,
    shares,
)

Numbers = dict[str, float]


def expected(spec: NetSpec, loss: str) -> list[Numbers]:
    """By the name of the step, for layers 1..depth; what has no formula is absent. / batch may be
    inf."""
    graph = spec.graph()
    signals, missing = exchangeable.forward(graph)
    if missing:
        return [{} for _ in range(spec.depth)]
    gradients, _, _ = exchangeable.backward(graph, signals, BETWEEN_SAMPLES[loss])
    return [_layer(graph, at, signals, gradients) for at in places(graph)]


def argued(spec: NetSpec) -> list[Numbers]:
    """As the argument puts it: every statistic over infinitely many values, and a cotangent of its
    own for every sample."""
    row, norm = spec.normalizer.row, spec.norm
    if row is not None and spec.normalizer.grouped:
        norm = "layer" if row.centred else "rms"
    return expected(replace(spec, batch=inf, norm=norm), "independent")


def _layer(
    graph: Graph, at: LayerPlaces, signals: list[ForwardMoments], gradients: list[BackwardMoments]
) -> Numbers:
    def factor(below: int, above: int) -> float:
        low, high = gradients[below], gradients[above]
        if low.ties.below or high.ties.below:
            return nan  # a norm after its activation has a factor together with it alone
        return 2.0 ** (low.log2_ms - high.log2_ms)

    numbers = {
        "product": of_weights(graph.ops[at.linear].what),
        "slope": factor(graph.ops[at.activation].inputs[0], at.activation),
        "layer": factor(at.below, at.output),
        "slopes_independent": 0.0,
        "squares_independent": 0.0,
        "z_independent": 0.0,
        "variance": 2.0 ** (signals[at.linear].log2_spread) * (1 - 1 / graph.samples),
    }
    if at.norm is not None:
        numbers |= {"norm": factor(graph.ops[at.norm].inputs[0], at.norm)}
        numbers |= of_norm(
            graph.ops[at.norm].what, signals[graph.ops[at.norm].inputs[0]], gradients[at.norm]
        )
    return {name: value for name, value in numbers.items() if value == value}


def of_weights(map_: object) -> float:
    """Mean-square gain towards its input of a map whose weights are independent; nan for what is no
    such map."""
    if isinstance(map_, Linear):
        return map_.sigma_w2 * map_.fan_out / map_.fan_in
    if isinstance(map_, Conv):
        return map_.sigma_w2 / map_.fan_in * map_.channels_out / map_.groups * map_.window.covers[0]
    return nan


def of_norm(norm: object, y: ForwardMoments, g: BackwardMoments) -> Numbers:
    assert isinstance(norm, Norm)
    try:
        of_sigma = deviation(norm, y)
    except DepthscaleError:
        return {}
    numbers = {
        "sigma2": of_sigma.variance,
        "spread": of_sigma.spread,
        "inverse": of_sigma.inverse,
        "flatness": of_sigma.inverse * of_sigma.variance,
    }
    if g.log2_ms != g.log2_ms:  # nothing is known of what arrives
        return numbers
    through = shares(norm, y, g)
    return numbers | {"through_mean": through.through_mean, "through_sigma": through.through_sigma}
