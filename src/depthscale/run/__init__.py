"""What is known of one network."""

from depthscale.run.dominators import stations
from depthscale.run.frames import data_frame, rows_frame
from depthscale.run.merge import merged
from depthscale.run.profile import STOPS, Array, Profile, Quantity
from depthscale.run.trace import (
    Coverage,
    Edge,
    Fate,
    FateKind,
    FateReason,
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
)

__all__ = [
    "STOPS",
    "Array",
    "Coverage",
    "Edge",
    "Fate",
    "FateKind",
    "FateReason",
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
    "log2_total",
    "merged",
    "rows_frame",
    "stations",
]
