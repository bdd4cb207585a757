"""Convolutional networks, arXiv:1806.05393 (Xiao et al.), with pooling and the norms over positions
of arXiv:1607.08022."""

from dataclasses import replace
from functools import cache
from math import prod

import numpy as np
import pytest

from depthscale.network.graph import Graph
from depthscale.network.operations import (
    Conv,
    Dropout,
    Elementwise,
    Flatten,
    Input,
    Linear,
    Norm,
    Operation,
    Pool,
)
from depthscale.network.window import Window
from depthscale.run import Run
from depthscale.theory import predict_graph
from graphs import Shown, chain, origin, shown
from tolerances import agrees, within

C = 64
RELU = Elementwise("relu")


def conv(
    size: tuple[int, ...], circular: bool = True, stride: int = 1, **changes: float | int
) -> Conv:
    return Conv(C, C, Window.of(size, 3, stride, 1, circular), **({"sigma_w2": 2.0} | changes))  # pyright: ignore[reportArgumentType]


def stack(
    size: tuple[int, ...], norm: Norm, blocks: int = 5, circular: bool = True, samples: int = 4
) -> Graph:
    """Input, then blocks of convolution, norm and ReLU."""
    return chain(
        Input(1.0, size=size), *[conv(size, circular), norm, RELU] * blocks, samples=samples
    )


def rate(graph: Graph, inputs: np.ndarray | None = None) -> float:
    """Growth of dE/dx over the third block."""
    walk = predict_graph(graph, inputs=inputs)
    return 2.0 ** (walk.ops[6].log2_gradient_ms - walk.ops[9].log2_gradient_ms)


def differs(found: float, printed: str) -> None:
    with pytest.raises(AssertionError):
        agrees(found, printed)


@pytest.mark.parametrize(
    ("size", "samples", "printed"),
    [((4, 4), 4, "1.49306"), ((4, 4), 8, "1.47968"), ((8,), 2, "1.58995")],
)
def test_batch_norm_over_positions_grows_at_the_rate_of_b_h_w_samples(
    size, samples: int, printed: str
) -> None:
    """On white inputs and with convolutions that wrap around, positions are as independent of each
    other as samples."""
    found = rate(stack(size, Norm("batch", samples * prod(size)), samples=samples))
    agrees(found, printed)
    differs(rate(stack(size, Norm("batch", 2 * samples * prod(size)), samples=samples)), printed)


@pytest.mark.parametrize(
    ("size", "printed"),
    [((4, 4), "1.58995"), ((8, 8), "1.49306"), ((8, 16), "1.47968"), ((2, 4), "1.78819")],
)
def test_instance_norm_grows_at_the_rate_of_h_w_samples(size, printed: str) -> None:
    agrees(rate(stack(size, Norm("instance", prod(size)))), printed)
    differs(rate(stack(size, Norm("batch", 4 * prod(size)))), printed)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [({}, 1.0), ({"sigma_w2": 1.7, "sigma_b2": 0.1}, 0.85), ({"groups": 8}, 1.0)],
)
def test_a_convolution_that_wraps_around_has_the_maps_of_a_linear_layer(
    changes: dict, factor: float
) -> None:
    size = (6, 6)
    layer = conv(size, **changes)
    linear = Linear(C, C, layer.sigma_w2, layer.sigma_b2)
    ours, theirs = (
        predict_graph(chain(Input(1.0, size=size), *[each, RELU] * 4, samples=4)).ops[1:]
        for each in (layer, linear)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a.log2_activation_ms, a.log2_gradient_ms) == pytest.approx(
            (b.log2_activation_ms, b.log2_gradient_ms), abs=1e-12
        )
    assert 2.0 ** (ours[2].log2_gradient_ms - ours[4].log2_gradient_ms) == pytest.approx(
        factor / 1.0, rel=1e-12
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_sends_each_entry_var_w_c_out_k2_over_s2(stride: int) -> None:
    wide = Conv(C, 3 * C, Window.of((8, 8), 3, stride, 1, True), 2.0)
    sent = predict_graph(chain(Input(1.0, size=(8, 8)), wide)).ops[1].log2_gains[0]
    variance = 2.0 / (C * 9)
    assert 2.0**sent == pytest.approx(variance * 3 * C * 9 / stride**2, rel=1e-12)


def gain(*operations: Operation) -> float:
    """Mean square that the second operation sends to the first, over that of its own gradient,
    below fresh weights."""
    return 2.0 ** predict_graph(chain(*operations, samples=4)).ops[-2].log2_gains[0]


@pytest.mark.parametrize("k", [2, 4])
def test_average_pooling_divides_the_gradient_by_k4_and_its_norm_by_k2(k: int) -> None:
    window = Window.of((8, 8), k, k)
    places = window.places_in / window.places_out
    factor = gain(Input(1.0, size=(8, 8)), Pool("average", window), conv(window.size_out))
    assert factor == pytest.approx(1 / k**4, rel=1e-12)
    assert factor * places == pytest.approx(1 / k**2, rel=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_max_pooling_divides_the_gradient_by_k2_and_keeps_its_norm(k: int) -> None:
    window = Window.of((8, 8), k, k)
    factor = gain(Input(1.0, size=(8, 8)), Pool("max", window), conv(window.size_out))
    assert factor == pytest.approx(1 / k**2, rel=1e-12)
    assert factor * window.places_in / window.places_out == pytest.approx(1, rel=1e-12)


def test_the_global_average_divides_the_gradients_norm_by_h_w() -> None:
    whole = Window.whole((5, 7))
    walk = predict_graph(
        chain(Input(1.0, size=(5, 7)), Pool("average", whole), Flatten(), Linear(C, C, 1.0, 0.0))
    )
    assert 2.0 ** walk.ops[1].log2_gains[0] * 35 == pytest.approx(1 / 35, rel=1e-12)


@pytest.mark.parametrize(("keep", "printed"), [(0.9, "1.111"), (0.5, "2.000")])
def test_dropout_multiplies_signal_and_gradient_by_1_over_keep(keep: float, printed: str) -> None:
    """So that with He weights sigma_w2 = 2 keep is critical."""
    walk = predict_graph(chain(Input(1.0), *[Linear(C, C, 2.0, 0.0), RELU, Dropout(keep)] * 3))
    agrees(2.0 ** (walk.ops[3].log2_gradient_ms - walk.ops[6].log2_gradient_ms), printed)
    agrees(2.0 ** (walk.ops[6].log2_activation_ms - walk.ops[3].log2_activation_ms), printed)
    still = predict_graph(
        chain(Input(1.0), *[Linear(C, C, 2.0 * keep, 0.0), RELU, Dropout(keep)] * 3)
    )
    assert still.ops[0].log2_gradient_ms == pytest.approx(0, abs=1e-12)


# ---- zeros around the input: only the walk of whole matrices keeps positions apart


def white(samples: int, size: tuple[int, ...]) -> np.ndarray:
    """Inputs whose second moments between any two points are exactly white. / returns: [samples,
    channels, *size]."""
    points = samples * prod(size)
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((2 * points, points)))
    return np.moveaxis((q.T * (2 * points) ** 0.5).reshape(samples, *size, 2 * points), -1, 1)


@cache
def zero_padded() -> tuple[Run, Shown]:
    graph = stack((4, 4), Norm("batch", 64), 8, circular=False)
    wide = [
        replace(op.what, channels_in=256, channels_out=256)
        if isinstance(op.what, Conv)
        else op.what
        for op in graph.ops
    ]
    return predict_graph(graph, inputs=white(4, (4, 4))), shown(
        chain(*wide, samples=4), (4, 256, 4, 4), 24
    )


def bulk(log2_gradient: np.ndarray) -> np.ndarray:
    """Growth over blocks 3 to 6 of 8. / log2_gradient: [..., ops]."""
    return 2.0 ** ((log2_gradient[..., 6] - log2_gradient[..., 18]) / 4)


def test_zeros_around_4_by_4_maps_lower_batch_norms_rate_from_1_493_to_1_37() -> None:
    """Measured elsewhere as 1.365: part of the gradient falls on the padding."""
    walk, networks = zero_padded()
    measured = bulk(np.log2(networks.gradient))
    predicted = float(bulk(np.array([op.log2_gradient_ms for op in walk.ops])))
    stderr = float(measured.std(ddof=1) / np.sqrt(len(measured)))
    error = predicted * walk.readings.gradient.relative_stderr[6] / 4
    within(float(measured.mean()), predicted, float(np.hypot(stderr, error)), bias=0.01)
    within(predicted, 1.365, float(np.hypot(stderr, error)), bias=0.01)
    with pytest.raises(AssertionError):
        within(float(measured.mean()), 1.49306, float(np.hypot(stderr, error)), bias=0.01)


def test_the_walk_that_takes_positions_as_alike_says_how_far_zeros_may_lead() -> None:
    walk = predict_graph(stack((4, 4), Norm("batch", 64), 8, circular=False))
    assert "zeros around the input" in dict(origin(walk).caveats)[4]
    full, _ = zero_padded()
    blocks = range(0, len(walk), 3)  # their outputs
    alike, apart = (run.readings.gradient.at(blocks) for run in (walk, full))
    off = abs(2.0 ** (apart.log2_mean_square - alike.log2_mean_square) - 1)
    assert (off <= alike.relative_stderr + 4 * apart.relative_stderr).all()
