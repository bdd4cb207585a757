"""The founding experiment, and what is built on it."""

from depthscale.experiments.founding import Founding, founding

__all__ = ["Founding", "founding"]
