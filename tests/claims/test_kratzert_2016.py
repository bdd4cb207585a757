"""Kratzert 2016, the backward pass of Batch Norm by its graph: the claims about the function
itself."""

import pytest
import torch
from torch import Tensor

from depthscale.norms import batch_norm, batchnorm_backward, batchnorm_forward
from depthscale.norms.circuit import Backprop


def normalized(y: Tensor, eps: float) -> Tensor:
    centred = y - y.mean(0)
    return batch_norm.normalize(centred, centred.square().mean(0, keepdim=True), eps)[0]


def inputs() -> Tensor:
    return (
        torch.randn(32, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 3 + 1
    )


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
    y, dout, gamma = (
        inputs(),
        torch.randn(32, 5, dtype=torch.float64),
        torch.rand(5, dtype=torch.float64),
    )
    centred = y - y.mean(0)
    xhat, ivar = batch_norm.normalize(centred, centred.square().mean(0, keepdim=True), 1e-5)
    expected = gamma * ivar / 32 * (32 * dout - dout.sum(0) - xhat * (dout * xhat).sum(0))
    assert torch.allclose(
        batch_norm.backward(dout * gamma, xhat, ivar), expected, rtol=1e-12, atol=1e-14
    )


def test_sigma_uses_the_biased_variance() -> None:
    z = normalized(inputs(), 0.0)
    assert torch.allclose(z.square().mean(0), torch.ones(5, dtype=torch.float64), rtol=1e-13)
    assert not torch.allclose(z.var(0, correction=1), torch.ones(5, dtype=torch.float64), rtol=1e-3)


def staged(eps: float) -> tuple[dict[str, Tensor], dict[str, Tensor], Backprop]:
    """Inputs, the walk's flows by the names that the text gives them, and the walk."""
    generator = torch.Generator().manual_seed(7)
    given = {"x": inputs()} | {
        name: torch.randn(shape, dtype=torch.float64, generator=generator)
        for name, shape in (("gamma", (5,)), ("beta", (5,)), ("dout", (32, 5)))
    }
    _, cache = batchnorm_forward(given["x"], given["gamma"], given["beta"], eps)
    walk = cache.backprop(given["dout"])
    names = iter(
        "dgammax dbeta dgamma dxhat dxmu1 divar dsqrtvar dvar deps dsq dxmu2 dx1 dmu dx2".split()
    )
    flows = {next(names): flow for step in walk.steps for flow in step.flows}
    return given, flows | {"dx": walk.gradients["x"]}, walk


def test_the_nine_steps_give_what_the_text_writes_line_by_line() -> None:
    """The steps from 9 to 0 written out by hand, every intermediate of them."""
    given, ours, _ = staged(0.2)
    x, gamma, dout, n = given["x"], given["gamma"], given["dout"], 32
    xmu = x - x.mean(0)
    sqrtvar = ((xmu**2).mean(0) + 0.2) ** 0.5
    ivar = 1 / sqrtvar
    dbeta, dgammax = dout.sum(0), dout
    dgamma, dxhat = (dgammax * xmu * ivar).sum(0), dgammax * gamma
    divar, dxmu1 = (dxhat * xmu).sum(0), dxhat * ivar
    dsqrtvar = -divar / sqrtvar**2
    dvar = 0.5 / sqrtvar * dsqrtvar
    dsq = dvar.expand(n, 5) / n
    dxmu2 = 2 * xmu * dsq
    dx1, dmu = dxmu1 + dxmu2, -(dxmu1 + dxmu2).sum(0)
    dx2 = dmu.expand(n, 5) / n
    dx = dx1 + dx2
    theirs = {
        "dbeta": dbeta,
        "dgammax": dgammax,
        "dgamma": dgamma,
        "dxhat": dxhat,
        "divar": divar,
        "dxmu1": dxmu1,
        "dx": dx,
    }
    theirs |= {
        "dsqrtvar": dsqrtvar,
        "dvar": dvar,
        "dsq": dsq,
        "dxmu2": dxmu2,
        "dx1": dx1,
        "dmu": dmu,
        "dx2": dx2,
    }
    for name, expected in theirs.items():
        assert torch.allclose(ours[name].squeeze(), expected, rtol=1e-11, atol=1e-14), name


def test_the_mean_receives_nothing_by_the_way_through_sigma() -> None:
    """The values less their mean sum to 0, so the sum of dxmu2 is 0 and dmu is minus that of
    dxmu1."""
    _, flows, _ = staged(0.2)
    assert float(flows["dxmu2"].sum(0).abs().max()) < 1e-13
    assert torch.allclose(flows["dmu"][0], -flows["dxmu1"].sum(0), rtol=1e-12)


def test_dx_is_orthogonal_to_the_ones_and_without_eps_to_xhat() -> None:
    given, flows, _ = staged(0.0)
    assert float(flows["dx"].sum(0).abs().max()) < 1e-13
    assert float((flows["dx"] * normalized(given["x"], 0.0)).sum(0).abs().max()) < 1e-13


def test_twin_with_eps_it_is_off_xhat_by_the_share_of_eps() -> None:
    given, flows, _ = staged(0.2)
    xhat, variance = normalized(given["x"], 0.2), given["x"].var(0, correction=0)
    along = (flows["dx"] * xhat).sum(0)
    expected = 0.2 / (variance + 0.2) ** 1.5 * (given["gamma"] * given["dout"] * xhat).sum(0)
    assert torch.allclose(along, expected, rtol=1e-11)
    assert float(along.abs().min()) > 1e-5


def test_the_walk_equals_the_fused_form() -> None:
    given, flows, _ = staged(1e-5)
    _, cache = batchnorm_forward(given["x"], given["gamma"], given["beta"], 1e-5)
    fused = batch_norm.backward(
        given["dout"] * given["gamma"], cache.values["normalize"], cache.values["inverse"]
    )
    assert float((flows["dx"] - fused).abs().max()) < 1e-13
    assert torch.equal(batchnorm_backward(given["dout"], cache)[0], flows["dx"])
