"""Probing: a model and its inputs -> Run."""

from depthscale._probe.probe import probe
from depthscale._probe.randomness import seeded

__all__ = ["probe", "seeded"]
