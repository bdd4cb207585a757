"""One tensor's whole distribution, read from its counts. What counts is in `sketch.counting`."""

from depthscale.sketch.formats import FORMATS
from depthscale.sketch.sketch import Sketch

__all__ = ["FORMATS", "Sketch"]
