"""Every normalizer's forward and backward pass, staged and fused, on tensors or numpy arrays: to be
read and tested against.

They differ in what a mean is over (`layouts`) and in nothing else, so one circuit serves all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, prod
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from depthscale.errors import InvalidInput, Undefined
from depthscale.norms import arrays, batch_norm, circuit
from depthscale.norms.arrays import AnyArray, TensorOrArray
from depthscale.norms.circuit import Backprop, Circuit
from depthscale.norms.layouts import Kind, Layout, layout
from depthscale.norms.staged import frozen, normalization


@dataclass(frozen=True)
class Cache:
    """What a backward pass needs: the circuit, the value of every node in it, and how to give
    arrays back."""

    circuit: Circuit
    values: Mapping[str, Tensor]
    layout: Layout
    shape: tuple[int, ...]
    returned: Callable[[Tensor], Any]

    def backprop(self, dout: TensorOrArray) -> Backprop:
        """The circuit walked in reverse from dE/d out. / dout: of the output's shape."""
        return circuit.backward(self.circuit, self.values, self.arriving(dout))

    def arriving(self, dout: TensorOrArray) -> Tensor:
        return arrays.beside(dout, self.values["x"], "dout", self.shape).reshape(self.layout.view)


def forward(
    kind: Kind,
    x: AnyArray,
    gamma: TensorOrArray,
    beta: TensorOrArray,
    eps: float = 0.0,
    *,
    groups: int = 1,
    statistics: Any = None,
) -> tuple[AnyArray, Cache]:
    """gamma (x - mean) / sqrt(variance + eps) + beta, and the cache for the backward pass.

    x: [samples, channels, ...], float32 or float64. / gamma, beta: of the layout's affine shape,
    taken in x's precision.
    statistics: (mean, variance) to hold fixed, one for each channel (batch norm in eval mode);
    None: those of x.
    raises: InvalidInput, UnsupportedTensor; Undefined where variance + eps is 0 or not a number.
    """
    y = arrays.values(x, "x")
    if not isinstance(eps, Real) or not 0 <= float(eps) < inf:
        raise InvalidInput(f"eps must be a finite number of at least 0, got {eps!r}")
    seen = layout(kind, tuple(y.shape), groups)
    affine = {
        name: arrays.beside(given, y, name, seen.affine)
        for name, given in (("gamma", gamma), ("beta", beta))
    }
    leaves = {name: given.clone().reshape(seen.spread) for name, given in affine.items()}
    leaves |= {
        "x": y.reshape(seen.view),
        "eps": torch.full((1,) * len(seen.view), float(eps), dtype=y.dtype, device=y.device),
    }
    nodes = normalization(seen.over, centred=seen.centred)
    if statistics is not None:
        nodes = frozen(nodes)
        for name, given in zip(("mean", "variance"), statistics, strict=True):
            leaves[name] = arrays.beside(given, y, f"running {name}", seen.affine).reshape(
                seen.spread
            )
    values = circuit.forward(nodes, leaves)
    _require_spread(values, seen.unit)
    returned = arrays.returner(x)
    return returned(values["shift"].reshape(y.shape)), Cache(
        nodes, values, seen, tuple(y.shape), returned
    )


def backward(dout: TensorOrArray, cache: Cache) -> tuple[Any, Any, Any]:
    """(dE/dx, dE/dgamma, dE/dbeta) by the walk, node by node. / dout: dE/d out. / raises:
    InvalidInput, UnsupportedTensor."""
    gradients = cache.backprop(dout).gradients
    shapes = {"x": cache.shape, "gamma": cache.layout.affine, "beta": cache.layout.affine}
    dx, dgamma, dbeta = (
        cache.returned(gradients[name].reshape(shape)) for name, shape in shapes.items()
    )
    return dx, dgamma, dbeta


def fused_backward(dout: TensorOrArray, cache: Cache) -> tuple[Any, Any, Any]:
    """The same in closed form: dE/dx = gamma / sigma [dout - <dout> - x_hat <x_hat dout>], <> the
    mean that x_hat is over.

    Without a mean in the forward pass (RMS norm) its term is absent; with frozen statistics the
    first term is all.
    """
    g, seen, x_hat, inverse_std = (
        cache.arriving(dout),
        cache.layout,
        cache.values["normalize"],
        cache.values["inverse"],
    )
    through = g * cache.values["gamma"]
    if all(node.name != "variance" for node in cache.circuit):
        dx = batch_norm.frozen_backward(through, inverse_std)
    else:
        dx = batch_norm.backward(through, x_hat, inverse_std, seen.over, seen.centred)
    spread = [d for d, size in enumerate(seen.spread) if size == 1]
    dgamma, dbeta = (each.sum(spread).reshape(seen.affine) for each in (g * x_hat, g))
    return cache.returned(dx.reshape(cache.shape)), cache.returned(dgamma), cache.returned(dbeta)


def samples(cache: Cache) -> int:
    """How many values one mean is over."""
    return prod(cache.layout.view[d] for d in cache.layout.over)


def _require_spread(values: Mapping[str, Tensor], unit: str) -> None:
    """raises: Undefined unless variance + eps is finite and above 0 everywhere, by more than its
    precision can resolve."""
    spread = values["variance"] + values["eps"]
    held = torch.finfo(spread.dtype)
    wrong = (~((spread >= held.tiny) & (spread <= held.max))).flatten()
    if not wrong.any():
        return
    first = int(wrong.nonzero()[0])
    found = float(spread.flatten()[first])
    precision = str(spread.dtype).removeprefix("torch.")
    if found < held.tiny:
        why = (
            "its values are equal, or too near each other to be squared"
            if found >= 0
            else "a variance cannot be negative"
        )
        raise Undefined(
            f"variance + eps of {unit} {first} is {found:.3g}, so 1 / sqrt has no value: {why}; "
            "give a larger eps"
        )
    raise Undefined(
        f"the variance of {unit} {first} is {found}: x holds NaN, infinity, or values whose "
        f"squares {precision} does not hold; "
        "rescale them"
    )
