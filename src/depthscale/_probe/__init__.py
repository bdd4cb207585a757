"""Probing: a model and its inputs -> Run."""

from depthscale._probe.drawn_tensors import drawn_tensor
from depthscale._probe.given_inputs import with_targets
from depthscale._probe.internals import eager, has_compiled, is_compiled
from depthscale._probe.optimizer_copy import Moved
from depthscale._probe.outputs import chosen
from depthscale._probe.own_passes import OwnPasses
from depthscale._probe.own_step import Stepped, own_run
from depthscale._probe.probe import made, probe
from depthscale._probe.ranks import is_first, is_shared, over_ranks
from depthscale._probe.sketching import sketch_of
from depthscale._probe.tree import Tree, walked
from depthscale._probe.turning import Stepper, turned

__all__ = [
    "Moved",
    "OwnPasses",
    "Stepped",
    "Stepper",
    "Tree",
    "chosen",
    "drawn_tensor",
    "eager",
    "has_compiled",
    "is_compiled",
    "is_first",
    "is_shared",
    "made",
    "over_ranks",
    "own_run",
    "probe",
    "sketch_of",
    "turned",
    "walked",
    "with_targets",
]
