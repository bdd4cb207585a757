"""Sweeps: cells of a grid, each a network made, measured and kept; on processes or on Ray."""

from depthscale.sweeps.default_measure import propagation as propagation
from depthscale.sweeps.grid import GridValue as GridValue
from depthscale.sweeps.grid import read_grid as read_grid
from depthscale.sweeps.run_sweep import sweep as sweep
from depthscale.sweeps.sweep_result import Field as Field
from depthscale.sweeps.sweep_result import Sweep as Sweep
from depthscale.sweeps.sweep_result import SweepMap as SweepMap

__all__: list[str]
