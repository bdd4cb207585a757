"""Hanin & Nica 2018 (arXiv:1812.05994), "Products of Many Large Random Matrices": fluctuations of
gradients at finite width."""

from math import sqrt

import numpy as np
import pytest

from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.theory import predict
from tolerances import within

SEEDS = 500


def steps(spec: NetSpec, loss: str) -> np.ndarray:
    """Log gain of every layer in every network. / returns: [seeds, depth]."""
    samples = simulate(spec, seeds=SEEDS, loss=loss).gradient.log2_samples
    assert samples is not None
    return np.log(2) * (samples[:, :-1] - samples[:, 1:])


def predicted(spec: NetSpec, loss: str) -> np.ndarray:
    variance = predict(spec, loss).log_variance
    assert variance is not None
    return variance[:-1] - variance[1:]


@pytest.mark.parametrize(
    ("activation", "sigma_w2", "per_neuron"),
    [("relu", 2.0, 5.0), ("linear", 1.0, 2.0), ("abs", 1.0, 2.0)],
)
def test_one_samples_log_gain_varies_by_5_over_n_for_relu_and_2_for_linear(
    activation: str, sigma_w2: float, per_neuron: float
) -> None:
    spec = NetSpec(depth=6, width=200, batch=1, activation=activation, sigma_w2=sigma_w2)
    assert predicted(spec, "independent") == pytest.approx(np.full(6, per_neuron / 200), rel=1e-9)


def test_leaky_relus_variance_lies_between() -> None:
    """(3 k - 1) / N with k = (1 + a^4) / 2 over ((1 + a^2) / 2)^2."""
    k = (1 + 0.3**4) / 2 / ((1 + 0.3**2) / 2) ** 2
    spec = NetSpec(depth=3, width=100, batch=1, activation="leaky_relu(0.3)")
    assert predicted(spec, "independent")[0] == pytest.approx((3 * k - 1) / 100, rel=1e-9)


@pytest.mark.parametrize("loss", ["independent", "shared"])
@pytest.mark.parametrize(
    ("activation", "sigma_w2", "batch"), [("relu", 2.0, 1), ("relu", 2.0, 32), ("linear", 1.0, 8)]
)
def test_networks_show_the_variance_of_a_batch_and_half_of_it_as_bias(
    activation: str, sigma_w2: float, batch: int, loss: str
) -> None:
    spec = NetSpec(depth=6, width=200, batch=batch, activation=activation, sigma_w2=sigma_w2)
    found, theory = steps(spec, loss), predicted(spec, loss)
    ratio = float((found.var(axis=0, ddof=1) / theory).mean())
    within(ratio, 1.0, sqrt(2 / SEEDS / 6), bias=0.03 + spec.depth / spec.width)
    total = found.sum(axis=1)
    within(float(total.mean()), -float(theory.sum()) / 2, float(total.std(ddof=1) / sqrt(SEEDS)))


def test_twin_the_variance_of_another_activation_is_seen() -> None:
    found = steps(NetSpec(depth=6, width=200, batch=1), "independent")
    linear = predicted(
        NetSpec(depth=6, width=200, batch=1, activation="linear", sigma_w2=1.0), "independent"
    )
    with pytest.raises(AssertionError):
        within(
            float((found.var(axis=0, ddof=1) / linear).mean()),
            1.0,
            sqrt(2 / SEEDS / 6),
            bias=0.03 + 6 / 200,
        )


@pytest.mark.parametrize(
    "spec",
    [NetSpec(activation="tanh"), NetSpec(norm="batch"), NetSpec(weights="orthogonal")],
    ids=str,
)
def test_where_the_law_does_not_hold_there_is_no_number(spec: NetSpec) -> None:
    assert predict(spec).log_variance is None
