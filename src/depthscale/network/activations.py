"""The activations: phi, its derivative and its kinks, in one table, as functions of numpy arrays;
and those of the user."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit

from depthscale.errors import InvalidSpec
from depthscale.network.names import name_and_parameter
from depthscale.numerics import ERF, SIN, Moments, derivative_of, find_kinks, leaky
from depthscale.numerics import activation_formulas as ew

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_QUICK = 1.702  # the factor under quick GELU's sigmoid (arXiv:1606.08415, section 2)


@dataclass(frozen=True)
class Activation:
    """phi, derivative: elementwise functions of float64 arrays; the derivative at a kink is
    torch's.

    kinks: points at which phi or one of its derivatives jumps, ascending.
    homogeneous: whether phi(s x) = s phi(x) for every s > 0.
    bends: points about which a smooth phi may bend over a length far from 1, for integration to
    begin at.
    moments: closed forms under a Gaussian, where there are any.
    ends: the two values that a bounded phi approaches. rectifier: whether units can be dead.
    torch: torch's functions that compute it, each with the settings at which it does, in the order
    of its arguments; those of the first one are that function's defaults.
    """

    name: str
    phi: Function
    derivative: Function
    kinks: tuple[float, ...] = ()
    homogeneous: bool = False
    bends: tuple[float, ...] = ()
    moments: Moments | None = None
    ends: tuple[float, float] | None = None
    rectifier: bool = False
    torch: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def breaks(self) -> tuple[float, ...]:
        """Kinks and bends, ascending: where an integral over phi should be split."""
        return tuple(sorted({*self.kinks, *self.bends}))


Phi = str | Activation  # a name in the table, or a function of one's own; both can be hashed


def activation(given: "str | Activation | Callable[..., Any]") -> Activation:
    """The activation of that name, with a parameter if it takes one ("leaky_relu(0.2)"); or of that
    callable.

    given: a name; an Activation, returned as it is; an elementwise callable of numpy arrays or
    torch tensors, whose kinks are searched for and whose derivative is torch's or numerical
    (`Activation(name, phi, derivative, kinks)` supplies both).
    raises: InvalidSpec, listing the names there are.
    """
    if isinstance(given, Activation):
        return given
    if isinstance(given, str):
        return _named(given)
    if callable(given):
        return _of_callable(given)
    raise InvalidSpec(f"an activation is a name, a callable or an Activation, got {given!r}")


def shifted(activation: Activation, gain: float, shift: float) -> Activation:
    """phi(gain z + shift) as a function of z. / gain: not 0; gain, shift: finite. / raises:
    InvalidSpec."""
    if not (isfinite(gain) and isfinite(shift) and gain != 0):
        asked = f"{activation.name}({gain} z + {shift})"
        raise InvalidSpec(f"{asked}: gain and shift must be finite, and the gain not 0")
    if gain == 1 and shift == 0:
        return activation
    phi, derivative = activation.phi, activation.derivative

    def moved(points: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted((point - shift) / gain for point in points))

    return Activation(
        f"{activation.name}({gain:g} z {'-' if shift < 0 else '+'} {abs(shift):g})",
        lambda z: phi(gain * z + shift),
        lambda z: gain * derivative(gain * z + shift),
        moved(activation.kinks),
        activation.homogeneous and shift == 0,
        moved(activation.bends or (0.0,)),
    )


# ---- the table


def _leaky(name: str, slope: float, kinks: tuple[float, ...] = (0.0,)) -> Activation:
    return Activation(
        name,
        lambda x: np.where(x > 0, x, slope * x),
        lambda x: np.where(x > 0, 1.0, slope),
        kinks,
        homogeneous=True,
        moments=leaky(slope),
    )


def _elu(name: str, alpha: float, length: float = 1.0) -> Activation:
    if not alpha > 0:
        raise InvalidSpec(f"{name}: alpha must be > 0, got {alpha}")
    return Activation(
        name,
        lambda x: ew.elu(x, alpha, length),
        lambda x: ew.elu_derivative(x, alpha, length),
        (0.0,),
    )


@dataclass(frozen=True)
class Family:
    """Activations with a parameter. / setting: its name in torch's function, "" where that takes a
    tensor."""

    default: float
    make: Callable[[str, float], Activation]
    setting: str = ""


FAMILIES = {
    "leaky_relu": Family(0.01, _leaky, "negative_slope"),
    "prelu": Family(0.25, _leaky),
    "elu": Family(1.0, _elu, "alpha"),
    "celu": Family(1.0, lambda name, alpha: _elu(name, alpha, alpha), "alpha"),
}

ACTIVATIONS = {
    a.name: a
    for a in (
        Activation("linear", lambda x: x, np.ones_like, homogeneous=True, moments=leaky(1.0)),
        Activation(
            "relu",
            lambda x: np.maximum(x, 0.0),
            ew.step,
            (0.0,),
            homogeneous=True,
            moments=leaky(0.0),
            rectifier=True,
            torch={
                "relu": {},
                "threshold": {"threshold": 0, "value": 0},
                "clamp": {"min": 0, "max": None},
            },
        ),
        *(
            replace(
                family.make(name, family.default),
                torch={name: {family.setting: family.default}} if family.setting else {},
            )
            for name, family in FAMILIES.items()
        ),
        Activation(
            "selu",
            lambda x: ew.SELU_SCALE * ew.elu(x, ew.SELU_ALPHA),
            lambda x: ew.SELU_SCALE * ew.elu_derivative(x, ew.SELU_ALPHA),
            (0.0,),
            torch={"selu": {}},
        ),
        Activation("gelu", ew.gelu, ew.gelu_derivative, torch={"gelu": {"approximate": "none"}}),
        Activation(
            "gelu_tanh",
            ew.gelu_tanh,
            ew.gelu_tanh_derivative,
            torch={"gelu": {"approximate": "tanh"}},
        ),
        Activation(
            "quick_gelu",
            lambda x: ew.silu(_QUICK * x) / _QUICK,
            lambda x: ew.silu_derivative(_QUICK * x),
        ),
        Activation("silu", ew.silu, ew.silu_derivative, torch={"silu": {}}),
        Activation("mish", ew.mish, ew.mish_derivative, torch={"mish": {}}),
        Activation(
            "softplus",
            ew.softplus,
            expit,
            torch={"softplus": {"beta": 1.0, "threshold": 20.0}},
        ),
        Activation("sigmoid", expit, ew.sigmoid_derivative, ends=(0.0, 1.0), torch={"sigmoid": {}}),
        Activation(
            "hard_sigmoid",
            ew.hard_sigmoid,
            lambda x: ew.between(x, -3.0, 3.0) / 6.0,
            (-3.0, 3.0),
            ends=(0.0, 1.0),
            torch={"hardsigmoid": {}},
        ),
        Activation(
            "hard_swish",
            ew.hard_swish,
            ew.hard_swish_derivative,
            (-3.0, 3.0),
            torch={"hardswish": {}},
        ),
        Activation("tanh", np.tanh, ew.sech2, ends=(-1.0, 1.0), torch={"tanh": {}}),
        Activation(
            "hard_tanh",
            lambda x: np.clip(x, -1.0, 1.0),
            lambda x: ew.between(x, -1.0, 1.0),
            (-1.0, 1.0),
            ends=(-1.0, 1.0),
            torch={
                "hardtanh": {"min_val": -1.0, "max_val": 1.0},
                "clamp": {"min": -1.0, "max": 1.0},
            },
        ),
        Activation("erf", erf, ew.erf_derivative, moments=ERF, ends=(-1.0, 1.0), torch={"erf": {}}),
        Activation("sin", np.sin, np.cos, moments=SIN, torch={"sin": {}}),
        Activation(
            "abs",
            np.abs,
            np.sign,
            (0.0,),
            homogeneous=True,
            moments=leaky(-1.0),
            torch={"abs": {}},
        ),
        Activation(
            "softsign",
            ew.softsign,
            ew.softsign_derivative,
            (0.0,),
            ends=(-1.0, 1.0),
            torch={"softsign": {}},
        ),
        Activation(
            "relu6",
            lambda x: np.clip(x, 0.0, 6.0),
            lambda x: ew.between(x, 0.0, 6.0),
            (0.0, 6.0),
            rectifier=True,
            torch={
                "relu6": {},
                "hardtanh": {"min_val": 0.0, "max_val": 6.0},
                "clamp": {"min": 0.0, "max": 6.0},
            },
        ),
    )
}


def _named(text: str) -> Activation:
    if text in ACTIVATIONS:
        return ACTIVATIONS[text]
    name, parameter = name_and_parameter(text)
    if name not in ACTIVATIONS:
        close = get_close_matches(name.lower(), ACTIVATIONS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        choices = ", ".join(f"{n}(a)" if n in FAMILIES else n for n in sorted(ACTIVATIONS))
        raise InvalidSpec(f"unknown activation {text!r}{hint} choose one of {choices}")
    if parameter is None:
        return ACTIVATIONS[name]
    if name not in FAMILIES:
        raise InvalidSpec(
            f"activation {name!r} takes no parameter, got {text!r}; {', '.join(FAMILIES)} take one"
        )
    return FAMILIES[name].make(f"{name}({parameter.strip()})", _parameter(parameter, text))


def _parameter(text: str, asked: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InvalidSpec(f"activation {asked!r}: its parameter must be a number, got {text!r}")
    return value


# ---- the user's callables

_PROBE = np.array([-2.7, -1.1, -0.3, 0.2, 0.9, 1.6, 3.1])


def _of_callable(f: Callable[..., Any]) -> Activation:
    name = getattr(f, "__name__", type(f).__name__)
    phi, derivative = _on_numpy(f), None
    if phi is None:
        phi, derivative = _on_torch(f)
    if phi is None:
        raise InvalidSpec(
            f"activation {name!r} maps neither a numpy array nor a torch tensor to one of the "
            "same shape"
        )
    _require_elementwise(phi, name)
    kinks = find_kinks(phi)
    return Activation(
        name, phi, derivative or derivative_of(phi, kinks), kinks, _is_homogeneous(phi)
    )


def _on_numpy(f: Callable[..., Any]) -> Function | None:
    """f, if it takes a numpy array to one of its shape."""
    try:
        with np.errstate(all="ignore"):
            y = f(_PROBE.copy())
    except Exception:
        return None
    return f if isinstance(y, np.ndarray) and y.shape == _PROBE.shape else None


def _on_torch(f: Callable[..., Any]) -> tuple[Function | None, Function | None]:
    """f and its derivative as functions of numpy arrays, if it takes a torch tensor to one of its
    shape."""
    import torch

    if isinstance(f, torch.nn.Module):
        f = deepcopy(f).double().cpu()

    def phi(x: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            return f(torch.tensor(np.asarray(x, float))).numpy()

    def derivative(x: NDArray[np.float64]) -> NDArray[np.float64]:
        leaf = torch.tensor(np.asarray(x, float), requires_grad=True)
        with torch.enable_grad():
            y = f(leaf.clone())  # a copy, which an in-place activation may write to
            return (
                torch.autograd.grad(y.sum(), leaf)[0].numpy()
                if y.requires_grad
                else np.zeros_like(leaf.detach().numpy())
            )

    try:
        return (phi, derivative) if phi(_PROBE).shape == _PROBE.shape else (None, None)
    except Exception:
        return None, None


def _require_elementwise(phi: Function, name: str) -> None:
    """Refuse softmax, dropout and the like."""
    with np.errstate(all="ignore"):
        whole = np.asarray(phi(_PROBE.copy()), float)
        apart = np.array([phi(_PROBE[i : i + 1].copy())[0] for i in range(len(_PROBE))], float)
    if not np.allclose(whole, apart, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise InvalidSpec(
            f"activation {name!r} is not elementwise, or random: a value depends on its "
            "neighbours or on the call"
        )


def _is_homogeneous(phi: Function) -> bool:
    with np.errstate(all="ignore"):
        return all(
            np.allclose(phi(s * _PROBE), s * phi(_PROBE), rtol=1e-12, atol=0.0)
            for s in (2.0**-20, 0.3, 7.0, 2.0**20)
        )
