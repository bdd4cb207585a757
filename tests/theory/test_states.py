"""What an operation that does not touch a bound or a place must hand on."""

from math import inf

import pytest

from depthscale.network import (
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Flatten,
    Input,
    Linear,
    Norm,
    Operation,
    Part,
    Pool,
    Window,
)
from depthscale.theory import exchangeable
from depthscale.theory.moments.expectations import values
from depthscale.theory.moments.forward import Errors, ForwardMoments, KnownLaw, Places
from depthscale.theory.moments.laws import Gaussian
from depthscale.theory.rules import forward_rule
from depthscale.theory.walk import predict_graph
from graphs import chain

VALUES = ForwardMoments(
    0.0,
    0.5,
    -1.0,
    known=KnownLaw(Gaussian(1.0, 0.5)),
    errors=Errors(0.01, 0.05),
    places=Places(16, 0.7),
)
SCALES = [
    Affine(0.5, 0.0),
    Affine(0.5, 1.0),
    Dropout(0.8),
    Flatten(),
    Part(0.5),
    Part(0.5, "positions"),
    Pool("average", Window.of((4, 4), 2, 2)),
    Pool("max", Window.of((4, 4), 2, 2)),
    Norm("layer", inf),
    Norm("batch", 64, statistics="running"),
]


@pytest.mark.parametrize("what", SCALES, ids=str)
def test_an_error_of_the_spread_survives_what_only_scales(what: Operation) -> None:
    output = forward_rule(what, (VALUES,))
    assert output.errors.spread >= VALUES.errors.spread
    assert output.error >= VALUES.error


def test_an_error_of_the_spread_survives_attention() -> None:
    small = ForwardMoments(-4.0, 0.5, -5.0, places=Places(16, 0.7))
    assert forward_rule(Attention(), (small, small, VALUES)).errors.spread == 0.05


def test_twin_a_norm_over_an_endless_batch_divides_the_spread_by_itself() -> None:
    assert forward_rule(Norm("batch", inf), (VALUES,)).errors.spread == 0.0


@pytest.mark.parametrize("gain", [1.0, -2.0])
def test_what_zeros_around_an_image_leave_survives_a_gain(gain: float) -> None:
    """Batch Norm behind it sees the pattern that all samples share, and by how much channels
    differ."""
    ops = (
        Input(1.0, 0.2, (4, 4)),
        Conv(32, 32, Window.of((4, 4), 3, 1, 1), 2.0),
        Norm("batch", 8 * 16),
    )
    plain = predict_graph(chain(*ops)).ops
    scaled = predict_graph(chain(*ops[:2], Affine(gain, 0.0), ops[2])).ops
    assert scaled[-1].log2_activation_ms == pytest.approx(plain[-1].log2_activation_ms, abs=1e-12)
    assert scaled[0].log2_gradient_ms == pytest.approx(plain[0].log2_gradient_ms, abs=1e-12)


@pytest.mark.parametrize(
    "to_one_place",
    [
        (Flatten(), Linear(512, 32, 1.5, 0.2)),
        (Conv(32, 32, Window.of((4, 4), 4, 1, 0), 1.5, 0.2),),
    ],
    ids=["flatten", "conv"],
)
def test_one_place_has_no_border(to_one_place: tuple[Operation, ...]) -> None:
    """What stands behind it is Gaussian of one variance, as in a network of vectors."""
    conv = Conv(32, 32, Window.of((4, 4), 3, 1, 1), 2.0)
    graph = chain(Input(1.0, 0.2, (4, 4)), conv, *to_one_place, Elementwise("tanh"))
    *_, before, after = exchangeable.forward(graph)[0]
    moments = values("tanh", Gaussian(2.0**before.log2_ms, before.sample_correlation))
    assert 2.0**after.log2_ms == pytest.approx(moments.square, rel=1e-9)
    assert after.sample_correlation == pytest.approx(moments.product / moments.square, rel=1e-9)
