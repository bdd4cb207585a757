"""Kratzert 2016, the backward pass of Batch Norm by its graph: the claims about the function itself."""

import pytest
import torch
from torch import Tensor

from depthscale.norms import batch_norm


def normalized(y: Tensor, eps: float) -> Tensor:
    centred = y - y.mean(0)
    return batch_norm.normalize(centred, centred.square().mean(0, keepdim=True), eps)[0]


def inputs() -> Tensor:
    return torch.randn(32, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 3 + 1


def test_gamma_sqrt_of_variance_plus_eps_and_beta_mean_restore_the_input() -> None:
    y, eps = inputs(), 0.2
    gamma = (y.var(0, correction=0) + eps).sqrt()
    assert torch.allclose(gamma * normalized(y, eps) + y.mean(0), y, rtol=1e-13)


def test_twin_gamma_sqrt_of_variance_alone_does_not() -> None:
    """As both versions of the text have it: exact only without eps."""
    y, eps = inputs(), 0.2
    with pytest.raises(AssertionError):
        assert torch.allclose(y.std(0, correction=0) * normalized(y, eps) + y.mean(0), y, rtol=1e-3)


def test_the_fused_form_is_gamma_over_n_sigma_times_n_dout_less_sum_less_xhat_sum() -> None:
    y, dout, gamma = inputs(), torch.randn(32, 5, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    centred = y - y.mean(0)
    xhat, ivar = batch_norm.normalize(centred, centred.square().mean(0, keepdim=True), 1e-5)
    expected = gamma * ivar / 32 * (32 * dout - dout.sum(0) - xhat * (dout * xhat).sum(0))
    assert torch.allclose(batch_norm.backward(dout * gamma, xhat, ivar), expected, rtol=1e-12, atol=1e-14)


def test_sigma_uses_the_biased_variance() -> None:
    z = normalized(inputs(), 0.0)
    assert torch.allclose(z.square().mean(0), torch.ones(5, dtype=torch.float64), rtol=1e-13)
    assert not torch.allclose(z.var(0, correction=1), torch.ones(5, dtype=torch.float64), rtol=1e-3)
