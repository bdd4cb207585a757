"""Expectations over a Gaussian and over a sphere, each with its error."""

from depthscale.numerics.closed_forms import ERF, SIN, Moments, leaky
from depthscale.numerics.derivative import derivative_of
from depthscale.numerics.estimate import Estimate
from depthscale.numerics.kinks import find_kinks
from depthscale.numerics.student import as_sure_as, normal_deviate
from depthscale.numerics.table import expect_at, expect_pair_at, together_at
from depthscale.numerics.values import Array, Function, two_to

__all__ = [
    "ERF",
    "SIN",
    "Array",
    "Estimate",
    "Function",
    "Moments",
    "as_sure_as",
    "derivative_of",
    "expect_at",
    "expect_pair_at",
    "find_kinks",
    "leaky",
    "normal_deviate",
    "together_at",
    "two_to",
]
