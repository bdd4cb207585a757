"""One tensor's whole distribution, counted in one pass."""

from depthscale.sketch.sketch import Sketch

__all__ = ["Sketch"]
