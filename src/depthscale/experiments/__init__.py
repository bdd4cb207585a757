"""The founding experiment, and what is built on it."""

from depthscale.experiments.founding import Founding, founding
from depthscale.experiments.theory_beside import theory_beside

__all__ = ["Founding", "founding", "theory_beside"]
