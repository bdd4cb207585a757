"""First steps of a description, from theory alone, against networks in plain torch."""

from itertools import pairwise
from math import atan, degrees, exp, log, sqrt
from typing import Any

import pytest
import torch

import depthscale as ds
from depthscale.errors import DepthscaleError
from depthscale.training.cross_entropy import handed_back
from training.founding import relative_steps

NEAR = 0.05  # of the last layer's relative step, at width 256 and more
ONE_SAMPLE = (
    5.0  # variance of a squared gradient's logarithm per layer, times the width: 1812.05994
)


def founding(depth: int, samples: int, width: int = 512) -> ds.NetSpec:
    return ds.NetSpec(depth=depth, width=width, norm="batch", batch=samples)


@pytest.mark.parametrize(
    ("variance", "correlation", "classes"),
    [(0.5, 0.3, 10), (2.0, 0.7, 5), (0.01, 0.9, 3), (20.0, 0.5, 10), (0.5, 0.0, 2)],
)
def test_what_a_cross_entropy_hands_back_is_that_of_drawn_logits(
    variance: float, correlation: float, classes: int
) -> None:
    g, n = torch.Generator().manual_seed(0), 200_000
    own, shared = sqrt(variance * (1 - correlation)), sqrt(variance * correlation)
    common = shared * torch.randn(n, classes, generator=g, dtype=torch.float64)
    p, q = (
        (common + own * torch.randn(n, classes, generator=g, dtype=torch.float64)).softmax(1)
        for _ in range(2)
    )
    labels = torch.eye(classes, dtype=torch.float64)[:1]
    found = handed_back(variance, correlation, classes)
    for expected, samples in (
        (found.own, (p - labels).square().sum(1)),
        (found.between, (p * q).sum(1) - 1 / classes),
    ):
        error = float(samples.std()) / sqrt(n)
        assert abs(float(samples.mean()) - expected) < 4 * error + 1e-12
        assert abs(float(samples.mean()) - 1.05 * expected - 0.01) > 4 * error


@pytest.mark.parametrize("samples", [16, 64, 256])
def test_relative_steps_at_both_ends_are_those_of_networks(samples: int) -> None:
    depth, width = 20, 512
    measured = relative_steps(depth, width, samples, seeds=4).log().mean(0)
    steps = ds.first_steps(founding(depth, samples), optimizer="sgd:lr=1")
    first, last = (log(steps.params[k].relative) for k in (0, depth - 1))
    assert abs(float(measured[-1]) - last) < NEAR
    band = ONE_SAMPLE * depth / width / 2  # half the variance, of one sample: a batch has less
    assert abs(float(measured[0]) - first) < band
    assert abs(float(measured[0]) - last) > band


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_last_layers_step_is_given_in_closed_form(activation: str) -> None:
    """r_L^2 = lr^2 d2 E phi'^2 / (sigma_w^4 (B - 1)), up to what samples share, which is small."""
    spec = ds.NetSpec(depth=8, width=256, norm="batch", batch=256, activation=activation)
    (last,) = [p for p in ds.first_steps(spec, optimizer="sgd:lr=.1").params if p.name == "linear8"]
    slope = {"relu": 0.5, "tanh": 0.4644}[activation]  # E phi'^2 over a standard normal
    square = {"relu": 0.5, "tanh": 0.3943}[activation]  # E phi^2: the logits' variance
    d2 = handed_back(square, 0.0, 10).own
    assert last.relative == pytest.approx(0.1 * sqrt(d2 * slope / (4 * 255)), rel=0.03)


def crossing(samples: int, rate: float, width: int, seeds: int) -> float:
    """The depth at which the first step of networks turns layer 1 by 45 degrees, by bisection."""

    def turned(depth: int) -> float:
        return float(relative_steps(depth, width, samples, seeds)[:, 0].log().mean()) + log(rate)

    below, above = 2, 64
    low, high = turned(below), turned(above)
    while above - below > 1:
        middle = (below + above) // 2
        now = turned(middle)
        if now > 0:
            above, high = middle, now
        else:
            below, low = middle, now
    return below - low / (high - low)


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        pytest.param(samples, rate, marks=[] if (samples, rate) == (16, 0.1) else pytest.mark.slow)
        for samples in (16, 64, 256)
        for rate in (1.0, 0.1, 0.01)
    ],
)
def test_the_depth_limit_is_where_networks_turn_by_45_degrees(samples: int, rate: float) -> None:
    limit = ds.first_steps(founding(10, samples), optimizer=f"sgd:lr={rate}").depth_limit
    width, seeds = (1024, 2) if samples == 256 else (512, 3)  # of a larger batch width tells later
    assert abs(crossing(samples, rate, width, seeds) - limit) < 1


def test_a_decade_of_the_rate_moves_the_limit_by_2_ln_10_over_ln_lambda() -> None:
    spec = founding(10, 64)
    limits = [ds.first_steps(spec, optimizer=f"sgd:lr={lr}").depth_limit for lr in (1.0, 0.1, 0.01)]
    rate = ds.growth(ds.predict(founding(40, 64))).rate
    for a, b in pairwise(limits):
        assert b - a == pytest.approx(2 * log(10) / log(rate), abs=0.1)


def test_adam_turns_every_layer_by_its_rate_times_sqrt_of_half_the_width() -> None:
    steps = ds.first_steps(founding(30, 64, 128), optimizer="adam:lr=1e-3,eps=1e-30")
    expected = degrees(atan(1e-3 * sqrt(128 / 2)))
    assert all(abs(block.degrees - expected) < 0.01 * expected for block in steps.layers)
    assert steps.depth_limit == float("inf")
    assert "equal steps do not restore depth" in steps.verdict


def test_the_angle_in_the_record_is_that_of_the_relative_step() -> None:
    steps = ds.first_steps(founding(20, 64, 64), optimizer="sgd:lr=.1")
    for each in steps.params[:20]:
        assert each.scale_invariant
        assert each.degrees == pytest.approx(degrees(atan(each.relative)), rel=1e-9)
        assert each.turn.norm_growth == pytest.approx(sqrt(1 + each.relative**2), rel=1e-9)
        later = each.relative / (1 + each.relative**2)
        assert each.turn.degrees_after == pytest.approx(degrees(atan(later)), rel=1e-9)
    assert not steps.params[20].scale_invariant


@pytest.mark.parametrize(
    ("spec", "settings", "why"),
    [
        (ds.NetSpec(batch=float("inf")), {}, "batch"),
        (ds.NetSpec(depth=3, width=16), {"classes": 1}, "classes"),
        (ds.NetSpec(depth=3, width=16), {"optimizer": "sgd:lr=0"}, "rate of SGD is 0"),
        (ds.NetSpec(depth=3, width=16), {"optimizer": "lbfgs"}, "LBFGS"),
        (ds.NetSpec(depth=3, width=16), {"optimizer": None}, "optimizer= takes"),
        (
            ds.NetSpec(depth=3, width=16),
            {"optimizer": torch.optim.SGD([torch.zeros(1)], lr=0.1)},
            "holds the tensors of a model",
        ),
    ],
)
def test_what_theory_has_no_step_of_is_refused(
    spec: ds.NetSpec, settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(DepthscaleError, match=why):
        ds.first_steps(spec, **{"optimizer": "sgd:lr=.1", **settings})


def test_the_limit_of_the_rate_is_what_it_says() -> None:
    spec = founding(30, 64, 64)
    limit = ds.first_steps(spec, optimizer="sgd:lr=.1").lr_limit
    at = ds.first_steps(spec, optimizer=f"sgd:lr={limit}")
    assert max(block.degrees for block in at.blocks) == pytest.approx(45, abs=1e-6)
    assert exp(abs(log(at.lr_limit / limit))) == pytest.approx(1)
