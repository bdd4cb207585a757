"""Probing: a model and its inputs -> Run."""

from depthscale._probe.drawn_tensors import drawn_tensor
from depthscale._probe.given_inputs import with_targets
from depthscale._probe.optimizer_copy import Moved
from depthscale._probe.outputs import chosen
from depthscale._probe.probe import made, probe
from depthscale._probe.turning import Stepper, turned

__all__ = [
    "Moved",
    "Stepper",
    "chosen",
    "drawn_tensor",
    "made",
    "probe",
    "turned",
    "with_targets",
]
