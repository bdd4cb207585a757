"""One tensor's whole distribution, counted in one pass."""

from depthscale.sketch.moments import log2_mean_square
from depthscale.sketch.sketch import Sketch

__all__ = ["Sketch", "log2_mean_square"]
