"""Yang et al. 2019 (arXiv:1902.08129), "A Mean Field Theory of Batch Normalization": its numbers,
layer by layer."""

from math import inf, pi

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from depthscale.measure import growth
from depthscale.nets.module import build
from depthscale.network.activations import activation
from depthscale.network.spec import NetSpec
from depthscale.numerics.closed_forms import arc_cosine, arc_cosine_slope
from depthscale.theory import predict, predict_graph
from graphs import log2_weight_gradients
from knobs import KNOBS
from tolerances import agrees, within

TABLE = """
4   3.08406 2.00000 2.12926 2.16776 2.81494 2.48720 4.81636 .38053 .16950 14.2
8   1.78819 1.20000 1.35855 1.40505 1.62230 1.47197 2.13372 .28497 .25013 27.5
16  1.58995 1.07692 1.24626 1.29384 1.43571 1.31271 1.72300 .27280 .28568 34.5
64  1.49306 1.01639 1.19226 1.24012 1.34375 1.23361 1.52146 .26774 .31041 39.9
128 1.47968 1.00800 1.18485 1.23273 1.33100 1.22259 1.49354 .26711 .31438 40.8
512 1.47007 1.00196 1.17954 1.22742 1.32183 1.21466 1.47347 .26667 .31733 41.5
inf 1.46694 1.00000 1.17781 1.22570 1.31884 1.21208 1.46694 .26653 .31831 41.8
"""
ACTIVATIONS = ("relu", "linear", "tanh", "erf", "gelu", "silu")
ROWS = [line.split() for line in TABLE.split("\n") if line]
CELLS = [
    (row[0], name, printed)
    for row in ROWS
    for name, printed in zip(ACTIVATIONS, row[1:7], strict=True)
]


def network(batch: str, **changes: float | str) -> NetSpec:
    fields = {
        "norm": "batch",
        "batch": inf if batch == "inf" else int(batch),
        "depth": 20,
    } | changes
    return NetSpec(**fields)  # pyright: ignore[reportArgumentType]


def rate(batch: str = "inf", /, **changes: float | str) -> float:
    """Of the deepest layer's step that is neither the input's nor the loss's: what went before has
    settled."""
    log2 = predict(network(batch, **changes)).gradient.log2_mean_square
    return float(2.0 ** (log2[-3] - log2[-2]))


def differs(found: float, printed: str) -> None:
    with pytest.raises(AssertionError):
        agrees(found, printed)


@pytest.mark.parametrize(("batch", "name", "printed"), CELLS)
def test_the_rates_of_six_activations_over_4_to_512_inputs_are_the_tables(
    batch: str, name: str, printed: str
) -> None:
    """lambda(B) = {E (B-1-z1^2) phi'^2 + E (1+z1 z2) phi' phi'} / {(B-3) (E phi^2 - E phi phi)} on
    the sphere; theorem 3.10."""
    agrees(growth(predict(network(batch, activation=name))).rate, printed)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_twin_over_one_input_more_no_rate_of_the_table_is_met(name: str) -> None:
    for batch, of, printed in CELLS:
        if of == name and batch not in ("inf", "512"):
            differs(rate(str(int(batch) + 1), activation=name), printed)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_frozen_rates_top_factors_and_16_depth_scales_are_the_tables(row: list[str]) -> None:
    """Also c*: the mean batch variance of y is (1 - 1/B) sigma_w2 q (1 - c*), and q the
    activation's mean square."""
    frozen, top, correlation, depth_scales = row[7:]
    found = predict(network(row[0]))
    agrees(rate(row[0], statistics="frozen"), frozen)
    agrees(predict(network(row[0]), loss="shared").gradient.mean_square[19], f"0{top}")
    share = 1 - 1 / float(row[0])
    spread = found.batch_variance.mean_square[-1] / (share * 2 * found.activation.mean_square[-1])
    agrees(1 - spread, f"0{correlation}")
    agrees(16 * growth(found).depth_scale, depth_scales)


@pytest.mark.parametrize("row", ROWS[:-1], ids=lambda row: row[0])
def test_twin_statistics_that_take_part_do_not_give_the_frozen_rate(row: list[str]) -> None:
    differs(rate(row[0]), row[7])
    differs(predict(network(row[0])).gradient.mean_square[19], f"0{row[8]}")


@pytest.mark.parametrize("batch", [4, 5, 7, 33, 1000])
def test_theorem_8_in_its_other_form_gives_the_same_rate(batch: int) -> None:
    """[(B - 1 + J')/(1 - J) - 1] / (B - 3), at rho = -1/(B - 1)."""
    j, slope = arc_cosine(-1 / (batch - 1)), arc_cosine_slope(-1 / (batch - 1))
    expected = ((batch - 1 + slope) / (1 - j) - 1) / (batch - 3)
    assert growth(predict(network(str(batch)))).rate == pytest.approx(expected, rel=1e-12)


def test_twin_a_batch_of_one_more_has_another_rate() -> None:
    differs(growth(predict(network("9"))).rate, "1.78819")


def test_a_linear_network_explodes_least_of_all() -> None:
    for batch in (4, 8, 64):
        linear = growth(predict(network(str(batch), activation="linear"))).rate
        assert linear == pytest.approx((batch - 2) / (batch - 3))
        assert all(
            linear < rate(str(batch), activation=name) for name in ACTIVATIONS if name != "linear"
        )


INFINITE = {
    "relu": "1.46694",
    "leaky_relu": "1.45337",
    "tanh": "1.17781",
    "erf": "1.22570",
    "gelu": "1.31884",
}
INFINITE |= {"silu": "1.21208", "sin": "1.31304", "linear": "1.00000"}


@pytest.mark.parametrize("name", INFINITE)
def test_over_an_infinite_batch_relu_grows_by_1_46694_and_sin_by_1_31304(name: str) -> None:
    """E phi'^2 / Var phi, whatever the weights' and the biases' variance."""
    agrees(rate(activation=name), INFINITE[name])
    agrees(rate(activation=name, sigma_w2=0.3, sigma_b2=1.7), INFINITE[name])
    if name != "linear":
        differs(rate("1000", activation=name), INFINITE[name])


@pytest.mark.parametrize("knob", KNOBS)
def test_a_shift_of_2_brings_relu_down_to_1_01776_and_a_gain_of_2_tanh_up_to_1_6116(
    knob: tuple[str, float, float],
) -> None:
    name, gain, shift = knob
    agrees(rate(activation=name, gamma=gain, beta=shift), KNOBS[knob])
    differs(rate(activation=name, gamma=gain, beta=shift + 0.1), KNOBS[knob])


@pytest.mark.parametrize(
    ("eps", "printed"),
    [(0.1, "1.46694"), (0.5, "1.46694"), (0.8, "1.25"), (1.0, "1.0"), (1.5, "0.667")],
)
def test_the_transition_lies_at_eps_0_68_and_the_rate_is_1_at_eps_1(
    eps: float, printed: str
) -> None:
    """Below eps = sigma_w2 Var relu = (pi - 1)/pi, sigma^2 + eps settles there and the rate stays;
    above, sigma^2 -> 0.

    The rate is then sigma_w2 E phi'^2 / eps = 1 / eps.
    """
    deep = predict(network("inf", eps=eps, depth=400)).gradient.log2_mean_square
    agrees(2 ** (deep[300] - deep[301]), printed)
    assert ((pi - 1) / pi < eps) == (printed != "1.46694")


def test_twin_an_eps_of_0_7_no_longer_keeps_the_rate() -> None:
    deep = predict(network("inf", eps=0.7, depth=400)).gradient.log2_mean_square
    differs(2 ** (deep[300] - deep[301]), "1.46694")
    agrees(2 ** (deep[300] - deep[301]), "1.43")  # 1 / 0.7


@pytest.mark.parametrize(
    ("name", "printed"), [("relu", "1.4669"), ("tanh", "1.3443"), ("gelu", "1.3791")]
)
def test_batch_norm_after_tanh_grows_by_1_3443(name: str, printed: str) -> None:
    """y = W x, x = BN(phi(y)): sigma_w2 E phi'(sigma_w g)^2 / Var phi(sigma_w g), here at sigma_w2
    = 2."""
    agrees(rate(activation=name, position="after"), printed)
    if name == "relu":
        agrees(rate(activation=name, position="after", sigma_w2=1.0), printed)
    else:
        differs(rate(activation=name, position="after", sigma_w2=1.9), printed)


def shared_top_factor(name: str) -> float:
    """[E phi'^2 - (E phi')^2 - (E g phi')^2] / Var phi: the mean's term deletes a_1, that of sigma
    a_2."""
    a = activation(name)

    def expect(f) -> float:
        halves = (
            quad(lambda g: f(np.array([g]))[0] * np.exp(-g * g / 2), *ends, epsabs=1e-13)[0]
            for ends in ((-9, 0), (0, 9))
        )
        return sum(halves) / np.sqrt(2 * pi)

    variance = expect(lambda g: a.phi(g) ** 2) - expect(a.phi) ** 2
    left = (
        expect(lambda g: a.derivative(g) ** 2)
        - expect(a.derivative) ** 2
        - expect(lambda g: g * a.derivative(g)) ** 2
    )
    return left / variance


@pytest.mark.parametrize("name", ["relu", "tanh", "erf", "gelu", "silu", "softplus", "elu"])
def test_under_a_shared_loss_the_top_layer_keeps_0_2665_of_relus_square(name: str) -> None:
    found = float(predict(network("inf", activation=name), loss="shared").gradient.mean_square[19])
    assert found == pytest.approx(shared_top_factor(name), rel=1e-9)
    if name == "relu":
        agrees(found, "0.2665")
    with pytest.raises(AssertionError):
        assert predict(network("inf", activation=name)).gradient.mean_square[19] == pytest.approx(
            found, rel=0.01
        )


def test_under_a_shared_loss_a_linear_top_layer_keeps_0() -> None:
    assert predict(network("inf", activation="linear"), loss="shared").gradient.mean_square[19] == 0
    assert predict(network("inf", activation="linear")).gradient.mean_square[19] == pytest.approx(1)


@pytest.mark.parametrize("batch", [8, 32])
def test_weights_have_gradients_that_grow_as_the_activations_do(batch: int) -> None:
    """E (dE/dW)^2 = B p E phi^2 (1 - c), p the mean square of the centred dE/dy: the same rate, and
    autograd's numbers."""
    spec = NetSpec(depth=5, width=256, norm="batch", batch=batch)
    run = predict_graph(spec.graph())
    ops = run.ops
    linears = [i for i, op in enumerate(ops) if op.name.startswith("linear")]
    log2 = log2_weight_gradients(run)[linears]
    c = float(arc_cosine(-1 / (batch - 1)))
    for i, found in zip(linears[1:], log2[1:], strict=True):
        assert 2.0**found == pytest.approx(
            batch * 2.0 ** ops[i].log2_gradient_ms * 0.5 * (1 - c), rel=1e-12
        )
    assert log2[1] - log2[2] == pytest.approx(
        ops[linears[1]].log2_gradient_ms - ops[linears[2]].log2_gradient_ms
    )
    measured = np.array([weight_gradients(spec, seed) for seed in range(24)]) / 2.0**log2
    for column in measured.T:
        within(
            float(column.mean()), 1.0, float(column.std(ddof=1) / np.sqrt(len(column))), bias=0.03
        )
    with pytest.raises(AssertionError):  # as if samples' gradients were independent
        within(
            float(measured[:, 3].mean()),
            1 / (1 - c),
            float(measured[:, 3].std(ddof=1) / 24**0.5),
            bias=0.03,
        )


def weight_gradients(spec: NetSpec, seed: int) -> list[float]:
    """Mean square of dE/dW of every layer, by autograd."""
    net = build(spec, seed)
    generator = torch.Generator().manual_seed(seed)
    out = net(torch.randn(int(spec.batch), spec.width, generator=generator))
    out.backward(torch.randn(out.shape, generator=generator))
    return [float(w.grad.double().square().mean()) for w in net.parameters() if w.grad is not None]
