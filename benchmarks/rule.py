"""The rule of thumb: a probe costs a share of the step's passes, so much an operation, so much a
value; fitted to what was measured."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Probed:
    """One workload: seconds of plain training's passes and of a probe, and what the probe sees."""

    plain: float
    probe: float
    operations: int
    values: int


@dataclass(frozen=True)
class RuleOfThumb:
    """Seconds of a probe = share * plain + operation * operations + value * values.

    Attributes:
        share: of plain training's forward and backward pass.
        operation: seconds for each operation.
        value: seconds for each value that an operation gives.
        residuals: [workloads] of the rule over the measurement, less 1.
    """

    share: float
    operation: float
    value: float
    residuals: tuple[float, ...]


def fitted(rows: list[Probed]) -> RuleOfThumb:
    """Least squares of the relative errors, no coefficient below 0."""
    terms = np.array([(row.plain, row.operations, row.values) for row in rows])
    relative = terms / np.array([[row.probe] for row in rows])
    scale = relative.max(axis=0)
    scaled, _ = nnls(relative / scale, np.ones(len(rows)))
    share, operation, value = (float(x) for x in scaled / scale)
    residuals = relative @ [share, operation, value] - 1
    return RuleOfThumb(share, operation, value, tuple(map(float, residuals)))
