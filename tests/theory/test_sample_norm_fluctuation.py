"""What a finite width does to samples' mean squares without a norm, against networks; and when
predict says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from depthscale.nets.module import build
from depthscale.network.spec import NetSpec, Residual
from depthscale.theory import predict
from depthscale.theory.corrections.sample_norm_fluctuation import (
    SampleNormFluctuation,
    sample_norm_fluctuation,
)
from depthscale.theory.exchangeable import forward
from tolerances import within

AMPLIFYING = NetSpec(
    depth=7, width=512, activation="hard_swish", sigma_w2=2.47, input_variance=0.63, batch=24
)
CASES = [
    NetSpec(depth=7, width=256, activation="gelu", sigma_w2=2.47, input_variance=0.63),
    NetSpec(depth=6, width=256, activation="silu", sigma_w2=3.0),
    NetSpec(depth=6, width=256, activation="mish"),
    NetSpec(depth=5, width=256, activation="tanh", sigma_w2=1.5, sigma_b2=0.2),
]


def of(spec: NetSpec) -> SampleNormFluctuation:
    graph = spec.graph()
    found = sample_norm_fluctuation(graph, forward(graph)[0])
    assert found
    return found


@torch.no_grad()
def measured(spec: NetSpec) -> tuple[float, float]:
    """Variance over 400 networks of the log of the last layer's mean square for one sample, and its
    standard error by blocks."""
    logs = []
    for seed in range(400):
        x = (
            torch.randn(1, spec.width, generator=torch.Generator().manual_seed(seed))
            * spec.input_variance**0.5
        )
        logs.append(float(build(spec, seed)(x).square().mean().log()))
    blocks = np.array(logs).reshape(20, 20).var(axis=1, ddof=1)
    return float(blocks.mean()), float(blocks.std(ddof=1) / 20**0.5)


@pytest.mark.parametrize("spec", CASES, ids=lambda spec: spec.activation)
def test_one_samples_mean_square_varies_over_networks_as_predicted(spec: NetSpec) -> None:
    """Next order: relative O(variance)."""
    variance, stderr = measured(spec)
    expected = of(spec).variance
    within(variance, expected, stderr, bias=expected**2)
    with pytest.raises(AssertionError):
        within(variance, of(replace(spec, width=64)).variance, stderr, bias=expected**2)


@pytest.mark.parametrize("name", ["gelu", "hard_swish", "tanh"])
@pytest.mark.parametrize("sigma_b2", [0.0, 0.3])
def test_amplification_is_that_of_a_prediction_with_a_little_more_at_its_input(
    name: str, sigma_b2: float
) -> None:
    spec = NetSpec(depth=5, activation=name, sigma_b2=sigma_b2)
    more, less = (replace(spec, input_variance=v) for v in (1 + 1e-4, 1 - 1e-4))
    change = (
        predict(more).activation.log2_mean_square[-1]
        - predict(less).activation.log2_mean_square[-1]
    )
    expected = change / np.log2((1 + 1e-4) / (1 - 1e-4))
    assert of(spec).amplified == pytest.approx(expected, rel=1e-6)
    assert of(replace(spec, sigma_w2=2.1)).amplified != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("depth", [1, 7])
def test_relu_adds_5_over_the_width_in_every_layer_and_amplifies_nothing(depth: int) -> None:
    """E relu^4 / (E relu^2)^2 = (3/2) / (1/4) = 6; an input's is 3."""
    found = of(NetSpec(depth=depth, width=100))
    assert found.variance == pytest.approx((2 + 5 * depth) / 100, rel=1e-9)
    assert found.amplified == pytest.approx(1, rel=1e-9)


def test_a_note_says_where_a_finite_width_moves_the_means() -> None:
    """hard_swish departs by 26 % at width 512 (tests/theory/test_coverage.py); ReLU, as uneven once
    deep, by nothing."""
    (note,) = predict(AMPLIFYING).notes
    assert "3.9 times as large after 7 layers" in note
    assert "vary by 65 % (rms)" in note
    quiet = [
        replace(AMPLIFYING, width=100_000),
        NetSpec(depth=100, width=512),
        NetSpec(depth=7, activation="tanh"),
        replace(AMPLIFYING, norm="layer"),
        replace(AMPLIFYING, residual=Residual()),
    ]
    assert not any(predict(spec).notes for spec in quiet)
