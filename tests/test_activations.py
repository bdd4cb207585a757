"""The table against torch, the closed forms against integrals, and what a user may bring."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthscale.errors import InvalidSpec
from depthscale.network.activations import ACTIVATIONS, FAMILIES, Activation, activation, shifted
from depthscale.numerics.gaussian import expect
from depthscale.numerics.kinks import find_kinks

TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x * 1.0,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "leaky_relu(0.2)": lambda x: F.leaky_relu(x, 0.2),
    "prelu": torch.nn.PReLU(dtype=torch.float64),
    "elu": F.elu,
    "elu(1.7)": lambda x: F.elu(x, 1.7),
    "selu": F.selu,
    "celu": F.celu,
    "celu(0.25)": lambda x: F.celu(x, 0.25),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda x: F.softplus(x, threshold=100.0),  # torch's own 20 is off by 2e-9
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "tanh": torch.tanh,
    "hard_tanh": F.hardtanh,
    "erf": torch.erf,
    "sin": torch.sin,
    "abs": torch.abs,
    "softsign": F.softsign,
    "relu6": F.relu6,
}
# torch's 1 + erf, 1 + tanh and 1 - tanh^2 cancel where the function is small
SMOOTH_BUT_SMALL = 2e-14
SINGLE = {"hard_sigmoid": 3e-8}  # torch keeps 1/6 in single precision on its way back
ORDINARY = np.concatenate(
    [np.linspace(-60, 60, 24_001), np.geomspace(1e-300, 1, 601), -np.geomspace(1e-300, 1, 601)]
)
HUGE = np.geomspace(60, 1e300, 300)
laws = settings(max_examples=50, deadline=None, derandomize=True)


def torch_pair(f: Callable[[Tensor], Tensor], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(x) and f'(x) by autograd in float64."""
    leaf = torch.tensor(x, requires_grad=True)
    y = f(leaf)
    return y.detach().numpy(), torch.autograd.grad(y.sum(), leaf)[0].numpy()


def require_same(measured: np.ndarray, expected: np.ndarray, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(measured, expected, rtol=rtol, atol=SMOOTH_BUT_SMALL)


def test_every_entry_is_compared():
    assert set(ACTIVATIONS) == {name.split("(")[0] for name in TORCH}
    assert all(ACTIVATIONS[name].name == name for name in ACTIVATIONS)


@pytest.mark.parametrize("name", TORCH)
def test_phi_and_its_derivative_are_those_of_torch(name):
    a, (y, slope) = activation(name), torch_pair(TORCH[name], ORDINARY)
    require_same(a.phi(ORDINARY), y)
    require_same(a.derivative(ORDINARY), slope, SINGLE.get(name, 1e-12))
    with pytest.raises(AssertionError):
        require_same(1.001 * a.phi(ORDINARY), y)
    with pytest.raises(AssertionError):
        require_same(1.001 * a.derivative(ORDINARY), slope)


@pytest.mark.parametrize("name", TORCH)
def test_the_derivative_at_a_kink_is_that_of_torch(name):
    a = activation(name)
    require_same(a.derivative(np.array(a.kinks)), torch_pair(TORCH[name], np.array(a.kinks))[1])


@pytest.mark.parametrize("name", TORCH)
def test_up_to_1e300_all_is_finite_and_silent(name):
    a = activation(name)
    for x in (HUGE, -HUGE, np.array([0.0, -0.0, 5e-324, -5e-324, 1e-310])):
        y, slope = a.phi(x), a.derivative(x)
        assert y.dtype == slope.dtype == np.float64
        assert y.shape == slope.shape == x.shape
        assert np.isfinite(y).all()
        assert np.isfinite(slope).all()
        np.testing.assert_allclose(
            y, TORCH[name](torch.tensor(x)).detach().numpy(), rtol=1e-12, atol=1e-290
        )


@pytest.mark.parametrize("name", TORCH)
def test_the_derivative_integrates_to_phi(name):
    """By Stein's lemma, E (x - 1/2) phi(x) = E phi'(x) at mean 1/2, variance 1: phi and derivative
    belong together."""
    a = activation(name)
    by_parts, slope = (
        expect(lambda x: (x - 0.5) * a.phi(x), 1.0, a.kinks, 0.5),
        expect(a.derivative, 1.0, a.kinks, 0.5),
    )
    assert abs(by_parts.value - slope.value) <= by_parts.error + slope.error
    with pytest.raises(AssertionError):
        assert abs(1.001 * by_parts.value - slope.value) <= by_parts.error + slope.error


@pytest.mark.parametrize("name", TORCH)
def test_kinks_are_found_where_the_table_has_them(name):
    assert find_kinks(activation(name).phi) == activation(name).kinks


@pytest.mark.parametrize("name", TORCH)
def test_homogeneous_is_what_scaling_says(name):
    a, x = activation(name), np.linspace(-4, 4, 100)
    assert a.homogeneous == np.allclose(a.phi(3.7 * x), 3.7 * a.phi(x), rtol=1e-13, atol=0)


# ---- names


def test_parameters_stand_in_the_name():
    assert activation("leaky_relu").phi(np.array([-1.0]))[0] == -0.01
    assert activation("leaky_relu(0.3)").phi(np.array([-1.0]))[0] == -0.3
    assert activation(" elu( 2 ) ").phi(np.array([-1e9]))[0] == -2
    assert activation("celu(2)").name == "celu(2)"
    assert all(activation(name) is ACTIVATIONS[name] for name in FAMILIES)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("tanhh", "did you mean 'tanh'.*choose one of abs, celu"),
        ("ReLU", "did you mean 'relu'"),
        ("hardswish", "did you mean 'hard_swish'"),
        ("xyzzy", "unknown activation 'xyzzy'; choose one of"),
        ("relu(2)", "'relu' takes no parameter"),
        ("leaky_relu(x)", "must be a number"),
        ("leaky_relu(inf)", "must be a number"),
        ("elu(-1)", "alpha must be > 0"),
        ("celu(0)", "alpha must be > 0"),
        ("", "unknown activation"),
        (7, "a name, a callable or an Activation, got 7"),
    ],
)
def test_a_wrong_name_is_refused_with_the_choices(asked, says):
    with pytest.raises(InvalidSpec, match=says):
        activation(asked)


# ---- gain and shift


@laws
@given(
    st.sampled_from(sorted(ACTIVATIONS)),
    st.floats(-3, 3).filter(lambda g: abs(g) > 0.1),
    st.floats(-2, 2),
)
def test_gain_and_shift_move_phi_derivative_and_kinks(name, gain, shift):
    a, z = activation(name), np.linspace(-3, 3, 101)
    moved = shifted(a, gain, shift)
    np.testing.assert_array_equal(moved.phi(z), a.phi(gain * z + shift))
    np.testing.assert_array_equal(moved.derivative(z), gain * a.derivative(gain * z + shift))
    np.testing.assert_allclose(
        gain * np.array(sorted(moved.kinks, reverse=gain < 0)) + shift, a.kinks, atol=1e-14
    )
    assert list(moved.breaks) == sorted(moved.breaks)
    there, here = expect(moved.phi, 1.0, moved.breaks), expect(a.phi, gain**2, a.kinks, shift)
    assert abs(there.value - here.value) <= there.error + here.error + 1e-14


def test_gain_and_shift_of_nothing_and_of_a_shifted_one():
    tanh = activation("tanh")
    assert shifted(tanh, 1.0, 0.0) is tanh
    twice = shifted(shifted(tanh, 2.0, 1.0), 3.0, -1.0)
    assert twice.phi(np.array([0.2]))[0] == pytest.approx(np.tanh(2 * (3 * 0.2 - 1) + 1))
    assert twice.breaks == (pytest.approx(1 / 6),)
    assert not shifted(activation("relu"), 1.0, 0.5).homogeneous
    assert shifted(activation("relu"), -2.0, 0.0).homogeneous


@pytest.mark.parametrize(("gain", "shift"), [(0.0, 0.0), (float("inf"), 0.0), (1.0, float("nan"))])
def test_gain_0_and_infinities_are_refused(gain, shift):
    with pytest.raises(InvalidSpec, match="gain and shift must be finite"):
        shifted(activation("tanh"), gain, shift)


@pytest.mark.parametrize("gain", [1e2, 1e4])
def test_a_steep_gain_is_integrated_at_its_bend(gain):
    a = shifted(activation("tanh"), gain, 3 * gain)
    found = expect(lambda z: a.derivative(z) ** 2, 1.0, a.breaks)
    truth = (
        gain**2
        * expect(lambda x: activation("tanh").derivative(x) ** 2, gain**2, (), 3 * gain).value
    )
    assert found.value == pytest.approx(truth, rel=1e-11)


# ---- the user's own


def test_an_activation_is_returned_as_it_is():
    mine = Activation("mine", np.tanh, np.cos)
    assert activation(mine) is mine


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"linear"}))
def test_a_numpy_callable_brings_its_kinks_and_its_derivative(name):
    known = activation(name)
    mine = activation(lambda x: known.phi(x))
    x = np.linspace(-7, 7, 2003)
    x = x[np.abs(x[:, None] - np.array([np.inf, *known.kinks])).min(axis=1) > 1e-3]
    assert mine.kinks == known.kinks
    assert mine.homogeneous == known.homogeneous
    np.testing.assert_allclose(mine.derivative(x), known.derivative(x), rtol=0, atol=1e-11)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            1.001 * mine.derivative(x), known.derivative(x), rtol=0, atol=1e-11
        )


@pytest.mark.parametrize(
    ("mine", "name"),
    [
        (torch.relu, "relu"),
        (torch.nn.ReLU(inplace=True), "relu"),
        (torch.nn.PReLU(), "prelu"),
        (torch.nn.Hardswish(), "hard_swish"),
        (F.mish, "mish"),
        (lambda x: x * torch.sigmoid(x), "silu"),
    ],
)
def test_a_torch_callable_brings_its_kinks_and_autograds_derivative(mine, name):
    a, known, x = activation(mine), activation(name), np.linspace(-5, 5, 1001).reshape(7, 143)
    assert a.kinks == known.kinks
    assert a.homogeneous == known.homogeneous
    np.testing.assert_allclose(a.phi(x), known.phi(x), rtol=1e-13)
    np.testing.assert_allclose(a.derivative(x), known.derivative(x), rtol=1e-12, atol=1e-15)


def test_a_module_of_the_user_stays_as_it_was():
    module = torch.nn.PReLU()
    activation(module).derivative(np.array([-1.0, 1.0]))
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is None


def test_a_step_of_the_user_has_a_kink_and_no_slope():
    a = activation(lambda x: (x > 2).double())
    assert a.kinks == (2.0,)
    assert not a.derivative(np.array([1.0, 3.0])).any()


@pytest.mark.parametrize(
    ("f", "kinks"),
    [
        (lambda x: np.clip(1000 * x, -1, 1), (-0.001, 0.001)),
        (lambda x: np.clip(x, -100.5, 300.25), (-100.5, 300.25)),
        (lambda x: np.where(x > np.pi, 2 * x, x), (np.pi,)),
        (lambda x: np.where(x > 0.3, x * x, x**3), (0.3,)),
        (lambda x: np.maximum(x, 0) ** 2, (0.0,)),
        (lambda x: 1e-20 * np.maximum(x, 0), (0.0,)),
        (lambda x: x**3, ()),
        (lambda x: np.exp(x), ()),
        (lambda x: np.sin(20 * x), ()),
        (lambda x: x / (1 + x * x), ()),
        (lambda x: np.exp(-x * x), ()),
    ],
)
def test_kinks_of_every_size_are_found_and_none_where_there_is_none(f, kinks):
    assert find_kinks(f) == pytest.approx(kinks, abs=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.maximum(x - 2**0.5, 0) ** 2,
        lambda x: np.where(x > 2**0.5, np.sin(x) - np.sin(2**0.5), 0),
    ],
)
def test_a_kink_at_no_round_number_is_found_to_the_last_digits(f):
    assert find_kinks(f) == pytest.approx((2**0.5,), abs=2e-15)


@pytest.mark.parametrize(
    "mine", [torch.nn.Softmax(dim=0), torch.nn.Dropout(0.5), lambda x: x - x.mean(), np.cumsum]
)
def test_what_is_not_elementwise_is_refused(mine):
    with pytest.raises(InvalidSpec, match="not elementwise"):
        activation(mine)


@pytest.mark.parametrize("mine", [lambda x: 1.0, lambda x: x[:2], lambda x: None, lambda: 0])
def test_what_is_no_function_of_an_array_is_refused(mine):
    with pytest.raises(InvalidSpec, match="neither a numpy array nor a torch tensor"):
        activation(mine)
