"""Sweeps: cells of a grid, each a network made, measured and kept; on processes or on Ray."""

from depthscale.sweeps.default_measure import propagation as propagation
from depthscale.sweeps.grid import GridValue as GridValue
from depthscale.sweeps.grid import read_grid as read_grid
from depthscale.sweeps.run_study import QUICK as QUICK
from depthscale.sweeps.run_study import QUICK_STEPS as QUICK_STEPS
from depthscale.sweeps.run_study import Study as Study
from depthscale.sweeps.run_study import StudyGrid as StudyGrid
from depthscale.sweeps.run_study import TheoryLines as TheoryLines
from depthscale.sweeps.run_study import study as study
from depthscale.sweeps.run_study import theory_lines as theory_lines
from depthscale.sweeps.run_sweep import sweep as sweep
from depthscale.sweeps.sweep_result import Field as Field
from depthscale.sweeps.sweep_result import Sweep as Sweep
from depthscale.sweeps.sweep_result import SweepMap as SweepMap
from depthscale.sweeps.trial import Training as Training
from depthscale.sweeps.trial import Trial as Trial

__all__: list[str]
