"""First steps under Batch Norm: what holds exactly of weights whose size the loss does not see.

Effective learning rates under a norm: van Laarhoven 2017 (arXiv:1706.05350); the orthogonality and
the gradient of scaled weights: Li & Arora 2020 (arXiv:1910.07454); their spread over layers under
Batch Norm's growing gradients: Ali Mehmeti-Goepel & Wand 2024 (arXiv:2306.00700). The size of a
step in each layer before any run is derived here, from mean-field theory.
"""

from math import atan, degrees, log, sqrt

import pytest
import torch
from torch import Tensor

import depthscale as ds
from training.founding import batch, drawn, gradients

DEPTH, WIDTH, SAMPLES = 12, 96, 32
RATE = 3.0  # turns the first layers by more than 45 degrees, the last ones by less
ROUNDING = 1e-12


def network(seed: int = 0) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    weights, readout = drawn(DEPTH, WIDTH, seed)
    x, labels = batch(WIDTH, SAMPLES, seed)
    return [w.double() for w in weights], readout.double(), x.double(), labels


def stepped(decay: float = 0.0, steps: int = 1) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """[steps + 1][layers] weights and [steps][layers] gradients of SGD, every batch a new one."""
    weights, readout, *_ = network()
    trajectory, found = [weights], []
    for seed in range(steps):
        x, labels = batch(WIDTH, SAMPLES, seed)
        *inner, _ = gradients(trajectory[-1], readout, x.double(), labels)
        pairs = zip(trajectory[-1], inner, strict=True)
        moved = [(1 - RATE * decay) * w - RATE * g for w, g in pairs]
        trajectory.append(moved)
        found.append(inner)
    return trajectory, found


def along(w: Tensor, g: Tensor) -> float:
    """The largest cosine between a row and its gradient."""
    return float(((w * g).sum(1) / (w.norm(dim=1) * g.norm(dim=1))).abs().max())


def relative(w: Tensor, g: Tensor) -> float:
    return RATE * float(g.norm() / w.norm())


def test_a_row_before_batch_norm_is_orthogonal_to_its_gradient() -> None:
    weights, readout, x, labels = network()
    *inner, last = gradients(weights, readout, x, labels)
    assert max(along(w, g) for w, g in zip(weights, inner, strict=True)) < ROUNDING
    assert along(readout, last) > 0.01  # of the readout, which no norm follows, it is not


def test_the_gradient_of_weights_c_times_as_large_is_c_times_smaller() -> None:
    weights, readout, x, labels = network()
    first = gradients(weights, readout, x, labels)
    grown = gradients([7 * w for w in weights], readout, x, labels)
    for a, b in zip(first[:-1], grown[:-1], strict=True):
        assert float((7 * b - a).norm() / a.norm()) < 1e-9
    wider = gradients(weights, 7 * readout, x, labels)
    assert float((7 * wider[-1] - first[-1]).norm() / first[-1].norm()) > 0.1


def test_a_step_of_sgd_multiplies_the_squared_norm_by_1_plus_r2_and_turns_by_arctan_r() -> None:
    (before, after), (inner,) = stepped()
    for w, v, g in zip(before, after, inner, strict=True):
        r = relative(w, g)
        assert float(v.square().sum() / w.square().sum()) == pytest.approx(1 + r**2, rel=ROUNDING)
        cosine = float((v * w).sum() / (v.norm() * w.norm()))
        assert cosine == pytest.approx(1 / sqrt(1 + r**2), rel=ROUNDING)
    (_, decayed), _ = stepped(decay=0.01)
    r = relative(before[0], inner[0])
    growth = float(decayed[0].square().sum() / before[0].square().sum())
    assert growth != pytest.approx(1 + r**2, rel=1e-6)


def test_the_norm_is_a_log_of_how_far_a_layer_was_turned() -> None:
    """The sum of ln(1 + r^2) over steps is ln(|W_t|^2 / |W_0|^2)."""

    def apart(decay: float) -> float:
        trajectory, found = stepped(decay, steps=6)
        pairs = zip(trajectory, found, strict=False)
        turned = sum(log(1 + relative(w[0], g[0]) ** 2) for w, g in pairs)
        return abs(turned - 2 * log(float(trajectory[-1][0].norm() / trajectory[0][0].norm())))

    assert apart(0.0) < ROUNDING
    assert apart(0.01) > 0.01


def test_the_same_step_from_the_grown_norm_turns_no_layer_by_more_than_26_6_degrees() -> None:
    """r / (1 + r^2) is at most 1/2 for SGD; Adam's step does not shrink with the gradient."""
    limit = degrees(atan(0.5))
    spec = ds.NetSpec(depth=60, width=64, norm="batch", batch=SAMPLES)
    turns = [p.turn for p in ds.first_steps(spec, optimizer="sgd:lr=.1").params[:-1]]
    assert max(turn.degrees for turn in turns) > 89
    assert limit - 1 < max(turn.degrees_after for turn in turns) <= limit + 1e-9
    adam = [p.turn for p in ds.first_steps(spec, optimizer="adam:lr=1").params[:-1]]
    assert max(turn.degrees_after for turn in adam) > limit


def test_what_turns_farthest_is_frozen_most() -> None:
    """r >> 1 becomes 1 / r: of the layers that a step scrambles the same step turns the first
    least."""
    spec = ds.NetSpec(depth=60, width=64, norm="batch", batch=SAMPLES)
    steps = ds.first_steps(spec, optimizer="sgd:lr=.1")
    scrambled = [block.most.turn for block in steps.scrambled]
    assert len(scrambled) > 20
    later = [turn.degrees_after for turn in scrambled]
    assert later == sorted(later)
    now = [turn.degrees for turn in scrambled]
    assert now == sorted(now, reverse=True)
    calm = [block.most.turn.degrees_after for block in steps.layers if not block.is_scrambled]
    assert calm != sorted(calm)


def test_a_last_layers_relative_step_does_not_depend_on_width() -> None:
    """r_L = lr sqrt(d2 / (8 (B - 1))), d2 what the cross entropy hands back; a batch of four times
    as many samples halves it."""

    def last(width: int, samples: int) -> float:
        spec = ds.NetSpec(depth=8, width=width, norm="batch", batch=samples)
        return ds.first_steps(spec, optimizer="sgd:lr=.1").layers[-1].most.relative

    assert last(64, 65) == pytest.approx(0.1 * sqrt(0.9476 / (8 * 64)), rel=0.02)
    assert last(64, 65) == pytest.approx(last(256, 65), rel=1e-6)
    assert last(64, 65) == pytest.approx(2 * last(64, 257), rel=0.02)
    assert last(64, 65) != pytest.approx(last(64, 257), rel=0.1)


def test_adams_first_step_turns_every_layer_alike_whatever_the_gradient() -> None:
    """r = lr sqrt(width / 2) for Kaiming's weights, though gradients differ more than threefold."""
    weights, readout, x, labels = network()
    *inner, _ = gradients(weights, readout, x, labels)
    sizes = [float(g.norm()) for g in inner]
    assert sizes[0] > 3 * sizes[-1]
    copies = [w.clone().requires_grad_() for w in weights]
    for p, g in zip(copies, inner, strict=True):
        p.grad = g.clone()
    torch.optim.Adam(copies, lr=1e-3, eps=1e-30).step()
    moved = [
        float((p.detach() - w).norm() / w.norm()) for p, w in zip(copies, weights, strict=True)
    ]
    assert moved == pytest.approx([1e-3 * sqrt(WIDTH / 2)] * DEPTH, rel=0.02)
    plain = [relative(w, g) for w, g in zip(weights, inner, strict=True)]
    assert max(plain) > 3 * min(plain)
