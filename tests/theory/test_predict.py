"""Closed forms against sampling of what they average, and the edges of what they cover."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from depthscale.errors import NoTheory, UnreliableGrowth
from depthscale.measure import growth
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.numerics.closed_forms import arc_cosine, arc_cosine_slope
from depthscale.theory import predict
from tolerances import within

BN = NetSpec(norm="batch")


def sampled_step(
    phi_slope,
    phi,
    covariance: np.ndarray,
    gram: np.ndarray,
    statistics: str,
    neurons: int = 200_000,
) -> np.ndarray:
    """Second moments of dE/dx one layer down, from virtual neurons: an implementation with B x B
    matrices and no formula.

    covariance: [B, B] of y; gram: [B, B] of dE/dx above. / returns: [neurons / 2000] means of
    diagonals, in independent blocks.
    """
    rng = np.random.default_rng(0)
    b = len(covariance)
    root, gram_root = np.linalg.cholesky(covariance), np.linalg.cholesky(gram + 1e-12 * np.eye(b))
    y = rng.standard_normal((neurons, b)) @ root.T
    gradient = rng.standard_normal((neurons, b)) @ gram_root.T
    sigma = y.std(1, keepdims=True)
    z = (y - y.mean(1, keepdims=True)) / sigma
    at_z = gradient * phi_slope(z)
    if statistics == "batch":
        at_z = at_z - at_z.mean(1, keepdims=True) - z * (z * at_z).mean(1, keepdims=True)
    return ((at_z / sigma) ** 2).mean(1).reshape(-1, 2000).mean(1)


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
@pytest.mark.parametrize("batch", [8, 12, 32])
def test_the_bulk_rate_is_that_of_sampled_neurons(batch: int, statistics: str) -> None:
    spec = NetSpec(depth=6, norm="batch", batch=batch, statistics=statistics)
    j = arc_cosine(-1 / (batch - 1))
    covariance = (1 - j) * np.eye(batch) + j  # Kaiming weights: y's second moment is 1
    centred = np.eye(batch) - 1 / batch
    blocks = 2.0 * sampled_step(
        lambda z: z > 0, lambda z: z, covariance, centred / centred[0, 0], statistics
    )
    log2 = predict(spec).gradient.log2_mean_square
    within(
        float(blocks.mean()), 2 ** (log2[3] - log2[4]), float(blocks.std() / np.sqrt(len(blocks)))
    )


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_top_factor_is_that_of_sampled_neurons(ratio: float) -> None:
    j = arc_cosine(-1 / 9)
    gram = (1 - ratio) * np.eye(10) + ratio
    blocks = 2.0 * sampled_step(
        lambda z: z > 0, lambda z: z, (1 - j) * np.eye(10) + j, gram, "batch"
    )
    log2 = predict(
        replace(BN, batch=10), loss="shared" if ratio else "independent"
    ).gradient.log2_mean_square
    within(
        float(blocks.mean()), 2 ** (log2[9] - log2[10]), float(blocks.std() / np.sqrt(len(blocks)))
    )


def test_arc_cosines_are_moments_of_relu() -> None:
    rng = np.random.default_rng(1)
    for c in (-0.9, -0.1, 0.0, 0.5, 0.99):
        u = rng.standard_normal((400_000, 2))
        v = np.stack([u[:, 0], c * u[:, 0] + np.sqrt(1 - c * c) * u[:, 1]])
        product, both = 2 * np.maximum(v, 0).prod(0), 2.0 * (v > 0).all(0)
        within(
            float(product.mean()),
            float(arc_cosine(c)),
            float(product.std() / np.sqrt(product.size)),
        )
        within(
            float(both.mean()), float(arc_cosine_slope(c)), float(both.std() / np.sqrt(both.size))
        )


def test_the_finite_batch_tends_to_the_infinite_one() -> None:
    """The difference falls as 1 / B: ten times the batch, a tenth of it."""
    far = predict(replace(BN, batch=inf)).gradient.log2_mean_square[1]
    gaps = [
        predict(replace(BN, batch=b)).gradient.log2_mean_square[1] - far for b in (10**4, 10**5)
    ]
    assert 9.9 < gaps[0] / gaps[1] < 10.1


@pytest.mark.parametrize(
    "change", [{"sigma_w2": 0.37}, {"sigma_b2": 3.0}, {"gamma": 2.5}, {"input_variance": 9.0}]
)
@pytest.mark.parametrize("batch", [16, inf])
def test_batch_norm_of_relu_has_one_bulk_rate_whatever_the_scales(
    change: dict, batch: float
) -> None:
    rates = [growth(predict(replace(BN, batch=batch, **extra))).rate for extra in ({}, change)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


def test_vanilla_relu_grows_by_half_its_weight_variance() -> None:
    for sigma_w2 in (0.5, 2.0, 3.3):
        found = growth(predict(NetSpec(sigma_w2=sigma_w2, sigma_b2=0.2)))
        assert found.rate == pytest.approx(sigma_w2 / 2, rel=1e-12)
        assert found.stderr == 0


def test_a_prediction_stays_finite_where_float64_does_not() -> None:
    deep = predict(NetSpec(depth=3000, sigma_w2=8.0))
    assert deep.gradient.log2_mean_square[0] == pytest.approx(3000 * 2.0)
    assert deep.activation.log2_mean_square[-1] == pytest.approx(3000 * 2.0)
    assert np.isnan(deep.gradient.mean_square[0])


@pytest.mark.parametrize(
    "spec",
    [
        NetSpec(sigma_w2=1.5, sigma_b2=0.3, width=400, batch=12, depth=6),
        NetSpec(sigma_w2=1.5, width=400, batch=12, depth=6, activation="linear"),
        NetSpec(
            norm="batch", width=400, batch=12, depth=6, gamma=1.7, sigma_b2=0.5, input_variance=0.3
        ),
        NetSpec(
            norm="batch", width=400, batch=12, depth=6, statistics="frozen", activation="linear"
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("loss", ["independent", "shared"])
def test_every_layer_is_what_networks_show(spec: NetSpec, loss: str) -> None:
    measured, predicted = simulate(spec, seeds=40, loss=loss), predict(spec, loss=loss)
    for name in ("gradient", "activation", "batch_variance"):
        ours, theirs = getattr(measured, name), getattr(predicted, name)
        for layer in range(int(name == "batch_variance"), spec.depth + 1):
            zero = theirs.log2_mean_square[layer] == -inf
            if zero:
                assert ours.log2_mean_square[layer] < -30
                continue
            ratio = 2.0 ** (ours.log2_mean_square[layer] - theirs.log2_mean_square[layer])
            # of the factor under a shared loss, measured
            finite_width = 1.15 * spec.depth / spec.width
            within(ratio, 1.0, float(ours.relative_stderr[layer]) + 1e-12, k=4.5, bias=finite_width)


def test_two_samples_have_no_gradient_and_no_rate() -> None:
    pair = predict(replace(BN, batch=2))
    assert list(pair.gradient.mean_square) == [0.0] * 10 + [1.0]
    assert "exactly 0" in pair.notes[0]
    with pytest.raises(UnreliableGrowth, match="exactly 0"):
        growth(pair)
    measured = simulate(NetSpec(norm="batch", batch=2, depth=3, width=64), seeds=2)
    assert (measured.gradient.mean_square[:3] < 1e-6).all()  # rounding, over the smallest sigma^2


@pytest.mark.parametrize(("batch", "statistics"), [(3, "batch"), (3, "frozen"), (2, "frozen")])
def test_three_samples_have_an_infinite_mean(batch: int, statistics: str) -> None:
    three = predict(replace(BN, batch=batch, statistics=statistics))
    assert np.isinf(three.gradient.mean_square[:10]).all()
    assert "infinite" in three.notes[0]
    with pytest.raises(UnreliableGrowth, match="infinite"):
        growth(three)


def test_a_linear_batch_norm_deletes_a_shared_loss() -> None:
    linear = predict(NetSpec(norm="batch", activation="linear"), loss="shared")
    assert list(linear.gradient.mean_square) == [0.0] * 10 + [1.0]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: predict(BN, loss="mine"), "independent and shared, not 'mine'"),
    ],
)
def test_what_has_no_formula_is_named(ask, says: str) -> None:
    with pytest.raises(NoTheory, match=says):
        ask()
