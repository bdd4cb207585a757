"""What is known of one network."""

from depthscale.run.depth import Depth, depth_of
from depthscale.run.dominators import dominators
from depthscale.run.frames import data_frame, rows_frame
from depthscale.run.kept import kept
from depthscale.run.merge import merged
from depthscale.run.profile import STOPS, Array, Profile, Quantity
from depthscale.run.trace import (
    Coverage,
    Edge,
    Likeness,
    ModuleNote,
    NormSplit,
    NotSeen,
    Slopes,
    Terms,
    Trace,
    TracedOp,
    TracedParameter,
    log2_total,
    with_meanings,
)

__all__ = [
    "STOPS",
    "Array",
    "Coverage",
    "Depth",
    "Edge",
    "Likeness",
    "ModuleNote",
    "NormSplit",
    "NotSeen",
    "Profile",
    "Quantity",
    "Slopes",
    "Terms",
    "Trace",
    "TracedOp",
    "TracedParameter",
    "data_frame",
    "depth_of",
    "dominators",
    "kept",
    "log2_total",
    "merged",
    "rows_frame",
    "with_meanings",
]
