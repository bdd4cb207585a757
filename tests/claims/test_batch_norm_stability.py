"""Where Batch Norm's symmetric fixed point is unstable: samples' norms grow apart, and gradients
leave arXiv:1902.08129's rate.

Batch Norm fixes each neuron's scale over the batch and nobody fixes a sample's norm over the
neurons. A sample of norm q gets Var phi(sqrt(q) g); where that grows faster than q, as for a phi
that bends like a parabola, norms differ more in each layer.
"""

from dataclasses import replace
from functools import cache
from math import inf

import numpy as np
import pytest
import torch

from depthscale.errors import InvalidSpec, NoTheory
from depthscale.nets import simulate
from depthscale.nets.module import build
from depthscale.network.activations import ACTIVATIONS, activation
from depthscale.network.spec import NetSpec, Residual
from depthscale.theory import predict
from depthscale.theory.corrections.relaxation import layers_until_unlike, relaxation
from tolerances import within

UNSTABLE = {
    "gelu",
    "gelu_tanh",
    "hard_swish",
    "mish",
    "quick_gelu",
    "silu",
    "softplus",
}  # over enough samples; the homogeneous are marginal


def variance_at(name: str, q: float) -> float:
    """Var phi(sqrt(q) g), by the trapezoidal rule on a fine grid."""
    g = np.linspace(-12, 12, 400_001)
    weight = np.exp(-g * g / 2) / np.sqrt(2 * np.pi) * (g[1] - g[0])
    x = activation(name).phi(np.sqrt(q) * g)
    return float(weight @ x**2 - (weight @ x) ** 2)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_over_an_endless_batch_norms_grow_apart_where_the_variance_grows_faster_than_q(
    name: str,
) -> None:
    found = relaxation(inf, name).lambda_l
    slope = np.log(variance_at(name, 1 + 1e-4) / variance_at(name, 1 - 1e-4)) / np.log(
        (1 + 1e-4) / (1 - 1e-4)
    )
    assert found == pytest.approx(slope, abs=1e-5)  # of the grid next to a kink
    assert (found > 1 + 1e-6) == (name in UNSTABLE)


@pytest.mark.parametrize("name", ["relu", "linear", "abs", "leaky_relu"])
@pytest.mark.parametrize("batch", [4, 8, 64, inf])
def test_the_formula_for_any_activation_gives_the_closed_forms_of_homogeneous_ones(
    name: str, batch: float
) -> None:
    closed, general = (
        relaxation(batch, name),
        relaxation(batch, replace(activation(name), moments=None)),
    )
    assert general.lambda_l == pytest.approx(closed.lambda_l, abs=1e-12)
    assert general.lambda_m == pytest.approx(closed.lambda_m, abs=1e-12)


@pytest.mark.parametrize("name", ["silu", "tanh"])
def test_over_a_large_batch_the_eigenvalues_are_those_of_an_endless_one(name: str) -> None:
    """The difference falls as 1 / B."""
    far = relaxation(inf, name)
    for which in ("lambda_l", "lambda_m"):
        gaps = [getattr(relaxation(b, name), which) - getattr(far, which) for b in (10**3, 10**4)]
        assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.01)


def apart(spec: NetSpec, seed: int, difference: float) -> np.ndarray:
    """By how much the first half of a batch, scaled up, has larger centred squared norms than the
    second. / returns: [layers]."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(int(spec.batch), spec.width, generator=generator, dtype=torch.float64)
    x[: len(x) // 2] *= (1 + difference) ** 0.5
    x[len(x) // 2 :] *= (1 - difference) ** 0.5
    found = []
    with torch.no_grad():
        for module in (torch.nn.Identity(), *build(spec, seed).double()):
            x = module(x)
            norms = (x - x.mean(0)).square().sum(1)
            first, second = norms.split(len(x) // 2)
            found.append(float((first.mean() - second.mean()) / norms.mean()))
    return np.array(found[::3])


@cache
def growth_apart(name: str, batch: int) -> tuple[float, float]:
    """Factor over 6 layers, and its standard error; with either half the larger on the same
    weights, chance nearly cancels."""
    spec = NetSpec(depth=6, width=512, activation=name, norm="batch", batch=batch)
    gaps = np.array([(apart(spec, seed, 0.1) - apart(spec, seed, -0.1)) / 2 for seed in range(24)])
    first, last = gaps[:, 0], gaps[:, -1]
    factor = last.mean() / first.mean()
    return float(factor), float(
        (last - factor * first).std(ddof=1) / first.mean() / len(gaps) ** 0.5
    )


@pytest.mark.parametrize(
    ("name", "batch"), [("silu", 64), ("silu", 8), ("gelu", 64), ("tanh", 64), ("relu", 16)]
)
def test_six_layers_multiply_differences_between_norms_by_lambda_l_to_the_sixth(
    name: str, batch: int
) -> None:
    factor, stderr = growth_apart(name, batch)
    expected = relaxation(batch, name).lambda_l ** 6
    within(factor, expected, stderr, bias=0.03 * expected)
    with pytest.raises(AssertionError):
        within(
            factor,
            relaxation(batch, "abs" if name == "relu" else "sigmoid").lambda_l ** 6,
            stderr,
            bias=0.03 * expected,
        )


def bulk(spec: NetSpec) -> tuple[float, float]:
    """Mean log ratio of neighbouring layers' gradients well inside, less the prediction's; and its
    standard error over seeds."""
    samples = simulate(spec, seeds=24).gradient.log2_samples
    assert samples is not None
    expected = predict(spec).gradient.log2_mean_square
    steps = ((samples[:, 2] - samples[:, 10]) - (expected[2] - expected[10])) * np.log(2) / 8
    return float(steps.mean()), float(steps.std(ddof=1) / len(steps) ** 0.5)


def test_over_64_samples_silus_gradient_grows_faster_than_predicted_and_a_note_says_why() -> None:
    """1.2336 for samples that are alike; at width 256 they are not for long. Over 8 samples
    lambda_l is 0.80 and the rate holds."""
    unstable = NetSpec(depth=20, width=256, activation="silu", norm="batch", batch=64)
    departs, stderr = bulk(unstable)
    assert departs > 0.03 + 4 * stderr
    (note,) = predict(unstable).notes
    assert "by 1.059; at width 256 they reach the norms themselves after some 17 layers" in note
    stable = replace(unstable, batch=8)
    departs, stderr = bulk(stable)
    within(departs, 0.0, stderr, bias=0.015)
    assert not predict(stable).notes


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "relu"},
        {"batch": 8},
        {"residual": Residual()},
        {"position": "after"},
        {"statistics": "running"},
    ],
)
def test_where_samples_stay_alike_no_note_is_given(changes: dict) -> None:
    spec = NetSpec(**({"norm": "batch", "activation": "silu", "batch": 64} | changes))
    assert not predict(spec).notes


def test_a_negative_shift_makes_relu_unstable_and_a_positive_one_stable() -> None:
    """At beta = -1 only the tail above 1 passes, whose variance grows quickly with q."""
    assert (
        relaxation(64, "relu", shift=-1.0).lambda_l > 1 > relaxation(64, "relu", shift=1.0).lambda_l
    )
    assert predict(NetSpec(norm="batch", beta=-1.0)).notes
    assert not predict(NetSpec(norm="batch", beta=1.0)).notes
    assert relaxation(64, "relu", gain=-1.0, shift=-1.0).lambda_l == pytest.approx(
        relaxation(64, "relu", shift=-1.0).lambda_l
    )


def test_norms_as_uneven_as_large_come_later_in_wider_networks() -> None:
    """s' = lambda^2 s + (kurtosis - 1) / width; at 8 times the width log 8 / (2 log lambda) layers
    later, once it is far."""
    early, late = (layers_until_unlike(64, "silu", width) for width in (10**5, 8 * 10**5))
    assert late - early == pytest.approx(
        np.log(8) / (2 * np.log(relaxation(64, "silu").lambda_l)), rel=0.01
    )
    assert layers_until_unlike(64, "relu", 256) == inf == layers_until_unlike(64, "silu", inf)


def test_what_does_not_vary_relaxes_nowhere() -> None:
    with pytest.raises(NoTheory, match="hardly varies"):
        relaxation(8, lambda x: 0.0 * x + 1)
    with pytest.raises(InvalidSpec, match="gain 0"):
        relaxation(8, "silu", gain=0.0)
    with pytest.raises(NoTheory, match="at least 4"):
        relaxation(3, "silu")
