"""simulate as its users call it."""

import os
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from depthscale.errors import InvalidSpec
from depthscale.nets import simulate
from depthscale.nets.draw import draw_input, draw_rows
from depthscale.network.operations import Linear
from depthscale.network.spec import NetSpec
from tolerances import within

SMALL = NetSpec(depth=5, width=32, batch=8)


def test_seeds_are_numbered_from_seed_on() -> None:
    many, one = simulate(SMALL, seeds=4, seed=3), simulate(SMALL, seeds=1, seed=5)
    assert many.gradient.log2_samples is not None
    assert one.gradient.log2_samples is not None
    assert (many.gradient.log2_samples[2] == one.gradient.log2_samples[0]).all()


def test_a_list_keeps_its_order_and_shares_its_randomness() -> None:
    specs = [replace(SMALL, norm="batch"), replace(SMALL, depth=3), SMALL]
    profiles = simulate(specs, seeds=2)
    assert [profile.depth for profile in profiles] == [5, 3, 5]
    assert [profile.spec["norm"] for profile in profiles] == ["batch", "none", "none"]
    assert profiles[0].activation.log2_mean_square[0] == profiles[2].activation.log2_mean_square[0]
    assert profiles[0].gradient.log2_mean_square[5] == profiles[1].gradient.log2_mean_square[3]


def test_means_over_seeds_are_arithmetic_with_their_standard_error() -> None:
    profile = simulate(SMALL, seeds=5)
    assert profile.gradient.log2_samples is not None
    plain = np.exp2(profile.gradient.log2_samples)
    assert np.allclose(profile.gradient.mean_square, plain.mean(0))
    assert np.allclose(profile.gradient.stderr, plain.std(0, ddof=1) / 5**0.5)
    assert np.isnan(simulate(SMALL, seeds=1).gradient.stderr).all()


def test_sketches_hold_every_value_of_every_seed() -> None:
    profile = simulate(SMALL, seeds=3)
    assert all(sketch.count == 3 * 8 * 32 for sketch in profile.gradient_sketches)
    assert profile.received_sketches[0] is None
    for layer, sketch in enumerate(profile.gradient_sketches):
        assert np.isclose(sketch.mean_square(), profile.gradient.mean_square[layer], rtol=1e-12)


def test_the_first_layer_has_the_variance_of_its_inputs() -> None:
    spec = NetSpec(
        depth=1,
        width=256,
        batch=64,
        sigma_w2=1.7,
        sigma_b2=0.4,
        input_variance=0.6,
        activation="linear",
    )
    profile = simulate(spec, seeds=30)
    within(
        float(profile.activation.mean_square[1]),
        1.7 * 0.6 + 0.4,
        float(profile.activation.stderr[1]),
    )
    variance = profile.batch_variance
    within(float(variance.mean_square[1]), 1.7 * 0.6 * 63 / 64, float(variance.stderr[1]))


def test_a_loss_of_ones_own_is_differentiated() -> None:
    def half_square(output: torch.Tensor) -> torch.Tensor:
        return output.square().sum() / 2

    profile = simulate(SMALL, seeds=2, loss=half_square)
    assert profile.loss == "half_square"
    assert np.allclose(
        profile.gradient.log2_mean_square[-1], profile.activation.log2_mean_square[-1]
    )


def test_orthogonal_weights_are_orthogonal() -> None:
    weight = draw_rows(Linear(32, 32, 1.5, 0.0, "orthogonal"), 0, 1)
    assert torch.allclose(weight @ weight.T, 1.5 * torch.eye(32), atol=1e-5)


def test_streams_do_not_meet() -> None:
    spec, linear = NetSpec(width=8, batch=4), Linear(8, 8, 2.0, 0.0)
    drawn = {
        draw_rows(linear, seed, layer).numpy().tobytes()
        for seed in range(40)
        for layer in range(1, 60)
    }
    drawn |= {draw_input(spec, seed).numpy().tobytes() for seed in range(40)}
    assert len(drawn) == 40 * 60


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: simulate([], seeds=1), "empty list"),
        (lambda: simulate(SMALL, seeds=0), "seeds must be a whole number of at least 1, got 0"),
        (
            lambda: simulate(SMALL, loss="sum"),
            "unknown loss 'sum'; choose one of independent, shared",
        ),
        (
            lambda: simulate(SMALL, seeds=1, loss=lambda output: output),
            "must return one real number",
        ),
        (
            lambda: simulate(replace(SMALL, batch=inf, norm="batch")),
            "batch inf can be predicted but not simulated",
        ),
        (lambda: simulate(NetSpec(width=10_000_000)), "GiB are free; lower one of them"),
        (lambda: simulate(NetSpec(depth=10**9)), "GiB are free; lower one of them"),
    ],
)
def test_a_run_that_cannot_be_made_is_refused_in_words(wrong, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        wrong()


def test_memory_is_asked_of_the_machine() -> None:
    from depthscale.nets.limits import _memory_free

    assert 0 < _memory_free() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
