"""One activation under one normalizer: its rate of growth and the correlation of its samples, from
theory and from networks."""

from dataclasses import asdict, dataclass, replace
from math import inf, isfinite, isinf, log, nan, sqrt
from typing import Any

import numpy as np
from torch import Tensor

from depthscale.errors import DepthscaleError
from depthscale.measure import Analysis, Growth
from depthscale.nets import Seen, simulate
from depthscale.network import NetSpec
from depthscale.network import activation as named
from depthscale.numerics import as_sure_as, gaussian
from depthscale.run import Run
from depthscale.theory import exchangeable, predict

KEEPS = 0.02  # a rate this near 1 changes the gradient e-fold in 50 layers or more
TOLERANCE = 0.02  # relative: of what a finite width leaves of theory's rate
COLLAPSED = 0.9  # correlation between samples at the last layer


@dataclass(frozen=True)
class Column:
    """name: of a column. / fields: of the NetSpec; scaled: whether gamma stands for the root of
    sigma_w2.

    normalizes: whether preactivations have mean square 1 whatever the weights.
    """

    name: str
    fields: dict[str, Any]
    scaled: bool = False
    normalizes: bool = False


NORMALIZERS = (
    Column("none", {"norm": "none"}),
    Column("batch", {"norm": "batch"}, normalizes=True),
    Column("batch after", {"norm": "batch", "position": "after"}),
    Column("batch frozen", {"norm": "batch", "statistics": "frozen"}, normalizes=True),
    Column("batch eval", {"norm": "batch", "statistics": "running"}),
    Column("layer", {"norm": "layer"}, normalizes=True),
    Column("layer after", {"norm": "layer", "position": "after"}),
    Column("rms", {"norm": "rms"}, normalizes=True),
    Column("group", {"norm": "group"}, normalizes=True),
    Column("weight", {"norm": "weight"}, scaled=True),
    Column("weight std.", {"norm": "weight_standardized"}, scaled=True),
    Column("scaled w. std.", {"norm": "scaled_weight_standardized"}),
)


@dataclass(frozen=True)
class Cell:
    """One activation under one normalizer. / rate: of the gradient's mean square per layer,
    measured ± stderr; predicted: theory's.

    correlation: between two samples at the last layer, E x x' / E x^2, measured ± stderr, and
    predicted.
    signal: factor of the activations' mean square per layer upwards, measured.
    departs: in words where rate or correlation lie outside theory's by more than 2 % and 3 standard
    errors, or there is no theory.
    """

    activation: str
    normalizer: str
    rate: float
    stderr: float
    predicted: float
    correlation: float
    correlation_stderr: float
    predicted_correlation: float
    signal: float
    departs: str = ""

    @property
    def depth_scale(self) -> float:
        """Layers over which theory's mean square changes e-fold; negative where it falls towards
        the input; inf where it stays."""
        return 1 / log(self.best) if self.best > 0 and abs(log(self.best)) > 1e-9 else inf

    @property
    def best(self) -> float:
        """Theory's rate, or the measured one where there is none."""
        return self.predicted if isfinite(self.predicted) else self.rate

    @property
    def verdict(self) -> str:
        if not isfinite(self.best):
            return "unknown"
        return (
            "explodes"
            if self.best > 1 + KEEPS
            else "vanishes"
            if self.best < 1 - KEEPS
            else "preserved"
        )

    @property
    def collapsed(self) -> bool:
        """Whether samples have become nearly one."""
        return self.correlation > COLLAPSED

    def record(self) -> dict[str, Any]:
        """Plain values; an infinite depth scale is spelled out."""
        scale = self.depth_scale
        return asdict(self) | {
            "depth_scale": str(scale) if isinf(scale) else scale,
            "verdict": self.verdict,
            "collapsed": self.collapsed,
        }


def keeping(name: str) -> float:
    """sigma_w2 that keeps a mean square of 1: 1 / E phi(g)^2, 2 for ReLU."""
    phi = named(name)
    return 1 / gaussian.expect(lambda x: phi.phi(x) ** 2, 1.0, phi.breaks).value


def spec_of(base: NetSpec, name: str, normalizer: Column, sigma_w2: float | None) -> NetSpec:
    sigma = keeping(name) if sigma_w2 is None else sigma_w2
    scaled = replace(
        base, activation=name, sigma_w2=sigma, input_variance=1 / sigma if sigma else 1.0
    )
    spec = replace(scaled, **normalizer.fields)
    return replace(spec, gamma=sqrt(sigma)) if normalizer.scaled else spec


def cell_of(name: str, normalizer: Column, spec: NetSpec, seeds: int, seed: int) -> Cell:
    correlations: list[float] = []
    last = spec.graph().places[-1]

    def keep(seen: Seen) -> None:
        if seen.quantity == "activation" and seen.op == last and seen.values is not None:
            correlations.extend(map(between_samples, seen.values.tensor))

    theory = _growth(predict(spec))
    rate, alike = theory.rate if theory else nan, _predicted_correlation(spec)
    blank = Cell(name, normalizer.name, nan, nan, rate, nan, nan, alike, nan)
    try:
        profile = simulate(spec, seeds=seeds, seed=seed, see=keep)
    except DepthscaleError as refused:
        return replace(blank, departs=str(refused))
    measured = _growth(profile)
    log2_signal = profile.activation.log2_mean_square
    cell = replace(
        blank,
        rate=measured.rate if measured else nan,
        stderr=measured.stderr if measured else nan,
        correlation=float(np.mean(correlations)),
        correlation_stderr=float(np.std(correlations, ddof=1) / sqrt(len(correlations))),
        signal=float(2.0 ** ((log2_signal[-1] - log2_signal[1]) / (spec.depth - 1))),
    )
    return replace(cell, departs=_departure(cell, spec, measured.degrees if measured else inf))


def between_samples(x: Tensor) -> float:
    """E x x' / E x^2 over pairs of samples. / x: [batch, width]."""
    own, total = float(x.double().square().sum()), float(x.double().sum(0).square().sum())
    return (total - own) / ((len(x) - 1) * own) if own else nan


def _growth(profile: Run) -> Growth | None:
    found = Analysis.of(profile).gradient
    return found if isinstance(found, Growth) else None


def _predicted_correlation(spec: NetSpec) -> float:
    signals, missing = exchangeable.forward(spec.graph())
    return nan if missing else signals[-1].sample_correlation


def _departure(cell: Cell, spec: NetSpec, degrees: float) -> str:
    if not isfinite(cell.predicted) or not isfinite(cell.predicted_correlation):
        return "theory has no rate here"
    if not isfinite(cell.rate):
        return "no rate was measured"
    said = []
    for what, found, theory, stderr, allowed, freedom in (
        ("rate", cell.rate, cell.predicted, cell.stderr, TOLERANCE * cell.predicted, degrees),
        (
            "correlation",
            cell.correlation,
            cell.predicted_correlation,
            cell.correlation_stderr,
            TOLERANCE,
            inf,
        ),
    ):
        if abs(found - theory) > allowed + as_sure_as(3.0, freedom) * stderr:
            said.append(f"{what} {found:.3g} ± {stderr:.2g}, theory {theory:.3g}")
    return "; ".join(said) + _unstable(spec, cell.predicted) if said else ""


def _unstable(spec: NetSpec, rate: float) -> str:
    """What a finite width does to a network whose mean square stays 1 only if nothing disturbs it;
    nothing for others."""
    disturbed = [
        _growth(predict(replace(spec, input_variance=spec.input_variance * by)))
        for by in (0.9, 1.1)
    ]
    rates = [found.rate for found in disturbed if found]
    if not rates or max(abs(each - rate) for each in rates) <= TOLERANCE * rate:
        return ""
    return (
        f" ({' or '.join(f'{each:.3g}' for each in rates)} with a tenth less or more input "
        "variance: an unstable fixed point)"
    )
