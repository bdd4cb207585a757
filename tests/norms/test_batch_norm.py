"""Batch Norm's fused backward pass against autograd and against central differences, in float64."""

import pytest
import torch
from torch import Tensor

from depthscale.norms import batch_norm


def forward(y: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    centred = y - y.mean(0, keepdim=True)
    return batch_norm.normalize(centred, centred.square().mean(0, keepdim=True), eps)


def drawn(batch: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch * width)
    shape = (batch, width)
    return (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))  # pyright: ignore[reportReturnType]


def check_backward(ours: Tensor, y: Tensor, cotangent: Tensor, eps: float) -> None:
    leaf = y.clone().requires_grad_()
    z = torch.nn.functional.batch_norm(leaf, None, None, training=True, eps=eps or 1e-300)
    (theirs,) = torch.autograd.grad(z, leaf, cotangent)
    assert torch.allclose(
        ours, theirs, rtol=1e-12, atol=1e-12
    )  # numbers near 1; over two samples all is rounding


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.7])
@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (64, 17)])
def test_backward_is_autograds(shape: tuple[int, int], eps: float) -> None:
    y, cotangent = drawn(*shape)
    check_backward(batch_norm.backward(cotangent, *forward(y, eps)), y, cotangent, eps)


def test_a_backward_wrong_by_a_thousandth_fails() -> None:
    y, cotangent = drawn(16, 4)
    with pytest.raises(AssertionError):
        check_backward(batch_norm.backward(cotangent, *forward(y, 0.1)) * 1.001, y, cotangent, 0.1)


def test_backward_is_the_central_difference() -> None:
    y, cotangent = drawn(6, 3)
    ours = batch_norm.backward(cotangent, *forward(y, 0.3))
    h = 1e-6
    for i, j in ((0, 0), (3, 1), (5, 2)):
        step = torch.zeros_like(y)
        step[i, j] = h
        difference = ((forward(y + step, 0.3)[0] - forward(y - step, 0.3)[0]) * cotangent).sum() / (
            2 * h
        )
        assert float(ours[i, j]) == pytest.approx(float(difference), rel=1e-7, abs=1e-8)


def test_frozen_backward_is_autograds_with_detached_statistics() -> None:
    y, cotangent = drawn(9, 5)
    leaf = y.clone().requires_grad_()
    still = leaf.detach()
    z = (leaf - still.mean(0)) / (still.var(0, correction=0) + 0.2).sqrt()
    (theirs,) = torch.autograd.grad(z, leaf, cotangent)
    assert torch.allclose(
        batch_norm.frozen_backward(cotangent, forward(y, 0.2)[1]), theirs, rtol=1e-12
    )
