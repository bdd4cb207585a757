"""By what law something changes with depth: a constant factor a step, or a power of depth."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from depthscale.profile import Array

_OFFSETS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # steps that the input stands for, in a power law
_CLEARLY = 6.0  # of twice the log likelihood ratio, past which the power law is taken for the better one
_FEWEST = 5  # steps that can tell the two apart


@dataclass(frozen=True)
class PowerLaw:
    """Mean square ~ (depth + offset)^-exponent towards the input: steps of log size exponent log((k + 1 + c) / (k + c)).

    stderr: of the exponent; evidence: n log(residual of a constant factor / residual of this law), less 2 for the offset.
    """

    exponent: float
    stderr: float
    offset: float
    evidence: float

    @property
    def better(self) -> bool:
        return self.evidence > _CLEARLY


def power_law(log_steps: Array, position: Array) -> PowerLaw | None:
    """Fit of a power law to the steps of one quantity. / log_steps: [n] growth of the logarithm over each step, towards the
    input; position: [n] of the steps, counted from the input. / returns: None for too few steps, or where nothing is left over.
    source: residual networks, arXiv:1712.08969 (growth by a power of depth)."""
    n = len(log_steps)
    if n < _FEWEST:
        return None
    constant = float(((log_steps - log_steps.mean()) ** 2).sum())
    best: PowerLaw | None = None
    for offset in _OFFSETS:
        x = np.log((position + 1 + offset) / (position + offset)) if offset or position.min() > 0 else None
        if x is None:
            continue
        exponent = float(x @ log_steps / (x @ x))
        left = float(((log_steps - exponent * x) ** 2).sum())
        if not left > 0 or not constant > 0:
            continue
        evidence = n * log(constant / left) - 2
        if best is None or evidence > best.evidence:
            best = PowerLaw(exponent, sqrt(left / max(n - 1, 1) / float(x @ x)), offset, evidence)
    return best
