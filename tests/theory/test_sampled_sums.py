"""Residual blocks that end in an activation, act(stream + norm(branch)): against a density, and
against networks."""

import math

import numpy as np
import pytest
from scipy.stats import norm as normal

from depthscale.network.graph import Graph, Op
from depthscale.network.operations import (
    Add,
    Conv,
    Elementwise,
    Flatten,
    Input,
    Linear,
    Norm,
    Operation,
    Pool,
)
from depthscale.network.window import Window
from depthscale.theory import predict_graph, sampled_sums
from depthscale.theory.moments.backward import BackwardMoments, Ties
from depthscale.theory.moments.forward import ForwardMoments, KnownLaw, Places
from depthscale.theory.moments.laws import Gaussian
from graphs import compare, shown

N, C = 256, 96
RELU = Elementwise("relu")


class Ops(list[Op]):
    """Operations in a row, but for those that name what they read."""

    def then(self, what: Operation, *inputs: int) -> int:
        reads = inputs or ((len(self) - 1,) if self else ())
        self.append(Op(f"{type(what).__name__.lower()}{len(self)}", what, reads, len(self)))
        return len(self) - 1


def mlp(batch: float, blocks: int, activation: str = "relu", eps: float = 0.0) -> Graph:
    ops = Ops()
    ops.then(Input(1.0))
    ops.then(Linear(N, N, 2.0, 0.0))
    ops.then(Norm("batch", batch, eps))
    stream = ops.then(Elementwise(activation))
    for _ in range(blocks):
        ops.then(Linear(N, N, 2.0, 0.0), stream)
        branch = ops.then(Norm("batch", batch, eps))
        ops.then(Add(), stream, branch)
        stream = ops.then(Elementwise(activation))
    return Graph(tuple(ops), batch)


def resnet(samples: int, size: int) -> Graph:
    """A block, one that halves the image, and another; then the global average. Maps wrap
    around."""
    ops = Ops()

    def normed(size: int, kernel: int, stride: int, *reads: int) -> int:
        ops.then(
            Conv(C, C, Window.of((size, size), kernel, stride, kernel // 2, True), 2.0), *reads
        )
        return ops.then(Norm("batch", samples * (size // stride) ** 2, 1e-5))

    ops.then(Input(1.0, size=(size, size)))
    normed(size, 3, 1)
    stream = ops.then(RELU)
    for stride in (1, 2, 1):
        normed(size, 3, stride, stream)
        ops.then(RELU)
        branch = normed(size // stride, 3, 1)
        kept = stream if stride == 1 else normed(size, 1, stride, stream)
        ops.then(Add(), kept, branch)
        stream, size = ops.then(RELU), size // stride
    ops.then(Pool("average", Window.whole((size, size))))
    ops.then(Flatten())
    ops.then(Linear(C, C, 1.0, 0.0))
    return Graph(tuple(ops), samples)


def test_the_stream_is_a_walk_with_a_wall_at_0() -> None:
    """Of an infinite batch x' = max(0, x + g), g standard normal (Lindley's recursion), by its
    density on a grid."""
    step, blocks = 0.01, 6
    grid = np.arange(0, 24, step)
    kernel = normal.pdf(np.arange(-10, 10 + step / 2, step)) * step
    density, at_0 = normal.pdf(grid), 0.5
    density[0] /= 2  # by the trapezoidal rule
    walk = predict_graph(mlp(float("inf"), blocks))
    outputs = [i for i, op in enumerate(mlp(8, blocks).ops) if isinstance(op.what, Elementwise)][1:]
    for i in outputs:
        whole = np.convolve(density, kernel) + at_0 * np.pad(kernel / step, (0, len(density) - 1))
        places = np.arange(len(whole)) * step - 10
        at_0 = float(
            whole[places < -step / 2].sum() * step
            + whole[np.abs(places) < step / 2].sum() * step / 2
        )
        density = whole[places > -step / 2][: len(grid)].copy()
        density[0] /= 2
        square = float((density * grid**2).sum() * step)
        error = walk.readings.activation.relative_stderr[i]
        assert abs(2 ** walk.ops[i].log2_activation_ms / square - 1) < 4 * error + 1e-4
        assert error < 0.01


@pytest.mark.parametrize(
    ("batch", "activation", "eps"),
    [(64, "relu", 0.0), (8, "relu", 0.0), (16, "tanh", 0.1), (32, "gelu", 0.0)],
)
def test_every_operation_of_residual_blocks_is_what_networks_show(
    batch: int, activation: str, eps: float
) -> None:
    graph = mlp(batch, 3, activation, eps)
    walk = predict_graph(graph)
    assert walk.stops == ()
    compare(shown(graph, (batch, N), 32), walk, bias=0.01)


def test_every_operation_of_a_residual_convolutional_network_is_what_networks_show() -> None:
    graph = resnet(8, 8)
    walk = predict_graph(graph)
    assert walk.stops == ()
    compare(shown(graph, (8, C, 8, 8), 16), walk, bias=0.02)


def test_twin_slopes_that_do_not_know_each_other_fall_out() -> None:
    """Half of each gradient, as behind independent ReLUs: too little, since a channel that was on
    is likely to stay so."""
    graph = mlp(64, 3)
    ops = predict_graph(graph).ops
    stream = [i for i, op in enumerate(graph.ops) if isinstance(op.what, Elementwise)]
    measured = shown(graph, (64, N), 16).gradient.mean(axis=0)
    for above, below in zip(stream[:0:-1], stream[-2::-1], strict=True):
        independent = 0.5 * 2.0 ** ops[above].log2_gradient_ms
        assert measured[below] > 1.1 * independent


def test_equal_graphs_have_equal_predictions() -> None:
    first, second = (
        [op.log2_gradient_ms for op in predict_graph(mlp(16, 2)).ops] for _ in range(2)
    )
    assert first == second


def test_two_norms_that_meet_get_the_gradient_weighted_as_sampled_pairs_say() -> None:
    """The sum is Gaussian, but a ReLU above it sees both: E z z' g g' of each, against pairs drawn
    here."""
    one, other = (
        ForwardMoments(
            2 * math.log2(k),
            c,
            0.0,
            known=KnownLaw(Gaussian(1.0, c, gain=k), normalized=True),
            places=Places(4, near),
        )
        for c, near, k in ((0.2, 0.5, 1.0), (-0.1, 0.3, 0.7))
    )
    total = Gaussian(1 + 0.49, (0.2 - 0.1 * 0.49) / 1.49)
    places = Places(4, (0.5 + 0.3 * 0.49) / 1.49)
    summed = ForwardMoments(0.0, total.correlation, 0.0, known=KnownLaw(total), places=places)
    above = BackwardMoments(0.0, 0.3, places=Places(4, 0.6))
    above = above._replace(ties=Ties(channels=sampled_sums.alike(above)))
    at_sum = sampled_sums.through("relu", summed, above)
    found = sampled_sums.below_sum(one, other, 1.0, total, at_sum)
    rng, pairs = np.random.default_rng(0), 1 << 21
    for k, (between, within, product) in enumerate(((0.2, -0.1, 0.3), (0.5, 0.3, 0.6))):
        z, w = (
            (rng.standard_normal((pairs, 2)) @ np.linalg.cholesky([[1, c], [c, 1]]).T)
            for c in (between, within)
        )
        on = (z + 0.7 * w > 0).all(axis=1)
        for side, each in zip(found, (z, w), strict=True):
            weighted = side.ties.weighted
            assert weighted is not None
            assert weighted.position_slopes is not None
            slopes = (weighted.slopes, weighted.position_slopes)[k]
            terms = product * on * each.prod(axis=1)
            stderr = terms.std() / pairs**0.5
            assert abs(slopes.z_product[0] - terms.mean()) < 4 * stderr + 2e-3
