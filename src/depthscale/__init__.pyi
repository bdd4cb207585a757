"""Where each public name lives: editors read this table, and so does the package itself."""

from depthscale._diagnose import (
    Diagnosis as Diagnosis,
)
from depthscale._diagnose import (
    Finding as Finding,
)
from depthscale._diagnose import (
    assert_propagation as assert_propagation,
)
from depthscale._diagnose import (
    diagnose as diagnose,
)
from depthscale._explain import Explanation as Explanation
from depthscale._explain import explain as explain
from depthscale._probe import probe as probe
from depthscale._report import report as report
from depthscale._report.render import chart as chart
from depthscale.errors import (
    DepthscaleError as DepthscaleError,
)
from depthscale.errors import (
    InvalidProbe as InvalidProbe,
)
from depthscale.errors import (
    InvalidRecord as InvalidRecord,
)
from depthscale.errors import (
    InvalidSpec as InvalidSpec,
)
from depthscale.errors import (
    NoTheory as NoTheory,
)
from depthscale.errors import (
    PropagationFailed as PropagationFailed,
)
from depthscale.errors import (
    TrainingStopped as TrainingStopped,
)
from depthscale.errors import (
    Undefined as Undefined,
)
from depthscale.errors import (
    UnreliableGrowth as UnreliableGrowth,
)
from depthscale.measure import (
    Analysis as Analysis,
)
from depthscale.measure import (
    Comparison as Comparison,
)
from depthscale.measure import (
    FirstSteps as FirstSteps,
)
from depthscale.measure import (
    Growth as Growth,
)
from depthscale.measure import (
    Ledger as Ledger,
)
from depthscale.measure import (
    Thresholds as Thresholds,
)
from depthscale.measure import (
    compare as compare,
)
from depthscale.measure import (
    growth as growth,
)
from depthscale.measure import (
    ledger as ledger,
)
from depthscale.monitor import Monitor as Monitor
from depthscale.nets import simulate as simulate
from depthscale.network import NetSpec as NetSpec
from depthscale.network import Residual as Residual
from depthscale.norms import (
    batchnorm_backward as batchnorm_backward,
)
from depthscale.norms import (
    batchnorm_backward_alt as batchnorm_backward_alt,
)
from depthscale.norms import (
    batchnorm_forward as batchnorm_forward,
)
from depthscale.run import BlockRow as BlockRow
from depthscale.run import Blocks as Blocks
from depthscale.run import Quantity as Quantity
from depthscale.run import Run as Run
from depthscale.sketch import Sketch as Sketch
from depthscale.store import load as load
from depthscale.store import save as save
from depthscale.sweeps import Study as Study
from depthscale.sweeps import StudyGrid as StudyGrid
from depthscale.sweeps import Sweep as Sweep
from depthscale.sweeps import Training as Training
from depthscale.sweeps import study as study
from depthscale.sweeps import sweep as sweep
from depthscale.theory import Classical as Classical
from depthscale.theory import classical as classical
from depthscale.theory import (
    critical_line as critical_line,
)
from depthscale.theory import (
    phase_diagram as phase_diagram,
)
from depthscale.theory import predict as predict
from depthscale.theory import predict_graph as predict_graph
from depthscale.training import first_steps as first_steps

__all__: list[str]
__version__: str
