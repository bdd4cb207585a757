"""Borders of zeros: positions that are not alike, against exact sums over places and against
networks."""

from math import inf

import numpy as np
import pytest

from depthscale.network.graph import Graph
from depthscale.network.operations import (
    Conv,
    Elementwise,
    Flatten,
    Input,
    Linear,
    Norm,
    Pad,
    Pool,
)
from depthscale.network.window import Window
from depthscale.theory import predict_graph
from graphs import chain, compare, shown

C, B = 96, 8
RELU = Elementwise("relu")


def conv(size: int, kernel: int = 3, stride: int = 1, circular: bool = False) -> Conv:
    return Conv(C, C, Window.of((size, size), kernel, stride, kernel // 2, circular), 2.0)


def batch(size: int) -> Norm:
    return Norm("batch", B * size * size)


def image(size: int) -> Input:
    return Input(1.0, size=(size, size))


def readings(conv: Conv) -> np.ndarray:
    """How often each place reads each entry. / returns: [places, entries]."""
    window = conv.window
    found = np.zeros((window.places_out, window.places_in))
    for tap in window.entries:
        inside = tap >= 0
        found[np.flatnonzero(inside), tap[inside]] += 1
    return found


@pytest.mark.parametrize(
    "maps", [[conv(4)] * 6, [conv(7, 5), conv(7, 3, 2), conv(4), conv(4, 3, 2), conv(2)]]
)
def test_relu_without_a_norm_is_exact_at_every_border(maps: list[Conv]) -> None:
    """By a linear recursion over all places: ReLU halves every mean square, whatever it is."""
    walk = predict_graph(
        chain(
            image(maps[0].window.size[0]),
            *[each for one in maps for each in (one, RELU)],
            samples=B,
        )
    )
    q = np.ones(maps[0].window.places_in)
    for i, each in enumerate(maps):
        q = 2.0 * readings(each) @ q / each.window.taps / 2
        assert 2 ** walk.ops[2 * i + 2].log2_activation_ms == pytest.approx(q.mean(), rel=1e-12)
    p = np.ones(maps[-1].window.places_out)
    for i, each in reversed(list(enumerate(maps))):
        p = 2.0 * readings(each).T @ (p / 2) / each.window.taps
        assert 2 ** walk.ops[2 * i].log2_gradient_ms == pytest.approx(p.mean(), rel=1e-12)
    assert walk.readings.gradient.relative_stderr.max() < 1e-12


NETWORKS = {
    "relu": (chain(image(4), *[conv(4), batch(4), RELU] * 3, samples=B), 4),
    "two by two": (chain(image(2), *[conv(2), batch(2), RELU] * 3, samples=B), 2),
    "tanh": (chain(image(4), *[conv(4), batch(4), Elementwise("tanh")] * 3, samples=B), 4),
    "gelu without a norm": (chain(image(6), *[conv(6), Elementwise("gelu")] * 3, samples=B), 6),
    "group norm": (chain(image(6), *[conv(6), Norm("group", 16 * 36), RELU] * 3, samples=B), 6),
    "layer norm": (chain(image(4), *[conv(4), Norm("layer", inf), RELU] * 3, samples=B), 4),
    "instance norm": (chain(image(4), *[conv(4), Norm("instance", 16), RELU] * 3, samples=B), 4),
    "a largest value that a border cuts": (
        chain(
            image(8),
            conv(8),
            batch(8),
            RELU,
            Pool("max", Window.of((8, 8), 3, 2, 1)),
            conv(4),
            batch(4),
            RELU,
            conv(4, stride=2),
            samples=B,
        ),
        8,
    ),
    "strides and the global average": (
        chain(
            image(8),
            conv(8, stride=2),
            batch(4),
            RELU,
            conv(4),
            RELU,
            Pool("average", Window.whole((4, 4))),
            Flatten(),
            Linear(C, C, 1.0, 0.0),
            samples=B,
        ),
        8,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_operation_next_to_a_border_is_what_networks_show(name: str) -> None:
    graph, size = NETWORKS[name]
    walk = predict_graph(graph)
    assert walk.stops == ()
    compare(shown(graph, (B, C, size, size), 24), walk, bias=0.02)


def measured_and_predicted(
    graph: Graph, size: int, circular: Graph
) -> tuple[float, float, float, float]:
    """log2 of the input's gradient: measured, its standard error, predicted, and predicted without
    borders."""
    found = np.log2(shown(graph, (B, C, size, size), 16).gradient[:, 0])
    ours, theirs = (predict_graph(each).ops[0].log2_gradient_ms for each in (graph, circular))
    return float(found.mean()), float(found.std(ddof=1) / 4), ours, theirs


def test_twin_maps_that_wrap_around_have_another_gradient() -> None:
    """In three layers of 4 x 4 positions a border takes a sixth of the gradient."""
    wrapped = chain(image(4), *[conv(4, circular=True), batch(4), RELU] * 3, samples=B)
    measured, stderr, ours, theirs = measured_and_predicted(NETWORKS["relu"][0], 4, wrapped)
    assert abs(measured - ours) < 4 * stderr + 0.05
    assert theirs - measured > 4 * stderr + 0.1


def test_what_wraps_around_has_no_border() -> None:
    walk = predict_graph(chain(image(4), *[conv(4, circular=True), batch(4), RELU] * 2, samples=B))
    assert walk.readings.gradient.relative_stderr.max() < 1e-12


def test_zeros_put_around_are_those_of_a_padding() -> None:
    """Padding apart from the map that reads it: the same at every map, forward and backward."""
    bare = Conv(C, C, Window.of((8, 8), 3, 1, 0), 2.0)
    pad = Pad((6, 6), (1, 1), (1, 1))
    apart = predict_graph(chain(image(6), *[pad, bare, RELU] * 4, samples=B))
    within = predict_graph(chain(image(6), *[conv(6), RELU] * 4, samples=B))
    for i in range(4):
        for ours, theirs in ((3 * i + 2, 2 * i + 1), (3 * i + 3, 2 * i + 2)):
            a, b = apart.ops[ours], within.ops[theirs]
            assert a.log2_activation_ms == pytest.approx(b.log2_activation_ms, abs=1e-9)
            assert a.log2_gradient_ms == pytest.approx(b.log2_gradient_ms, abs=1e-9)


def test_zeros_on_one_side_are_what_networks_show() -> None:
    down = Conv(C, C, Window.of((9, 9), 3, 2, 0), 2.0)
    graph = chain(
        image(8),
        Pad((8, 8), (0, 0), (1, 1)),
        down,
        batch(4),
        RELU,
        Pad((4, 4), (2, 1), (0, 1)),
        Conv(C, C, Window.of((6, 6), 3, 1, 0), 2.0),
        batch(4),
        RELU,
        conv(4),
        samples=B,
    )
    compare(shown(graph, (B, C, 8, 8), 16), predict_graph(graph), bias=0.03)
