"""The walk of any graph, operation by operation: against networks, and where rules are missing."""

from dataclasses import replace
from math import inf, log2, prod

import numpy as np
import pytest

from depthscale.errors import NoTheory
from depthscale.network.activations import activation
from depthscale.network.graph import Graph, Op
from depthscale.network.operations import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Input,
    Linear,
    Multiply,
    Norm,
    Pool,
    Prepend,
    Unknown,
)
from depthscale.network.spec import NetSpec, Residual
from depthscale.network.window import Window
from depthscale.theory import exchangeable, predict, predict_graph
from graphs import chain, compare, origin, shown

C, B = 64, 4
RELU = Elementwise("relu")
WIDE = Linear(C, C, 2.0, 0.0)


def conv(
    size: int, kernel: int = 3, stride: int = 1, groups: int = 1, sigma_b2: float = 0.0
) -> Conv:
    """C channels on a square map, wrapped around."""
    return Conv(
        C, C, Window.of((size, size), kernel, stride, kernel // 2, True), 2.0, sigma_b2, groups
    )


def image(size: int) -> Input:
    return Input(1.0, size=(size, size))


GRAPHS = {
    "batch norm over positions": chain(
        image(6),
        conv(6),
        Norm("batch", 36 * B),
        RELU,
        conv(6),
        Norm("batch", 36 * B),
        RELU,
        samples=B,
    ),
    "instance norm": chain(
        image(6),
        conv(6),
        Norm("instance", 36, 0.1),
        RELU,
        conv(6),
        Norm("instance", 36),
        Elementwise("gelu"),
        samples=B,
    ),
    "group norm over channels and positions": chain(
        image(6),
        conv(6),
        Norm("group", 16 * 36),
        RELU,
        conv(6),
        Norm("group", 16 * 36),
        RELU,
        samples=B,
    ),
    "average pooling, then flattened": chain(
        image(8),
        conv(8, groups=4),
        RELU,
        Pool("average", Window.of((8, 8), 2, 2)),
        conv(4, sigma_b2=0.3),
        Elementwise("tanh"),
        Flatten(),
        Linear(16 * C, C, 2.0, 0.0),
        samples=B,
    ),
    "overlapping average pooling": chain(
        image(8),
        conv(8),
        RELU,
        Pool("average", Window.of((8, 8), 4, 2, 1, True)),
        conv(4),
        samples=B,
    ),
    "max pooling above batch norm": chain(
        image(8),
        conv(8),
        Norm("batch", 64 * B),
        RELU,
        Pool("max", Window.of((8, 8), 2, 2)),
        conv(4),
        Norm("batch", 16 * B),
        Elementwise("gelu"),
        samples=B,
    ),
    "max pooling of what no norm divides": chain(
        image(8),
        conv(8),
        RELU,
        conv(8),
        Elementwise("gelu"),
        Pool("max", Window.of((8, 8), 4, 4)),
        conv(2),
        samples=B,
    ),
    "strides and the global average": chain(
        image(8),
        conv(8, stride=2),
        RELU,
        conv(4),
        RELU,
        Pool("average", Window.whole((4, 4))),
        Flatten(),
        WIDE,
        samples=B,
    ),
    "batch norm where positions of a sample are alike": chain(
        image(8),
        conv(8, sigma_b2=0.5),
        Elementwise("relu"),
        Pool("average", Window.of((8, 8), 4, 2, 1, True)),
        conv(4),
        Norm("batch", 16 * 16),
        RELU,
        conv(4),
        Norm("batch", 16 * 16),
        RELU,
        samples=16,
    ),
    "a residual block that ends in batch norm": chain(
        image(8),
        conv(8),
        Norm("batch", 64 * B),
        (Add(), [0, 2]),
        RELU,
        samples=B,
    ),
    "dropout": chain(image(4), conv(4), RELU, Dropout(0.7), conv(4), RELU, samples=B),
}


@pytest.mark.parametrize(("name", "eps"), [("relu", 0.0), ("gelu", 0.2)])
def test_rms_norm_over_groups_of_8_is_what_networks_show(name: str, eps: float) -> None:
    graph = chain(
        Input(1.0),
        *[Linear(512, 512, 2.0, 0.0), Norm("rms", 8, eps), Elementwise(name)] * 3,
        samples=16,
    )
    compare(shown(graph, (16, 512), 24), predict_graph(graph), bias=0.01)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_operation_of_a_convolutional_network_is_what_networks_show(name: str) -> None:
    graph = GRAPHS[name]
    source = graph.ops[0].what
    assert isinstance(source, Input)
    walk = predict_graph(graph)
    assert walk.stops == ()
    networks = 16 if graph.samples == 16 else 32
    compare(
        shown(graph, (int(graph.samples), C, *source.size), networks), walk, bias=0.03
    )  # fourfold width, a quarter of it


def test_twin_another_stride_falls_out() -> None:
    graph = GRAPHS["strides and the global average"]
    measured = shown(graph, (B, C, 8, 8), 32)
    wrong = chain(
        *(
            replace(op.what, fan_out=C // 2) if isinstance(op.what, Linear) else op.what
            for op in graph.ops
        )
    )
    with pytest.raises(AssertionError, match="gradient off by"):
        compare(measured, predict_graph(wrong), bias=0.03)


def attention(q: float, causal: bool = False, positions: int = 16, entries: int = 128) -> Graph:
    """Layer norm, then one attention of two heads; q: sigma_w2 of queries and keys."""
    linear = Linear(entries, entries, q, 0.0)
    return chain(
        Input(1.0, size=(positions,)),
        Norm("layer", inf),
        linear,
        (linear, [1]),
        (Linear(entries, entries, 1.0, 0.0), [1]),
        (Attention(2, causal), [2, 3, 4]),
        Linear(entries, entries, 1.0, 0.0),
        samples=4,
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [0.3, 1.5, 4.0])
def test_attention_at_any_size_of_logits_is_what_networks_show(size: float, causal: bool) -> None:
    """Through the logits the gradient is larger at a finite width, by keys over entries: 3 %."""
    graph = attention(size, causal, 8, 256)
    walk = predict_graph(graph)
    assert "independent" in dict(origin(walk).caveats)[5]
    compare(shown(graph, (4, 256, 8), 48), walk, bias=0.07)


def test_an_attention_that_drops_weights_and_scales_them_is_what_networks_show() -> None:
    graph = attention(1.0, positions=8, entries=256)
    (*below, op, last) = graph.ops
    told = replace(op, what=Attention(2, scale=1.6, keep=0.8))
    graph = replace(graph, ops=(*below, told, last))
    compare(shown(graph, (4, 256, 8), 48), predict_graph(graph), bias=0.07)


def test_a_product_of_two_functions_of_one_map_has_no_rule() -> None:
    graph = chain(Input(1.0), WIDE, RELU, (Multiply(), [1, 2]), WIDE, samples=8)
    assert "correlated" in predict_graph(graph).stops[0][1]


@pytest.mark.parametrize("variance", [0.01, 1.0, 9.0])
@pytest.mark.parametrize(("positions", "more"), [(8, 1), (5, 3)])
def test_tokens_of_another_size_are_what_networks_show(
    variance: float, positions: int, more: int
) -> None:
    """A norm divides each position by its own size: the mean of 1 / size is not 1 / mean."""
    linear = Linear(256, 256, 1.0, 0.0)
    graph = chain(
        Input(1.0, size=(positions,)),
        linear,
        Prepend(more, variance),
        Norm("layer", inf),
        linear,
        (Linear(256, 256, 1.0, 0.0), [2]),
        (Add(), [5, 4]),
        Norm("layer", inf),
        linear,
        samples=4,
    )
    compare(shown(graph, (4, 256, positions), 32), predict_graph(graph), bias=0.04)


def test_a_gate_times_another_map_is_what_networks_show() -> None:
    graph = chain(
        Input(1.0),
        Norm("layer", inf),
        WIDE,
        RELU,
        (WIDE, [1]),
        (Multiply(), [3, 4]),
        WIDE,
        samples=8,
    )
    compare(shown(graph, (8, WIDE.fan_in), 32), predict_graph(graph), bias=0.03)


def test_a_network_stands_in_a_walk_as_predict_has_it() -> None:
    for spec in (
        NetSpec(depth=5, norm="batch", batch=16, activation="gelu"),
        NetSpec(depth=4, norm="layer", residual=Residual(layers=2)),
    ):
        for loss in ("independent", "shared"):
            walk, profile = predict_graph(spec.graph(), loss), predict(spec, loss)
            outputs = [layer[-1] for layer in spec.graph().layers()]
            assert [walk.ops[i].log2_gradient_ms for i in outputs] == list(
                profile.gradient.log2_mean_square
            )
            assert [walk.ops[i].log2_activation_ms for i in outputs] == list(
                profile.activation.log2_mean_square
            )
    with pytest.raises(NoTheory, match="independent and shared, not 'mine'"):
        predict_graph(spec.graph(), "mine")


def test_gradients_of_a_fork_add_and_each_edge_has_its_factor() -> None:
    """x + 0.5 W x: the skip sends 1 and the branch 0.25 sigma_w2."""
    walk = predict_graph(chain(Input(1.0), WIDE, (Add(0.5), [0, 1])))
    assert walk.ops[2].log2_gains == (0.0, -2.0)
    assert walk.ops[1].log2_gains == (1.0,)
    assert 2 ** walk.ops[0].log2_gradient_ms == pytest.approx(1.5)
    assert 2 ** walk.ops[2].log2_activation_ms == pytest.approx(1.5)


def test_several_outputs_each_send_a_gradient_and_a_dead_end_none() -> None:
    graph = chain(Input(1.0), WIDE, RELU, (WIDE, [2]), (WIDE, [2]))
    last = predict_graph(graph)
    assert last.ops[3].log2_gradient_ms == -inf
    assert np.isnan(last.ops[3].log2_gains[0])
    both = predict_graph(graph, outputs=(3, 4))
    assert both.ops[2].log2_gradient_ms == pytest.approx(last.ops[2].log2_gradient_ms + 1)


def test_a_sum_of_what_is_correlated_is_refused_in_either_order() -> None:
    for inputs in ([1, 2], [2, 1]):
        walk = predict_graph(chain(Input(1.0), WIDE, RELU, (Add(), inputs)))
        assert "correlated" in walk.stops[0][1]
    assert predict_graph(chain(Input(1.0), WIDE, RELU, (WIDE, [2]), (Add(), [3, 2]))).stops == ()


@pytest.mark.parametrize(
    "norm", [Norm("batch", 32, 1e-5), Norm("layer", inf, 1e-5), Norm("rms", inf)]
)
def test_a_norm_makes_the_signal_known_again(norm: Norm) -> None:
    graph = chain(Input(1.0), WIDE, Unknown("Fold"), WIDE, norm, RELU, WIDE, norm, RELU, samples=32)
    walk = predict_graph(graph)
    assert walk.stops == ((2, "unknown2: theory has no rule for Fold"),)
    signal = [op.log2_activation_ms for op in walk.ops]
    assert signal[:2] == [0.0, 1.0]
    assert np.isnan(signal[2:4]).all()
    assert signal[4:] == pytest.approx([0.0, -1.0, 0.0, 0.0, -1.0], abs=1e-4)
    gradient = [op.log2_gradient_ms for op in walk.ops]
    assert np.isnan(gradient[:4]).all()
    assert np.isfinite(gradient[4:]).all()


def test_what_stands_before_and_after_an_unknown_is_the_same_as_without_it() -> None:
    """Batch Norm forgets what came before it, but for sigma."""
    norm = Norm("batch", 32)
    rest = (WIDE, norm, RELU, WIDE, norm, RELU)
    known, unknown = (
        predict_graph(chain(Input(1.0), *before, *rest, samples=32)).ops[-5:]
        for before in ((), (Unknown("Fold"),))
    )
    for a, b in zip(known, unknown, strict=True):
        assert (a.log2_activation_ms, a.log2_gradient_ms) == pytest.approx(
            (b.log2_activation_ms, b.log2_gradient_ms)
        )


def test_factors_are_known_below_a_gradient_that_is_not() -> None:
    """What stands below an unknown operation has no gradient, but each edge its factor; and no
    gradient counts as 0."""
    norm = Norm("batch", 32)
    below = (WIDE, norm, RELU, WIDE, norm, RELU, WIDE)
    walk = predict_graph(chain(Input(1.0), *below, Unknown("Fold"), WIDE, samples=32))
    alone = predict_graph(chain(Input(1.0), *below, samples=32))
    assert np.isnan([op.log2_gradient_ms for op in walk.ops[:8]]).all()
    assert walk.ops[4].log2_gains == alone.ops[4].log2_gains == (pytest.approx(1.0),)
    assert walk.ops[6].log2_gains == alone.ops[6].log2_gains
    assert np.isfinite([op.log2_gains[0] for op in walk.ops[1:8]]).all()


def test_batch_norm_needs_no_ratio_between_samples_to_be_known() -> None:
    graph = chain(
        image(4),
        conv(4),
        Unknown("Fold"),
        *[conv(4), Norm("batch", 16 * 512), RELU] * 2,
        samples=512,
    )
    walk = predict_graph(graph)
    assert [op.log2_activation_ms for op in walk.ops[4:]] == pytest.approx(
        [0.0, -1.0, 0.0, 0.0, -1.0]
    )


def test_only_the_root_of_what_is_unknown_is_named() -> None:
    walk = predict_graph(
        chain(Input(1.0), Unknown("A"), RELU, Affine(2.0, 1.0), WIDE, Unknown("B"), RELU)
    )
    assert walk.stops == ((1, "unknown1: theory has no rule for A"),)


def test_zeros_around_the_input_are_told_of() -> None:
    padded = Conv(C, C, Window.of((4, 4), 3, 1, 1), 2.0)
    walk = predict_graph(chain(Input(1.0, size=(4, 4)), padded))
    assert "zeros around the input" in dict(origin(walk).caveats)[1]
    assert walk.ops[1].log2_activation_ms == pytest.approx(log2(2 * (10 / 12) ** 2))
    assert origin(predict_graph(chain(image(4), conv(4)))).caveats == ()


def test_tokens_that_recur_are_alike() -> None:
    """Over a vocabulary of V, two positions agree with probability 1 / V."""
    walk = predict_graph(
        chain(Embedding(1.0, 4.0, (16,)), Pool("average", Window.whole((16,))), Flatten(), WIDE)
    )
    assert 2 ** walk.ops[1].log2_activation_ms == pytest.approx(1 / 16 + 15 / 16 / 4)


def test_an_activation_of_ones_own_walks() -> None:
    """x |x| / 2: E phi^2 = 3/4 and E phi'^2 = 1 at variance 1."""
    mine = Elementwise(activation(lambda x: x * np.abs(x) / 2))
    walk = predict_graph(chain(Input(1.0), Linear(C, C, 1.0, 0.0), mine))
    assert 2 ** walk.ops[2].log2_activation_ms == pytest.approx(3 / 4)
    assert 2 ** walk.ops[2].log2_gains[0] == pytest.approx(1.0)


def test_graphs_without_layers_walk() -> None:
    ops = (Op("x", Input(1.0), (), 0), Op("a", WIDE, (0,), 0), Op("b", RELU, (1,), 0))
    assert 2 ** predict_graph(Graph(ops, 8)).ops[2].log2_activation_ms == pytest.approx(1.0)


def white(graph: Graph) -> np.ndarray:
    """Inputs whose second moments between any two points are exactly white. / returns: [samples,
    channels, *size]."""
    source = graph.ops[0].what
    assert isinstance(source, Input)
    points = int(graph.samples) * prod(source.size)
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((2 * points, points)))
    rows = (q.T * (2 * points) ** 0.5).reshape(int(graph.samples), *source.size, 2 * points)
    return np.moveaxis(rows, -1, 1)


@pytest.mark.parametrize("name", [name for name in GRAPHS if GRAPHS[name].samples == B])
def test_both_forms_agree_on_white_images(name: str) -> None:
    graph = GRAPHS[name]
    small, full = predict_graph(graph), predict_graph(graph, inputs=white(graph), error=0.02)
    for ours, theirs in (
        (small.readings.activation, full.readings.activation),
        (small.readings.gradient, full.readings.gradient),
    ):
        ratio = 2.0 ** (theirs.log2_mean_square - ours.log2_mean_square)
        allowed = ours.relative_stderr + 5 * theirs.relative_stderr + 3e-3
        assert (abs(ratio - 1) <= allowed).all(), (ratio, allowed)


def test_a_walk_on_inputs_has_gains_whose_product_is_the_gradient() -> None:
    graph = GRAPHS["batch norm over positions"]
    ops = predict_graph(graph, inputs=white(graph), error=0.02).ops
    total = sum(op.log2_gains[0] for op in ops[1:])
    assert total == pytest.approx(ops[0].log2_gradient_ms, abs=1e-2)


def test_entries_of_several_positions_have_no_rule_on_inputs() -> None:
    graph = chain(image(2), conv(2, 1), Flatten(), RELU, samples=2)
    with pytest.raises(NoTheory, match="entries come from several positions"):
        predict_graph(graph, inputs=white(graph))


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, OverflowError, FloatingPointError, ValueError]
)
@pytest.mark.parametrize("rule", ["remembered_rule", "backward_rule"])
def test_numbers_that_no_arithmetic_takes_stop_a_walk_at_the_operation(
    rule: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(exchangeable, rule)

    def failing(op, *rest):
        if RELU in (op, getattr(op, "what", None)):
            raise error
        return plain(op, *rest)

    monkeypatch.setattr(exchangeable, rule, failing)
    found = predict_graph(chain(Input(1.0), WIDE, RELU, WIDE))
    assert len(found.stops) == 1
    assert found.stops[0] == (2, "elementwise2: its numbers leave float64's range")
    assert found.readings.activation.log2_mean_square[1] == pytest.approx(1.0)
    assert found.readings.gradient.log2_mean_square[2] == pytest.approx(1.0)
