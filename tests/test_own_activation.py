"""A user's function as the activation of a network: described, predicted and run alike, from one
numpy form."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn import functional

from depthscale.errors import InvalidSpec
from depthscale.nets import simulate
from depthscale.nets.elementwise import elementwise
from depthscale.nets.module import build
from depthscale.network.activations import Activation
from depthscale.network.spec import NetSpec
from depthscale.theory import predict
from tolerances import within


def quick_gelu(x: Any) -> Any:
    return x * expit(1.702 * x)


def torch_quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def network(phi: Any, **changes: Any) -> NetSpec:
    return NetSpec(**({"depth": 4, "width": 256, "activation": phi} | changes))


@pytest.mark.parametrize(
    "changes", [{"batch": 64}, {"norm": "batch", "batch": 16}, {"norm": "layer", "batch": 32}]
)
@pytest.mark.parametrize("phi", [quick_gelu, torch_quick_gelu])
def test_a_function_of_ones_own_is_predicted_as_it_runs(
    phi: Callable[..., Any], changes: dict[str, Any]
) -> None:
    """The gradient's ratio over four layers; the relative bias at width 256 is at most 1 % a
    layer."""
    spec = network(phi, **changes)
    ratio, stderr = measured(spec)
    expected = gain(spec)
    within(ratio, expected, stderr, bias=0.04 * expected)
    with pytest.raises(AssertionError):
        within(ratio, gain(replace(spec, activation="abs")), stderr, bias=0.04 * expected)


def measured(spec: NetSpec) -> tuple[float, float]:
    samples = simulate(spec, seeds=24).gradient.log2_samples
    assert samples is not None
    gains = np.exp2(samples[:, 0] - samples[:, -1])
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def gain(spec: NetSpec) -> float:
    return float(predict(spec).gradient.mean_square[0])


def test_written_out_a_named_activation_gives_its_numbers_again() -> None:
    for norm in ("none", "batch", "scaled_weight_standardized"):
        named, own = (
            predict(network(phi, norm=norm, batch=16)) for phi in ("silu", functional.silu)
        )
        assert own.gradient.mean_square == pytest.approx(named.gradient.mean_square, rel=1e-9)
    silu, own = (
        simulate(network(phi, norm="batch", batch=16), seeds=2)
        for phi in ("silu", lambda x: x * expit(x))
    )
    assert own.gradient.mean_square == pytest.approx(silu.gradient.mean_square, rel=1e-4)
    with pytest.raises(AssertionError):
        assert own.gradient.mean_square == pytest.approx(
            simulate(network("gelu"), seeds=2).gradient.mean_square, rel=0.01
        )


def test_its_torch_form_has_its_derivative() -> None:
    own = network(quick_gelu).activation
    z = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(elementwise(own).phi, z)
    wrong = elementwise(Activation("wrong", own.phi, lambda x: 1.001 * own.derivative(x))).phi
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(wrong, z, rtol=1e-4, atol=1e-6)


def test_it_becomes_a_module_as_any_other() -> None:
    spec = network(torch_quick_gelu, depth=1)
    x = torch.randn(4, 256)
    linear = build(spec)[0]
    assert torch.allclose(build(spec)(x), torch_quick_gelu(linear(x)), atol=1e-6)


def test_a_record_names_it_and_is_refused_as_a_network() -> None:
    record = json.loads(json.dumps(network(quick_gelu).record()))
    assert record["activation"] == "function quick_gelu"
    with pytest.raises(
        InvalidSpec,
        match="function quick_gelu, and does not hold it; make the NetSpec with that function",
    ):
        NetSpec.from_record(record)
    assert NetSpec.from_record(network("relu").record()) == network("relu")
    assert "function quick_gelu" in repr(predict(network(quick_gelu)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda x: x.sum(), "maps neither"),
        (lambda x: functional.softmax(x, -1), "not elementwise"),
        (None, "an activation is a name, a callable"),
    ],
)
def test_what_is_no_activation_is_refused(given: Any, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        network(given)
