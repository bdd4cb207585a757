"""Elementwise functions and their derivatives, right and silent for every finite float64, up to
1e300."""

from math import pi, sqrt

import numpy as np
from scipy.special import expit, ndtr

from depthscale.numerics.values import Array

SELU_ALPHA = 1.6732632423543772  # arXiv:1706.02515, equation 14
SELU_SCALE = 1.0507009873554805
_GELU_TANH = (sqrt(2 / pi), 0.044715)  # arXiv:1606.08415, section 2


def step(x: Array) -> Array:
    """1 above 0, else 0."""
    return np.where(x > 0, 1.0, 0.0)


def between(x: Array, low: float, high: float) -> Array:
    """1 inside the open interval, else 0."""
    return np.where((x > low) & (x < high), 1.0, 0.0)


def sech2(x: Array) -> Array:
    """1 / cosh^2, without the cancellation in 1 - tanh^2."""
    return (1.0 / np.cosh(np.clip(x, -700.0, 700.0))) ** 2


def gaussian_bell(x: Array) -> Array:
    """exp(-x^2)."""
    near = np.clip(x, -40.0, 40.0)
    return np.exp(-near * near)


def erf_derivative(x: Array) -> Array:
    return 2.0 / sqrt(pi) * gaussian_bell(x)


def sigmoid_derivative(x: Array) -> Array:
    return expit(x) * expit(-x)


def softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def silu(x: Array) -> Array:
    return x * expit(x)


def silu_derivative(x: Array) -> Array:
    return expit(x) * (1.0 + x * expit(-x))


def gelu(x: Array) -> Array:
    return x * ndtr(x)


def gelu_derivative(x: Array) -> Array:
    near = np.clip(x, -40.0, 40.0)
    return ndtr(x) + near * gaussian_bell(near / sqrt(2.0)) / sqrt(2 * pi)


def gelu_tanh(x: Array) -> Array:
    return x * expit(2.0 * _gelu_tanh_argument(np.clip(x, -30.0, 30.0)))


def gelu_tanh_derivative(x: Array) -> Array:
    scale, cubic = _GELU_TANH
    near = np.clip(x, -30.0, 30.0)
    twice = 2.0 * _gelu_tanh_argument(near)
    return expit(twice) + 2.0 * near * sigmoid_derivative(twice) * scale * (
        1.0 + 3.0 * cubic * near * near
    )


def _gelu_tanh_argument(x: Array) -> Array:
    scale, cubic = _GELU_TANH
    return scale * (x + cubic * x * x * x)


def mish(x: Array) -> Array:
    return x * np.tanh(softplus(x))


def mish_derivative(x: Array) -> Array:
    squash = softplus(x)
    return np.tanh(squash) + x * sech2(squash) * expit(x)


def softsign(x: Array) -> Array:
    return x / (1.0 + np.abs(x))


def softsign_derivative(x: Array) -> Array:
    return (1.0 / (1.0 + np.abs(x))) ** 2


def elu(x: Array, alpha: float, length: float = 1.0) -> Array:
    """x above 0, alpha (exp(x / length) - 1) below."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / length))


def elu_derivative(x: Array, alpha: float, length: float = 1.0) -> Array:
    return np.where(x > 0, 1.0, alpha / length * np.exp(np.minimum(x, 0.0) / length))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(x / 6.0 + 0.5, 0.0, 1.0)


def hard_swish(x: Array) -> Array:
    return x * hard_sigmoid(x)


def hard_swish_derivative(x: Array) -> Array:
    return np.where(x >= 3.0, 1.0, (np.clip(x, -3.0, 3.0) / 3.0 + 0.5) * (x > -3.0))
