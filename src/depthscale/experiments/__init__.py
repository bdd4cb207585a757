"""The founding experiment, and what is built on it."""

from depthscale.experiments.founding import Founding, founding
from depthscale.experiments.story import Story, story
from depthscale.experiments.theory_beside import theory_beside

__all__ = ["Founding", "Story", "founding", "story", "theory_beside"]
