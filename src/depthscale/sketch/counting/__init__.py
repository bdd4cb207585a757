"""Counting: the half of a sketch that needs torch and compiled loops. `Sketch.of` calls it."""

from depthscale.sketch.counting.cpu import float32_array
from depthscale.sketch.counting.kernels import REORDER, compiled
from depthscale.sketch.counting.mean_squares import mean_square
from depthscale.sketch.counting.tensor import is_own_kind, tally_of

__all__ = [
    "REORDER",
    "compiled",
    "float32_array",
    "is_own_kind",
    "mean_square",
    "tally_of",
]
