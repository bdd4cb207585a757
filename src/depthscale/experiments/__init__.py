"""The founding experiment, and what is built on it."""

from depthscale.experiments.curves import ACTIVATIONS, DEEPEST, NORMALIZERS, Curve, batches, key
from depthscale.experiments.founding import NAMES, Founding, FoundingRow, founding
from depthscale.experiments.story import Story, story
from depthscale.experiments.theory_beside import theory_beside

__all__ = [
    "ACTIVATIONS",
    "DEEPEST",
    "NAMES",
    "NORMALIZERS",
    "Curve",
    "Founding",
    "FoundingRow",
    "Story",
    "batches",
    "founding",
    "key",
    "story",
    "theory_beside",
]
