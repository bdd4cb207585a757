"""Batch Norm under the names and signatures of the lecture and the assignment that taught its
backward pass.

source: Kratzert 2016, "Understanding the backward pass through Batch Normalization Layer";
Stanford's CS231n, assignment 2.
"""

from collections.abc import MutableMapping
from numbers import Real
from typing import Any

from depthscale.errors import InvalidInput
from depthscale.norms import arrays, reference
from depthscale.norms.arrays import AnyArray, TensorOrArray
from depthscale.norms.reference import Cache
from depthscale.norms.running import CONVENTIONS, Convention, updated, variance_of_batch

_KEYS = ("mode", "eps", "momentum", "running_mean", "running_var", "convention")
_MODES = {"train": True, "test": False, "eval": False}


def batchnorm_forward(
    x: AnyArray, gamma: TensorOrArray, beta: TensorOrArray, eps: Any = 1e-5
) -> tuple[AnyArray, Cache]:
    """out = gamma (x - mean) / sqrt(var + eps) + beta with the biased variance, and the cache for
    either backward pass.

    Args:
        x: (N, D), (N, C, L), (N, C, H, W), ...: a tensor or a numpy array, float32 or float64.
        gamma: (D,) or (C,), scale.
        beta: of gamma's shape, shift.
        eps: a number; or the assignment's bn_param, a dict with mode ("train", or "test" or
            "eval"), eps (1e-5), momentum, running_mean, running_var, in which "train" puts the new
            averages. Its momentum is the share of the old average, 0.9 by default, its variance the
            biased one; with convention="torch" they are torch's: the share of the batch, 0.1, and
            unbiased. In mode "test" the averages are held fixed, in the backward pass too.

    Returns:
        out, of the kind and shape of x, and the cache.

    Raises:
        InvalidInput: for shapes or settings that do not fit.
        UnsupportedTensor: for other types.
        Undefined: where var + eps is 0 or not a number.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 0.0], [3.0, 8.0]])
        >>> out, cache = batchnorm_forward(x, gamma=np.ones(2), beta=np.zeros(2), eps=0.0)
        >>> out.tolist()
        [[-1.0, -1.0], [1.0, 1.0]]

    Source:
        arXiv:1502.03167, algorithm 1.
    """
    if not isinstance(eps, MutableMapping):
        return reference.forward("batch", x, gamma, beta, eps)
    train, convention, momentum = _settings(eps)
    if not train:
        return reference.forward(
            "batch", x, gamma, beta, eps.get("eps", 1e-5), statistics=_averages(eps)
        )
    out, cache = reference.forward("batch", x, gamma, beta, eps.get("eps", 1e-5))
    eps.update(_after(eps, cache, momentum, convention))
    return out, cache


def batchnorm_backward(dout: TensorOrArray, cache: Cache) -> tuple[AnyArray, AnyArray, AnyArray]:
    """(dx, dgamma, dbeta) from dE/d out, by the circuit of nine nodes walked in reverse.

    Args:
        dout: dE/d out, of the shape of x.
        cache: of `batchnorm_forward`.

    Returns:
        Gradients of the shapes of x, gamma and beta.

    Raises:
        InvalidInput: for another shape.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0], [3.0]])
        >>> out, cache = batchnorm_forward(x, gamma=np.ones(1), beta=np.zeros(1), eps=0.0)
        >>> dx, dgamma, dbeta = batchnorm_backward(np.array([[0.0], [1.0]]), cache)
        >>> bool((abs(dx) < 1e-15).all()), dgamma.tolist(), dbeta.tolist()
        (True, [1.0], [1.0])

        Two samples become -1 and 1 whatever they are, so no gradient passes.
    """
    return reference.backward(dout, cache)


def batchnorm_backward_alt(
    dout: TensorOrArray, cache: Cache
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The same as `batchnorm_backward`, with dx in one line.

    dx = gamma / sigma [dout - <dout> - x_hat <x_hat dout>], <> the mean over the batch.

    Args:
        dout: dE/d out, of the shape of x.
        cache: of `batchnorm_forward`.

    Returns:
        Gradients of the shapes of x, gamma and beta.

    Raises:
        InvalidInput: for another shape.

    Example:
        >>> import numpy as np
        >>> x, dout = np.random.default_rng(0).normal(size=(2, 32, 3))
        >>> out, cache = batchnorm_forward(x, gamma=np.ones(3), beta=np.zeros(3))
        >>> staged, fused = batchnorm_backward(dout, cache), batchnorm_backward_alt(dout, cache)
        >>> all(np.allclose(a, b, rtol=1e-10, atol=1e-13) for a, b in zip(staged, fused))
        True
    """
    return reference.fused_backward(dout, cache)


def _settings(bn_param: MutableMapping[str, Any]) -> tuple[bool, Convention, float]:
    """Whether to train, by which convention and with which momentum. / raises: InvalidInput."""
    unknown = [key for key in bn_param if key not in _KEYS]
    if unknown:
        raise InvalidInput(
            f"bn_param has an unknown key {unknown[0]!r}; it may have {', '.join(_KEYS)}"
        )
    mode, name = bn_param.get("mode"), bn_param.get("convention", "course")
    if not isinstance(mode, str) or mode not in _MODES:
        raise InvalidInput(f"bn_param['mode'] must be one of {', '.join(_MODES)}, got {mode!r}")
    if not isinstance(name, str) or name not in CONVENTIONS:
        raise InvalidInput(
            f"bn_param['convention'] must be one of {', '.join(CONVENTIONS)}, got {name!r}"
        )
    momentum = bn_param.get("momentum", CONVENTIONS[name].momentum)
    if not isinstance(momentum, Real) or not 0 <= float(momentum) <= 1:
        raise InvalidInput(f"bn_param['momentum'] must lie in [0, 1], got {momentum!r}")
    return _MODES[mode], CONVENTIONS[name], float(momentum)


def _averages(bn_param: MutableMapping[str, Any]) -> tuple[Any, Any]:
    """raises: InvalidInput where there are none yet."""
    if not {"running_mean", "running_var"} <= bn_param.keys():
        raise InvalidInput(
            "bn_param has no running_mean and running_var to hold fixed; run batches in mode "
            "'train' first"
        )
    return bn_param["running_mean"], bn_param["running_var"]


def _after(
    bn_param: MutableMapping[str, Any], cache: Cache, momentum: float, convention: Convention
) -> dict[str, Any]:
    """The running averages after the batch, as arrays of the kind that x is."""
    shape, x = cache.layout.affine, cache.values["x"]
    mean = cache.values["mean"].detach().reshape(shape)
    variance = variance_of_batch(
        cache.values["variance"].detach().reshape(shape), reference.samples(cache), convention
    )
    new = {}
    for name, batch, first in (
        ("running_mean", mean, 0.0),
        ("running_var", variance, convention.first_variance),
    ):
        old = (
            arrays.beside(bn_param[name], x, name, shape)
            if name in bn_param
            else batch.new_full(shape, first)
        )
        new[name] = cache.returned(updated(old, batch, momentum, convention))
    return new
