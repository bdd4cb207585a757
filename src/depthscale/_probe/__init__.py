"""Probing: a model and its inputs -> Run."""

from depthscale._probe.internals import eager, has_compiled, is_compiled
from depthscale._probe.own_passes import OwnPasses
from depthscale._probe.own_step import Stepped, own_run
from depthscale._probe.probe import probe
from depthscale._probe.ranks import is_first, is_shared, over_ranks
from depthscale._probe.sketching import sketch_of
from depthscale._probe.tree import Tree, walked

__all__ = [
    "OwnPasses",
    "Stepped",
    "Tree",
    "eager",
    "has_compiled",
    "is_compiled",
    "is_first",
    "is_shared",
    "over_ranks",
    "own_run",
    "probe",
    "sketch_of",
    "walked",
]
