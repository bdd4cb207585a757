"""What is known of one network."""

from depthscale.run.block_rows import measured_blocks
from depthscale.run.block_table import BlockRow, Blocks
from depthscale.run.depth import Depth, DepthKind, Paths
from depthscale.run.find_depth import depth_of
from depthscale.run.frames import data_frame, rows_frame
from depthscale.run.kept import kept
from depthscale.run.merge import merged
from depthscale.run.origin import Details, Ends, Predicted, Probed, Simulated
from depthscale.run.quantity import Array, Quantity
from depthscale.run.reading import Reading, Readings
from depthscale.run.recorded import Recorded, recorded_run, simulated_readings, with_meanings
from depthscale.run.records import (
    Coverage,
    Edge,
    Fate,
    FateKind,
    FateReason,
    Likeness,
    NormSplit,
    NotSeen,
    Shares,
    Slopes,
    Terms,
    TracedParameter,
    log2_total,
    mean_over_repeats,
)
from depthscale.run.run import Run
from depthscale.run.turns import Invariance, OptimizerStep, Turn

__all__ = [
    "Array",
    "BlockRow",
    "Blocks",
    "Coverage",
    "Depth",
    "DepthKind",
    "Details",
    "Edge",
    "Ends",
    "Fate",
    "FateKind",
    "FateReason",
    "Invariance",
    "Likeness",
    "NormSplit",
    "NotSeen",
    "OptimizerStep",
    "Paths",
    "Predicted",
    "Probed",
    "Quantity",
    "Reading",
    "Readings",
    "Recorded",
    "Run",
    "Shares",
    "Simulated",
    "Slopes",
    "Terms",
    "TracedParameter",
    "Turn",
    "data_frame",
    "depth_of",
    "kept",
    "log2_total",
    "mean_over_repeats",
    "measured_blocks",
    "merged",
    "recorded_run",
    "rows_frame",
    "simulated_readings",
    "with_meanings",
]
