"""The initializations by name: what torch.nn.init and the papers draw, as the two variances that
theory asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, pi, sqrt
from typing import Literal

from scipy.special import erf

from depthscale.errors import InvalidSpec
from depthscale.network.names import name_and_parameter

_CUT = 2.0  # where torch's trunc_normal_ cuts, whatever the std


@dataclass(frozen=True)
class Initialization:
    """sigma_w2: fan_in times the variance of a weight; sigma_b2: variance of a bias; weights: their
    law, as NetSpec names it."""

    sigma_w2: float
    sigma_b2: float
    weights: Literal["gaussian", "uniform", "orthogonal"]


def initialization(name: str, fan_in: int, fan_out: int) -> Initialization:
    """What an initialization of that name gives a layer. / fan_in, fan_out: as torch counts them, a
    kernel's taps included.

    name: torch (the default of nn.Linear and nn.Conv2d), xavier_normal, xavier_uniform,
    kaiming_normal(a), kaiming_uniform(a) (a: slope of the leaky ReLU, 0), lecun_normal, orthogonal,
    normal(std), truncated_normal(std) (std 1). Where torch's function leaves biases alone they are
    0.
    raises: InvalidSpec, listing the names.
    source: torch.nn.init; Glorot & Bengio 2010; arXiv:1502.01852 (He et al.); LeCun et al. 1998.
    """
    base, parameter = name_and_parameter(name)
    if base not in INITIALIZATIONS:
        raise InvalidSpec(
            f"unknown initialization {name!r}; choose one of {', '.join(INITIALIZATIONS)}"
        )
    default, make = INITIALIZATIONS[base]
    return make(_number(name, parameter, default), fan_in, fan_out)


def _number(name: str, parameter: str | None, default: float | None) -> float:
    if parameter is None:
        return default or 0.0
    if default is None:
        raise InvalidSpec(f"initialization {name!r} takes no parameter")
    try:
        value = float(parameter)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e150:
        raise InvalidSpec(f"initialization {name!r}: its parameter must be a number of at least 0")
    return value


def _truncated_variance(std: float) -> float:
    """Of a normal variable cut at +-2, which is not 2 standard deviations unless std is 1."""
    reach = _CUT / std if std else 0.0
    if not 0 < reach < 38:
        return std**2
    density, inside = exp(-(reach**2) / 2) / sqrt(2 * pi), float(erf(reach / sqrt(2)))
    return std**2 * (1 - 2 * reach * density / inside)


Maker = Callable[[float, int, int], Initialization]


def _xavier(weights: Literal["gaussian", "uniform"]) -> Maker:
    return lambda _, fan_in, fan_out: Initialization(2 * fan_in / (fan_in + fan_out), 0.0, weights)


def _kaiming(weights: Literal["gaussian", "uniform"]) -> Maker:
    return lambda slope, fan_in, fan_out: Initialization(2 / (1 + slope**2), 0.0, weights)


INITIALIZATIONS: dict[
    str, tuple[float | None, Maker]
] = {  # name: default of its parameter, or None without one; what it gives
    "torch": (None, lambda _, fan_in, fan_out: Initialization(1 / 3, 1 / (3 * fan_in), "uniform")),
    "xavier_normal": (None, _xavier("gaussian")),
    "xavier_uniform": (None, _xavier("uniform")),
    "kaiming_normal": (0.0, _kaiming("gaussian")),
    "kaiming_uniform": (0.0, _kaiming("uniform")),
    "lecun_normal": (None, lambda _, fan_in, fan_out: Initialization(1.0, 0.0, "gaussian")),
    "orthogonal": (
        None,
        lambda _, fan_in, fan_out: Initialization(fan_in / max(fan_in, fan_out), 0.0, "orthogonal"),
    ),
    "normal": (1.0, lambda std, fan_in, fan_out: Initialization(fan_in * std**2, 0.0, "gaussian")),
    "truncated_normal": (
        1.0,
        lambda std, fan_in, fan_out: Initialization(
            fan_in * _truncated_variance(std), 0.0, "gaussian"
        ),
    ),
}
