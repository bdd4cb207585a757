"""batchnorm_forward, batchnorm_backward and batchnorm_backward_alt as a reader of the lecture calls
them."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import depthscale as ds
from depthscale.norms import (
    batch_norm,
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
)
from norms.contract import CASES, near
from tolerances import RELATIVE

shapes = st.one_of(
    st.tuples(st.integers(2, 9), st.integers(1, 5)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(2, 3)),
)
affines = st.floats(-3, 3).filter(lambda value: value == 0 or abs(value) > 1e-3)


def drawn(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[Tensor]:
    """x, gamma, beta, dout. / x: of mean near 1 and standard deviation near 2."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (shape, shape[1:2], shape[1:2], shape)
    x, *rest = (torch.randn(size, generator=generator, dtype=dtype) for size in sizes)
    return [2 * x + 1, *rest]


def by_autograd(x: Tensor, gamma: Tensor, beta: Tensor, eps: float, dout: Tensor) -> list[Tensor]:
    leaves = [each.clone().requires_grad_() for each in (x, gamma, beta)]
    out = F.batch_norm(
        leaves[0], None, None, leaves[1], leaves[2], training=True, eps=eps or 1e-300
    )
    return [out.detach(), *torch.autograd.grad(out, leaves, dout)]


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes,
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    eps=st.one_of(st.sampled_from([0.0, 1e-5, 1e-3]), st.floats(1e-8, 10)),
    gamma=st.lists(affines, min_size=5, max_size=5),
    beta=st.lists(affines, min_size=5, max_size=5),
)
def test_staged_fused_three_terms_and_autograd_agree(
    shape: tuple[int, ...],
    seed: int,
    dtype: torch.dtype,
    eps: float,
    gamma: list[float],
    beta: list[float],
) -> None:
    """Within 1e-12 in float64, against the largest of the terms that cancel in dx (1, or |gamma
    dout| / sigma)."""
    x, _, _, dout = drawn(shape, dtype, seed)
    scale, shift = (torch.tensor(each[: shape[1]], dtype=dtype) for each in (gamma, beta))
    out, cache = batchnorm_forward(x, scale, shift, eps)
    theirs = by_autograd(x, scale, shift, eps, dout)
    inverse_std = cache.values["inverse"]
    conditioning = float(
        (1 + x.abs().max()) * inverse_std.max()
    )  # of x - mean, which loses what they share
    largest = max(1.0, float(dout.abs().max() * scale.abs().max() * inverse_std.max())) * max(
        1.0, conditioning
    )
    largest *= x.numel() / shape[1]
    at_z, seen = dout * scale.reshape(cache.layout.spread), cache.layout
    terms = batch_norm.three_terms(at_z, cache.values["normalize"], inverse_std, seen.over)
    ours = [
        (out, *batchnorm_backward(dout, cache)),
        (out, *batchnorm_backward_alt(dout, cache)),
        (out, sum(terms, torch.zeros_like(x)), *theirs[2:]),
    ]
    for form in ours:
        for mine, other in zip(form, theirs, strict=True):
            assert mine.dtype == dtype
            assert float((mine - other).abs().max()) <= RELATIVE[dtype] * largest


@pytest.mark.parametrize("shape", [(16, 4), (6, 3, 5), (4, 3, 2, 5)])
def test_on_plain_values_they_agree_within_1e_12_without_any_allowance(
    shape: tuple[int, ...],
) -> None:
    x, gamma, beta, dout = drawn(shape)
    out, cache = batchnorm_forward(x, gamma, beta, 1e-5)
    theirs = by_autograd(x, gamma, beta, 1e-5, dout)
    for backward in (batchnorm_backward, batchnorm_backward_alt):
        for mine, other in zip((out, *backward(dout, cache)), theirs, strict=True):
            assert float((mine - other).abs().max()) < 1e-12


def test_the_three_terms_are_three_flows_of_the_walk() -> None:
    """Direct: what centre receives from normalize; through the mean: what x receives from mean;
    through sigma: from square."""
    x, gamma, beta, dout = drawn((8, 3))
    _, cache = batchnorm_forward(x, gamma, beta, 0.2)
    flow = {
        (s.node.name, to): f
        for s in cache.backprop(dout).steps
        for to, f in zip(s.node.inputs, s.flows, strict=True)
    }
    terms = batch_norm.three_terms(dout * gamma, cache.values["normalize"], cache.values["inverse"])
    for term, edge in zip(
        terms, (("normalize", "centre"), ("mean", "x"), ("square", "centre")), strict=True
    ):
        near(flow[edge], term)


def test_the_frozen_form_is_the_direct_term_and_the_walk_with_mean_and_variance_as_leaves() -> None:
    x, gamma, beta, dout = drawn((8, 3))
    mean, var = x.mean(0), x.var(0, correction=0)
    _, cache = batchnorm_forward(
        x, gamma, beta, {"mode": "eval", "eps": 0.2, "running_mean": mean, "running_var": var}
    )
    frozen = batch_norm.frozen_backward(dout * gamma, 1 / (var + 0.2).sqrt())
    near(batchnorm_backward(dout, cache)[0], frozen)
    near(batchnorm_backward_alt(dout, cache)[0], frozen)
    near(
        batch_norm.three_terms(
            dout * gamma, cache.values["normalize"], cache.values["inverse"]
        ).direct,
        frozen,
    )
    assert [step.node.name for step in cache.backprop(dout).steps] == [
        "shift",
        "scale",
        "normalize",
        "inverse",
        "square root",
        "centre",
    ]


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 2)])
def test_eval_is_torchs_eval(shape: tuple[int, ...]) -> None:
    x, gamma, beta, dout = drawn(shape)
    mean, var = torch.tensor([0.5, -1, 2]).double(), torch.tensor([1.5, 0.2, 3]).double()
    leaves = [each.clone().requires_grad_() for each in (x, gamma, beta)]
    theirs = F.batch_norm(leaves[0], mean, var, leaves[1], leaves[2], training=False, eps=1e-3)
    out, cache = batchnorm_forward(
        x, gamma, beta, {"mode": "test", "eps": 1e-3, "running_mean": mean, "running_var": var}
    )
    near(out, theirs.detach())
    for backward in (batchnorm_backward, batchnorm_backward_alt):
        for mine, other in zip(
            backward(dout, cache),
            torch.autograd.grad(theirs, leaves, dout, retain_graph=True),
            strict=True,
        ):
            near(mine, other)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 2)])
def test_torchs_running_averages_are_torchs(shape: tuple[int, ...]) -> None:
    module = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[
        len(shape)
    ](3, momentum=0.3).double()
    bn_param: dict[str, Any] = {"mode": "train", "momentum": 0.3, "convention": "torch"}
    for seed in range(3):
        x, gamma, beta, _ = drawn(shape, seed=seed)
        module(x)
        batchnorm_forward(x, gamma, beta, bn_param)
    near(bn_param["running_mean"], module.running_mean)
    near(bn_param["running_var"], module.running_var)


def test_the_courses_running_averages_keep_momentum_of_the_old_and_use_the_biased_variance() -> (
    None
):
    x = np.array([[0.0, 1.0], [2.0, 5.0]])  # means 1, 3; biased variances 1, 4
    bn_param: dict[str, Any] = {"mode": "train"}
    batchnorm_forward(x, np.ones(2), np.zeros(2), bn_param)
    np.testing.assert_allclose(bn_param["running_mean"], [0.1, 0.3], rtol=1e-15)
    np.testing.assert_allclose(bn_param["running_var"], [0.1, 0.4], rtol=1e-15)
    batchnorm_forward(x, np.ones(2), np.zeros(2), bn_param | {"momentum": 0.5})
    batchnorm_forward(x, np.ones(2), np.zeros(2), bn_param)
    np.testing.assert_allclose(bn_param["running_mean"], [0.19, 0.57], rtol=1e-14)
    assert isinstance(bn_param["running_var"], np.ndarray)


def test_in_training_as_the_assignment_checks_it() -> None:
    """Its three printouts: zero mean and unit deviation; then beta and gamma; then close to those
    with the averages held."""
    rng = np.random.default_rng(231)
    weights = rng.standard_normal((10, 50)), rng.standard_normal((50, 3))
    gamma, beta = np.array([1, 2, 3]), np.array([11.0, 12.0, 13.0])
    bn_param: dict[str, Any] = {"mode": "train"}
    x = out = np.zeros(0)
    for _ in range(50):
        x = np.maximum(0, rng.standard_normal((200, 10)) @ weights[0]) @ weights[1]
        out, _ = ds.batchnorm_forward(x, gamma, beta, bn_param)
    np.testing.assert_allclose(out.mean(0), beta, rtol=1e-12)
    np.testing.assert_allclose(out.std(0), gamma, rtol=1e-6)
    held, _ = ds.batchnorm_forward(x, gamma, beta, bn_param | {"mode": "test"})
    np.testing.assert_allclose(held.mean(0), beta, atol=4 * 3 / np.sqrt(200 * 10))
    np.testing.assert_allclose(held.std(0), gamma, rtol=4 / np.sqrt(200))


def test_numpy_in_numpy_out_and_the_same_numbers() -> None:
    x, gamma, beta, dout = drawn((5, 3))
    out, cache = batchnorm_forward(x.numpy(), gamma.numpy(), beta.numpy(), 1e-5)
    out_t, cache_t = batchnorm_forward(x, gamma, beta, 1e-5)
    for mine, other in zip(
        (out, *batchnorm_backward(dout.numpy(), cache)),
        (out_t, *batchnorm_backward(dout, cache_t)),
        strict=True,
    ):
        assert isinstance(mine, np.ndarray)
        np.testing.assert_array_equal(mine, other.numpy())


def test_strides_byte_order_and_read_only_memory_do_not_matter() -> None:
    x, gamma, beta, dout = (each.numpy() for each in drawn((6, 4)))
    expected = batchnorm_backward(dout, batchnorm_forward(x, gamma, beta, 0.1)[1])
    still = x.copy()
    still.flags.writeable = False
    for same in (
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1].copy()[::-1],
        x.astype(">f8"),
        still,
    ):
        found = batchnorm_backward(
            np.asfortranarray(dout), batchnorm_forward(same, gamma, beta, 0.1)[1]
        )
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-14)
    turned = torch.from_numpy(x.T.copy()).T
    near(
        batchnorm_backward(dout, batchnorm_forward(turned, gamma, beta, 0.1)[1])[0],
        torch.from_numpy(expected[0]),
    )


def test_nothing_that_is_given_is_changed_and_nothing_given_back_is_read_again() -> None:
    given = x, gamma, beta, dout = drawn((5, 3))
    before = [each.clone() for each in given]
    out, cache = batchnorm_forward(x, gamma, beta, 0.1)
    expected = batchnorm_backward(dout, cache)
    for each, was in zip(given, before, strict=True):
        assert torch.equal(each, was)
    for each in (out, *expected, x, gamma, beta):
        each.add_(1)
    for mine, other in zip(batchnorm_backward(dout, cache), expected, strict=True):
        near(mine, other - 1)


def test_autograd_runs_through_the_forward_pass() -> None:
    x, gamma, beta, dout = drawn((5, 3))
    leaf = x.clone().requires_grad_()
    out, cache = batchnorm_forward(leaf, gamma, beta, 0.1)
    (theirs,) = torch.autograd.grad(out, leaf, dout, retain_graph=True)
    near(batchnorm_backward(dout, cache)[0].detach(), theirs)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_sample_gives_beta_and_no_gradient(shape: tuple[int, ...]) -> None:
    x, gamma, beta, dout = drawn(shape)
    out, cache = batchnorm_forward(x, gamma, beta, 1e-5)
    assert torch.equal(out.flatten(), beta)
    for backward in (batchnorm_backward, batchnorm_backward_alt):
        dx, dgamma, dbeta = backward(dout, cache)
        assert not dx.any()
        assert not dgamma.any()
        assert torch.equal(dbeta, dout.flatten())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 12345.678, -1e7, 1e15])
def test_constant_input_gives_exactly_beta_where_eps_is_above_0(
    constant: float, dtype: torch.dtype
) -> None:
    """Also where a sum over the batch would be rounded: 0.1 + ... + 0.1 over 7 is not 0.1."""
    x = torch.full((7, 2), constant, dtype=dtype)
    out, cache = batchnorm_forward(x, torch.ones(2), torch.tensor([3.0, 4.0]), 1e-5)
    assert torch.equal(out, torch.tensor([[3.0, 4.0]], dtype=dtype).expand(7, 2))
    dx, dgamma, _ = batchnorm_backward(torch.ones(7, 2), cache)
    assert (
        float(dx.abs().max()) < 1e-3
    )  # dout has no spread: (dout - its mean) / sqrt(eps) is rounding
    assert not dgamma.any()


GOOD = {
    "x": np.ones((4, 3)) * np.arange(4)[:, None],
    "gamma": np.ones(3),
    "beta": np.zeros(3),
    "eps": 1e-5,
}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"x": np.full((4, 3), 0.1), "eps": 0},
            "variance \\+ eps of neuron 0 is 0, .* its values are equal",
        ),
        ({"x": np.ones((1, 3)), "eps": 0}, "variance \\+ eps of neuron 0 is 0"),
        (
            {"x": np.array([[1e-170, 0, 0], [0, 1, 1]]), "eps": 0},
            "neuron 0 .* too near each other to be squared",
        ),
        (
            {"x": np.array([[1e200, 0, 0], [0, 1, 1]])},
            "variance of neuron 0 is inf: .* squares float64 does not hold",
        ),
        ({"x": np.array([[0, np.nan, 0], [0, 1, 1]])}, "variance of neuron 1 is nan: x holds NaN"),
        (
            {"x": np.ones((0, 3))},
            "none of them 0, got \\(0, 3\\); there is nothing to take a mean over",
        ),
        ({"x": np.ones((3, 0))}, "none of them 0, got \\(3, 0\\)"),
        ({"x": np.ones(3)}, "got \\(3,\\); add the missing dimension"),
        ({"x": np.ones((4, 3), int)}, "x must be of float32 or float64, got int64"),
        ({"x": np.ones((4, 3), complex)}, "x must be of float32 or float64, got complex128"),
        ({"x": np.ones((4, 3), np.float16)}, "x must be of float32 or float64, got float16"),
        ({"x": np.array([["a", "b"]])}, "x must be of float32 or float64, got str"),
        (
            {"x": torch.ones(4, 3, dtype=torch.bfloat16)},
            "x must be of float32 or float64, got bfloat16",
        ),
        ({"x": torch.eye(3).to_sparse()}, "dense tensor"),
        ({"x": torch.ones(4, 3, device="meta")}, "that holds values"),
        ({"x": np.ma.masked_array(np.ones((4, 3)))}, "got MaskedArray"),
        ({"x": [[1.0, 2.0, 3.0]]}, "x must be a tensor or a numpy array, got list"),
        ({"gamma": np.ones(4)}, "gamma must be of shape \\(3,\\) to fit x, got \\(4,\\)"),
        ({"gamma": 1.0}, "gamma must be a tensor or a numpy array, got float"),
        ({"gamma": np.ones(3, complex)}, "gamma must hold real numbers, got complex128"),
        ({"beta": torch.zeros(1, 3)}, "beta must be of shape \\(3,\\) to fit x, got \\(1, 3\\)"),
        ({"eps": -1e-5}, "eps must be a finite number of at least 0, got -1e-05"),
        ({"eps": float("nan")}, "eps must be a finite number"),
        ({"eps": "small"}, "eps must be a finite number of at least 0, got 'small'"),
        ({"eps": {}}, "bn_param\\['mode'\\] must be one of train, test, eval, got None"),
        ({"eps": {"mode": "training"}}, "got 'training'"),
        (
            {"eps": {"mode": "train", "momentun": 0.9}},
            "unknown key 'momentun'; it may have mode, eps, momentum",
        ),
        ({"eps": {"mode": "train", "momentum": 1.5}}, "must lie in \\[0, 1\\], got 1.5"),
        (
            {"eps": {"mode": "train", "convention": "jax"}},
            "must be one of course, torch, got 'jax'",
        ),
        (
            {"eps": {"mode": "train", "running_mean": np.zeros(2)}},
            "running_mean must be of shape \\(3,\\)",
        ),
        ({"eps": {"mode": "test"}}, "no running_mean and running_var to hold fixed"),
        (
            {"eps": {"mode": "test", "running_mean": np.zeros(3), "running_var": -np.ones(3)}},
            "cannot be negative",
        ),
        (
            {"x": np.ones((1, 3)), "eps": {"mode": "train", "convention": "torch"}},
            "over n - 1, which one sample does not have",
        ),
    ],
)
def test_what_has_no_answer_is_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ds.DepthscaleError, match=says):
        batchnorm_forward(**(GOOD | wrong))


@pytest.mark.parametrize("backward", [batchnorm_backward, batchnorm_backward_alt])
def test_a_gradient_of_another_shape_is_refused(backward: Any) -> None:
    x, gamma, beta, _ = drawn((4, 3))
    _, cache = batchnorm_forward(x, gamma, beta, 1e-5)
    with pytest.raises(
        ds.DepthscaleError, match=r"dout must be of shape \(4, 3\) to fit x, got \(3, 4\)"
    ):
        backward(torch.ones(3, 4), cache)


def test_a_refused_batch_leaves_the_running_averages_as_they_were() -> None:
    bn_param: dict[str, Any] = {
        "mode": "train",
        "eps": 0,
        "running_mean": np.ones(3),
        "running_var": np.ones(3),
    }
    with pytest.raises(ds.DepthscaleError):
        batchnorm_forward(np.ones((4, 3)), np.ones(3), np.zeros(3), bn_param)
    assert bn_param["running_mean"].tolist() == [1, 1, 1]


def test_the_contract_holds_for_the_lectures_names() -> None:
    case = CASES["batch (N, D)"]
    x, gamma, beta, dout = case.drawn()
    out, cache = batchnorm_forward(x, gamma, beta, 0.3)
    theirs, other = case.forward(x, gamma, beta, 0.3)
    assert torch.equal(out, theirs)
    assert all(map(torch.equal, batchnorm_backward(dout, cache), batchnorm_backward(dout, other)))
