"""Residual networks: arXiv:1712.08969 (Yang, Schoenholz), 1803.01719 (Hanin, Rolnick), 2002.10444
(De, Smith), 2002.04745 (Xiong), 1901.09321 (Zhang, Dauphin, Ma).

A layer is a block x + alpha F(x). "pre": F is K times (norm, phi, W); "post": F is K times (phi,
W), and the norm is on the sum. The branch ends in fresh weights, so variances add, and gradients
too: p_l = p_{l+1} (1 + alpha^2 kappa_l).
"""

from collections.abc import Callable
from dataclasses import replace
from math import exp, inf, lgamma, pi, sqrt

import numpy as np
import pytest
import torch

from depthscale.errors import InvalidSpec
from depthscale.nets import simulate
from depthscale.nets.execute import evaluate
from depthscale.network.spec import NetSpec, Residual
from depthscale.numerics.closed_forms import arc_cosine, arc_cosine_slope
from depthscale.theory import predict, predict_graph
from graphs import log2_weight_gradients
from tolerances import agrees, within

RELU_SPREAD = (pi - 1) / pi  # sigma_w2 Var relu(g) at sigma_w2 = 2
RELU_RATE = pi / (pi - 1)


def square(depth: int, residual: Residual, **changes: float | str) -> np.ndarray:
    """Mean squares of the gradient at layers 0..depth, the last being 1."""
    return predict(NetSpec(depth=depth, residual=residual, **changes)).gradient.mean_square  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_without_a_norm_every_relu_block_doubles_the_square(layers: int) -> None:
    """K He layers keep both variances, kappa = 1, so signal and gradient are 2^L: ReLU residual
    networks explode."""
    found = predict(NetSpec(depth=10, residual=Residual(layers=layers)))
    assert found.gradient.mean_square == pytest.approx(2.0 ** np.arange(10, -1, -1), rel=1e-12)
    assert found.activation.mean_square == pytest.approx(2.0 ** np.arange(11), rel=1e-12)


def test_twin_without_the_skip_nothing_doubles() -> None:
    with pytest.raises(AssertionError):
        assert predict(NetSpec(depth=10)).gradient.mean_square[0] == pytest.approx(2.0**10, rel=0.5)


@pytest.mark.parametrize("depth", [4, 100, 10_000])
def test_a_branch_scaled_by_1_over_root_l_grows_the_square_to_e_at_most(depth: int) -> None:
    """(1 + 1/L)^L: bounded, as the sum of alpha^2 is (Hanin & Rolnick)."""
    found = square(depth, Residual(scale=depth**-0.5), width=64)[0]
    assert found == pytest.approx((1 + 1 / depth) ** depth, rel=1e-9)
    assert found < exp(1)


def test_twin_scaled_by_the_fourth_root_it_is_not_bounded() -> None:
    """The sum of alpha^2 is then sqrt(L): exp(10) at L = 100."""
    assert square(100, Residual(scale=100**-0.25))[0] == pytest.approx(1.1**100, rel=1e-9)
    with pytest.raises(AssertionError):
        assert square(100, Residual(scale=100**-0.25))[0] < exp(1)


def test_a_branch_scaled_by_0_changes_nothing() -> None:
    """SkipInit and Fixup begin there."""
    assert (square(50, Residual(scale=0.0)) == 1).all()
    assert (square(50, Residual(scale=0.1)) != 1).any()


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(
    "residual", [Residual.skipinit(), Residual.fixup(8, 2), Residual.fixup(8, 3)]
)
def test_skipinit_and_fixup_start_as_the_identity_in_theory_and_in_networks(
    residual: Residual, norm: str
) -> None:
    spec = NetSpec(depth=8, width=64, batch=16, residual=residual, norm=norm)
    for found in (predict(spec), simulate(spec, seeds=2)):
        assert found.gradient.mean_square == pytest.approx(found.gradient.mean_square[-1], rel=1e-6)
        assert found.activation.mean_square == pytest.approx(
            found.activation.mean_square[0], rel=1e-6
        )
    changed = replace(spec, residual=replace(residual, last_gain=1.0, scale=1.0))
    with pytest.raises(AssertionError):
        assert simulate(changed, seeds=2).gradient.mean_square == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("depth", [4, 16])
def test_skipinit_of_1_over_root_l_ends_below_e_in_networks_too(depth: int) -> None:
    spec = NetSpec(depth=depth, width=256, batch=32, residual=Residual.skipinit(depth))
    assert Residual.skipinit(depth).scale == depth**-0.5
    samples = simulate(spec, seeds=32).gradient.log2_samples
    assert samples is not None
    gain = np.exp2(samples[:, 0] - samples[:, -1])
    stderr = float(gain.std(ddof=1) / sqrt(len(gain)))
    within(float(gain.mean()), float(predict(spec).gradient.mean_square[0]), stderr, bias=0.01)
    with pytest.raises(AssertionError):
        within(float(gain.mean()), 2.0 ** (depth / 2), stderr, bias=0.01)


def squared_steps(depth: int, residual: Residual) -> float:
    """E |dE/dW|^2 of the last linear layer of every branch, all branches together, of 32 samples at
    width 64."""
    spec = NetSpec(depth=depth, width=64, batch=32, residual=residual)
    graph = spec.graph()
    last = {op.layer: i for i, op in enumerate(graph.ops) if op.name[:6] == "linear"}
    found = log2_weight_gradients(predict_graph(graph))
    return float((2.0 ** found[list(last.values())]).sum()) * 64**2


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_fixup_keeps_a_first_step_the_same_at_every_depth(layers: int) -> None:
    """m - 1 layers of L^(-1/(2m - 2)) leave a branch's features a variance of 1/L, so L branches'
    squared gradients sum to one's.

    At a first step of size eta the loss falls by eta times that sum: of order eta at any depth
    (Zhang et al., section 3).
    """
    shallow = squared_steps(1, Residual.fixup(1, layers))
    for depth in (10, 100):
        assert squared_steps(depth, Residual.fixup(depth, layers)) == pytest.approx(
            shallow, rel=1e-9
        )
        zero_last = Residual(layers=layers, last_gain=0.0)
        assert squared_steps(depth, zero_last) == pytest.approx(
            depth * shallow, rel=1e-9
        )  # its rule 2 left out


def test_fixups_weight_gradients_are_those_of_networks() -> None:
    """Of a last layer, which starts at 0: E (dE/dW)^2, the mean over 24 networks, against the
    prediction."""
    spec = NetSpec(depth=4, width=128, batch=16, residual=Residual.fixup(4, 2))
    graph = spec.graph()
    at = [i for i, op in enumerate(graph.ops) if op.layer == 3 and op.name == "linear3"][-1]
    expected = 2.0 ** log2_weight_gradients(predict_graph(graph))[at]
    found = []
    for seed in range(24):
        generator = torch.Generator().manual_seed(seed)
        outputs = evaluate(graph, torch.randn(16, 128, generator=generator), seed)
        cotangent = torch.randn(
            16, 128, generator=generator
        )  # the stream carries it unchanged to every branch
        found.append(
            float((cotangent.T @ outputs[graph.ops[at].inputs[0]]).square().mean()) / expected
        )
    stderr = float(np.std(found, ddof=1) / sqrt(len(found)))
    within(float(np.mean(found)), 1.0, stderr)
    with pytest.raises(AssertionError):
        within(float(np.mean(found)), 4.0, stderr)  # without the inner gain, L


@pytest.mark.parametrize(
    "make",
    [
        lambda: Residual.fixup(10, 1),
        lambda: Residual.fixup(0),
        lambda: Residual.skipinit(2.5),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_preset_of_no_network_is_refused(make: Callable[[], Residual]) -> None:
    with pytest.raises(InvalidSpec, match=r"at least (1|2)"):
        make()


def test_a_tanh_residual_network_grows_like_exp_of_root_l_and_relu_like_exp_of_l() -> None:
    """kappa = sigma_w2 E sech^4(sqrt(q) g) ~ (4/3) sigma_w2 / sqrt(2 pi q), the integral of sech^4
    being 4/3; q_l ~ sigma_w2 l.

    So steps fall as 1 / sqrt(l), and log p_0 grows as sqrt(L) (Yang & Schoenholz: sub-exponential).
    Corrections are of order 1/q.
    """
    deep = predict(NetSpec(depth=300, activation="tanh", residual=Residual()))
    kappa = deep.gradient.mean_square[299] / deep.gradient.mean_square[300] - 1
    q = deep.activation.mean_square[299]
    assert kappa == pytest.approx((4 / 3) * 2 / sqrt(2 * pi * q), rel=0.01)
    assert 0.9 * 600 < q < 600
    relu = predict(NetSpec(depth=300, residual=Residual())).gradient.mean_square
    with pytest.raises(AssertionError):
        assert relu[299] / relu[300] - 1 == pytest.approx(kappa, rel=0.1)


def branch_product(depth: int, kappa: float, spread: float) -> float:
    """prod (1 + kappa / (1 + l v)), l = 0..L-1, as Gamma(L + (1 + kappa)/v) Gamma(1/v) / [Gamma(L +
    1/v) Gamma((1 + kappa)/v)]."""
    a, b = (1 + kappa) / spread, 1 / spread
    return exp(lgamma(depth + a) + lgamma(b) - lgamma(depth + b) - lgamma(a))


@pytest.mark.parametrize(("layers", "depth"), [(1, 3), (1, 50), (2, 3), (2, 50)])
def test_batch_norm_in_the_branch_gives_a_ratio_of_four_gammas(layers: int, depth: int) -> None:
    """Stream: s_l = s_0 + l v, s_0 = 1, v = sigma_w2 Var phi. The first norm divides by s_l, the
    others by v.

    kappa_l = lambda^{K-1} sigma_w2 E phi'^2 / s_l, and sigma_w2 E phi'^2 = 1 for He ReLU; over an
    infinite batch.
    """
    found = square(depth, Residual(layers=layers), norm="batch", batch=inf)[0]
    assert found == pytest.approx(
        branch_product(depth, RELU_RATE ** (layers - 1), RELU_SPREAD), rel=1e-9
    )
    with pytest.raises(AssertionError):  # the stream's mean square, 1 + l, in place of its variance
        assert found == pytest.approx(
            branch_product(depth, RELU_RATE ** (layers - 1), 1.0), rel=0.01
        )


@pytest.mark.parametrize("loss", ["independent", "shared"])
@pytest.mark.parametrize("batch", [5, 16, 128])
@pytest.mark.parametrize("layers", [1, 2])
def test_over_16_inputs_the_ratio_of_gammas_holds_for_the_centred_part(
    layers: int, batch: int, loss: str
) -> None:
    """With J, J' at rho = -1/(B-1): v = 1 - J, kappa = (B-2+J'+J)/(B-3) lambda(B)^{K-1}, for
    gradients centred over the batch.

    Below a norm the gradient is centred, so what the batch's samples share, C = p + (B-1) p',
    passes along the stream unchanged (p': product between samples). A gradient with p' =
    (C-p)/(B-1) gains [(B-2) p - (B-1)(J'+J) p'] / ((B-3) s_l), that is (kappa p - C (J'+J)/(B-3)) /
    s_l; so p - P is multiplied by the product, P = C (J'+J)/(B-2+J'+J). Here p_L = 1 and C = 1, or
    B under a shared loss.
    """
    rho = -1 / (batch - 1)
    j, slope = float(arc_cosine(rho)), float(arc_cosine_slope(rho))
    own = (batch - 2 + slope + j) / (batch - 3)
    kappa, common = own * (own / (1 - j)) ** (layers - 1), 1.0 if loss == "independent" else batch
    still = common * (slope + j) / (batch - 2 + slope + j)
    spec = NetSpec(depth=20, residual=Residual(layers=layers), norm="batch", batch=batch)
    found = predict(spec, loss=loss).gradient.mean_square[0]
    assert found == pytest.approx(still + (1 - still) * branch_product(20, kappa, 1 - j), rel=1e-9)
    with pytest.raises(AssertionError):
        assert found == pytest.approx(branch_product(20, kappa, 1 - j), rel=1e-4)


@pytest.mark.parametrize(("layers", "printed"), [(1, "1.467"), (2, "2.152")])
def test_with_batch_norm_in_the_branch_the_square_grows_like_l_to_the_1_467(
    layers: int, printed: str
) -> None:
    """kappa / v = lambda^K: a power of depth, not an exponential. Read off between 2,000 and 4,000
    blocks, corrected by 1/L."""
    log2 = predict(
        NetSpec(depth=4000, residual=Residual(layers=layers), norm="batch", batch=inf)
    ).gradient.log2_mean_square
    # log p ~ a log(L + c): over the stream's variance in place of L the first correction, of order
    # 1/L, is gone but for a half
    variance = 1 + RELU_SPREAD * (
        np.array([2000, 4000]) - 0.5 + RELU_RATE ** (layers - 1) / (2 * RELU_SPREAD)
    )
    agrees(float((log2[2000] - log2[4000]) / np.diff(np.log2(variance))[0]), printed)


def test_batch_norm_shrinks_a_branch_against_its_skip_by_root_l() -> None:
    """The stream's variance is 1 + l v and the branch's v: block l counts for 1 / (l + 1/v) of the
    sum (De & Smith)."""
    spread = predict(
        NetSpec(depth=101, residual=Residual(), norm="batch", batch=inf)
    ).activation.mean_square
    assert np.diff(spread) == pytest.approx(1, rel=1e-12)  # sigma_w2 E relu^2
    assert np.sqrt(spread[100] / np.diff(spread)[100]) == pytest.approx(sqrt(101), rel=1e-12)
    plain = predict(NetSpec(depth=101, residual=Residual())).activation.mean_square
    assert plain[100] / np.diff(plain)[100] == pytest.approx(
        1, rel=1e-12
    )  # without a norm the two stay equal


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("q0", [0.5, 1.0, 3.0])
def test_pre_layer_norm_grows_the_square_linearly_to_11_over_10_blocks(
    norm: str, q0: float
) -> None:
    """q_{l+1} = q_l + sigma_w2 E phi^2 = q_l + 1 and p_l = p_{l+1} (1 + 1/q_l), whose product
    telescopes: (q_0 + L)/q_0."""
    found = square(10, Residual(), norm=norm, input_variance=q0)
    assert found == pytest.approx((q0 + 10) / (q0 + np.arange(11)), rel=1e-12)
    with pytest.raises(AssertionError):
        assert square(10, Residual(), norm=norm, input_variance=1.1 * q0)[0] == pytest.approx(
            (q0 + 10) / q0, rel=1e-3
        )


@pytest.mark.parametrize("layers", [1, 2])
def test_post_layer_norm_with_relu_keeps_the_square_at_1(layers: int) -> None:
    """(1 + sigma_w2 E phi'^2) / (1 + sigma_w2 E phi^2) = 2 / 2. The stream enters a block with mean
    square 1."""
    assert square(12, Residual("post", layers=layers), norm="rms") == pytest.approx(1, rel=1e-12)
    assert square(12, Residual("post", layers=layers), norm="layer") == pytest.approx(1, rel=1e-12)


def test_twin_post_layer_norm_with_tanh_does_not() -> None:
    """(1 + 2 E tanh'^2) / (1 + 2 E tanh^2) = (1 + .92880) / (1 + .78859) = 1.0784."""
    found = square(12, Residual("post"), norm="layer", activation="tanh")
    agrees(float(found[5] / found[6]), "1.0784")
    with pytest.raises(AssertionError):
        assert found[0] == pytest.approx(1, rel=0.5)


def test_networks_of_256_units_follow_the_ratio_of_gammas() -> None:
    spec = NetSpec(depth=6, width=256, batch=24, norm="batch", residual=Residual(layers=2))
    measured, theory = simulate(spec, seeds=24), predict(spec)
    ratio = 2.0 ** (measured.gradient.log2_mean_square[0] - measured.gradient.log2_mean_square[-1])
    expected = float(theory.gradient.mean_square[0])
    stderr = ratio * float(np.hypot(*measured.gradient.relative_stderr[[0, -1]]))
    within(ratio, expected, stderr, bias=0.01 * expected)
    one = float(predict(replace(spec, residual=Residual(layers=1))).gradient.mean_square[0])
    with pytest.raises(AssertionError):
        within(ratio, one, stderr, bias=0.01 * expected)
