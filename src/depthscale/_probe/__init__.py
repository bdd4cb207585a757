"""Probing: a model and its inputs -> Run."""

from depthscale._probe.drawn_tensors import drawn_tensor
from depthscale._probe.given_inputs import with_targets
from depthscale._probe.probe import probe
from depthscale._probe.randomness import seeded

__all__ = ["drawn_tensor", "probe", "seeded", "with_targets"]
