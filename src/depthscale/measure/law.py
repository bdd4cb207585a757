"""By what law something changes with depth: a constant factor a step, a power of depth, or a
transient onto a plateau."""

from dataclasses import dataclass
from math import ceil, log, sqrt

import numpy as np

from depthscale.measure.stretches import evidence_of_a_cut
from depthscale.run import Array

_OFFSETS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # steps that the input stands for, in a power law
# of twice the log likelihood ratio, past which the power law is taken for the better one
_CLEARLY = 6.0
# exponent that a power law may have: a residual branch's gain, (pi/(pi-1))^3 = 3.2 for one of three
# Batch Norms
_STEEPEST = 6.0
_FEWEST = 5  # steps that can tell them apart
_KEPT = (0.3, 0.45, 0.6, 0.7, 0.8)  # of a transient's step, by the next one
# as _CLEARLY, for a law with so many shapes: chance passes it once in 1,000 depths
_NO_CHANCE = 16.0


@dataclass(frozen=True)
class PowerLaw:
    """Mean square ~ (depth + offset)^-exponent towards the input: steps of log size exponent log((k
    + 1 + c) / (k + c)).

    stderr: of the exponent; evidence: n log(residual of a constant factor / residual of this law),
    less 2 for the offset;
    of_a_cut: the same of two parts with a constant factor each, which pass for a steep power.
    """

    exponent: float
    stderr: float
    offset: float
    evidence: float
    of_a_cut: float = 0.0

    @property
    def better(self) -> bool:
        """Than a constant factor: clearly so, and no steeper than residual networks are, as a
        constant factor by chance looks."""
        return self.evidence > max(_CLEARLY, self.of_a_cut) and abs(self.exponent) <= _STEEPEST


@dataclass(frozen=True)
class Plateau:
    """Steps that die away: of log size first, first kept, first kept^2, ... counted from one end,
    and none beyond.

    from_input: whether they begin at the input or at the loss. / stderr: of first; evidence: as a
    power law's.
    """

    first: float
    stderr: float
    kept: float
    from_input: bool
    evidence: float

    @property
    def reach(self) -> int:
        """Steps after which a tenth of the first one is left."""
        return ceil(log(0.1) / log(self.kept))

    def better(self, power: PowerLaw | None) -> bool:
        """Than a constant factor, and clearly than a power law: residual networks have one, and
        look alike over few steps."""
        return self.evidence > _NO_CHANCE and (
            power is None or self.evidence > power.evidence + _CLEARLY
        )


def plateau(log_steps: Array) -> Plateau | None:
    """Fit of a transient to the steps of one quantity. / log_steps: as of `power_law`. / returns:
    None where it says nothing."""
    n = len(log_steps)
    constant = float(((log_steps - log_steps.mean()) ** 2).sum()) if n >= _FEWEST else 0.0
    best: Plateau | None = None
    for kept in _KEPT if constant > 0 else ():
        for from_input in (True, False):
            x = kept ** np.arange(n)[:: 1 if from_input else -1]
            first = float(x @ log_steps / (x @ x))
            left = max(float(((log_steps - first * x) ** 2).sum()), 1e-12 * constant)
            evidence = n * log(constant / left) - 2
            if best is None or evidence > best.evidence:
                best = Plateau(
                    first, sqrt(left / max(n - 1, 1) / float(x @ x)), kept, from_input, evidence
                )
    return best


def power_law(log_steps: Array, position: Array) -> PowerLaw | None:
    """Fit of a power law to the steps of one quantity. / log_steps: [n] growth of the logarithm
    over each step, towards the input; position: [n] of the steps, counted from the input. /
    returns: None for too few steps, or where nothing is left over.
    source: residual networks, arXiv:1712.08969 (growth by a power of depth)."""
    n = len(log_steps)
    if n < _FEWEST:
        return None
    cut = evidence_of_a_cut(log_steps)
    constant = float(((log_steps - log_steps.mean()) ** 2).sum())
    best: PowerLaw | None = None
    for offset in _OFFSETS:
        x = (
            np.log((position + 1 + offset) / (position + offset))
            if offset or position.min() > 0
            else None
        )
        if x is None:
            continue
        exponent = float(x @ log_steps / (x @ x))
        left = float(((log_steps - exponent * x) ** 2).sum())
        if not left > 0 or not constant > 0:
            continue
        evidence = n * log(constant / left) - 2
        if best is None or evidence > best.evidence:
            best = PowerLaw(
                exponent, sqrt(left / max(n - 1, 1) / float(x @ x)), offset, evidence, cut
            )
    return best
