"""One norm's terms from plain tensors: the oracle is torch's own norms under autograd, in
float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depthscale.network.operations import Norm
from depthscale.norms.norm_terms import correlation, norm_terms
from depthscale.run import Terms

EPS = 0.1
Apply = Callable[[Tensor], Tensor]


def drawn(*shape: int) -> Tensor:
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape))
    )


def through(apply: Apply, norm: Norm, shape: tuple[int, ...]) -> tuple[Terms, Tensor, Tensor]:
    """Terms of torch's norm, and |sigma dE/dy|^2 over |dE/dz|^2 by autograd."""
    y = (2 * drawn(*shape) + 1).requires_grad_()
    z = apply(y)
    cotangent = torch.relu(z.detach()) + drawn(*shape)
    (at_y,) = torch.autograd.grad(z, y, cotangent)
    return norm_terms(y, cotangent, at_y, norm), cotangent, at_y


CASES = {
    "batch": (
        lambda y: F.batch_norm(y, None, None, training=True, eps=EPS),
        Norm("batch", 32, EPS),
        (32, 5),
    ),
    "batch of maps": (
        lambda y: F.batch_norm(y, None, None, training=True, eps=EPS),
        Norm("batch", 8 * 9, EPS),
        (8, 4, 3, 3),
    ),
    "layer": (lambda y: F.layer_norm(y, (24,), eps=EPS), Norm("layer", 24, EPS), (6, 4, 24)),
    "layer, whole sample": (
        lambda y: F.layer_norm(y, (24,), eps=EPS),
        Norm("layer", float("inf"), EPS),
        (6, 24),
    ),
    "rms": (lambda y: F.rms_norm(y, (24,), eps=EPS), Norm("rms", 24, EPS), (6, 24)),
    "group": (lambda y: F.group_norm(y, 3, eps=EPS), Norm("group", 8, EPS), (6, 24)),
    "group of maps": (
        lambda y: F.group_norm(y, 2, eps=EPS),
        Norm("group", 2 * 9, EPS),
        (6, 4, 3, 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_terms_are_all_of_torchs_backward_pass(case: str) -> None:
    found, _, _ = through(*CASES[case])
    assert found.rest < 1e-28
    assert 0.01 < found.through_sigma < 1
    assert (found.through_mean == 0) == (case == "rms")


def test_the_shares_are_what_leaves_the_norm_to_the_last_digit() -> None:
    apply, norm, shape = CASES["batch"]
    found, at_z, at_y = through(apply, norm, shape)
    y = 2 * drawn(*shape) + 1
    sigma = (y.var(0, correction=0) + EPS).sqrt()
    left = float((sigma * at_y).square().sum() / at_z.square().sum())
    assert left == pytest.approx(1 - found.through_mean - found.through_sigma, rel=1e-12)
    assert found.variance == pytest.approx(float((sigma**2).mean()), rel=1e-12)
    assert found.inverse == pytest.approx(float((sigma**-2).mean()), rel=1e-12)
    assert found.flatness > 1


@pytest.mark.parametrize("wrong", ["frozen", "of another eps", "0.1 % too large"])
def test_a_gradient_that_is_not_this_norms_leaves_a_rest(wrong: str) -> None:
    apply, norm, shape = CASES["batch"]
    y = (2 * drawn(*shape) + 1).requires_grad_()
    z = apply(y)
    (at_y,) = torch.autograd.grad(z, y, z.detach() + drawn(*shape))
    sigma = (y.detach().var(0, correction=0) + EPS).sqrt()
    left = {
        "frozen": (z.detach() + drawn(*shape)) / sigma,
        "of another eps": at_y,
        "0.1 % too large": at_y * 1.001,
    }[wrong]
    norm = Norm("batch", 32, 0.2) if wrong == "of another eps" else norm
    assert norm_terms(y, z.detach() + drawn(*shape), left, norm).rest > 5e-7


def test_correlation_is_pearsons_and_none_with_a_constant() -> None:
    a, b = drawn(40), drawn(4, 10).flatten()
    assert correlation(a, b) == pytest.approx(
        float(torch.corrcoef(torch.stack([a, b]))[0, 1]), rel=1e-12
    )
    assert correlation(a, torch.ones(40)) != correlation(a, torch.ones(40))
