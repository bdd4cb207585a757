"""growth: by what factor the mean square changes per step of depth, by what law, and how surely."""

from dataclasses import asdict, dataclass
from math import copysign, exp, hypot, inf, log, nan, sqrt
from typing import Any, Literal

import numpy as np

from depthscale.drawable import Drawable
from depthscale.errors import InvalidInput, UnreliableGrowth
from depthscale.measure.laws import (
    Factor,
    Law,
    Power,
    Segments,
    SuperExponential,
    Transient,
    law_of,
)
from depthscale.measure.levels import LogSteps, log_steps_of
from depthscale.numerics import as_sure_as, normal_deviate
from depthscale.run import Depth, Run, data_frame, depth_of

_FACTOR = Factor()
Of = Literal["gradient", "activation"]
_SURELY = 3.0  # standard normal deviates
# networks whose mean steps give the error: Student's t with 7 degrees of freedom or more; of fewer
# networks all steps do
_MANY_NETWORKS = 8
_FEWEST_STEPS = 2  # that have a spread; Student's t reads it with one degree of freedom
_STEADY = 1e-9  # of the logarithm of a rate that is known without error
_VAGUE = 2.0  # upper over lower end of a rate's interval, from where on "steady" says too much


@dataclass(frozen=True)
class Growth(Drawable):
    """Growth of a mean square per step of depth: of the gradient towards the input, of the
    activation towards the output.

    Attributes:
        rate: factor per step, over the steps first_layer..last_layer.
        stderr: of rate; 0 for a prediction.
        log_stderr: standard error of log(rate).
        degrees: of freedom of that error; inf for a prediction.
        step: what one step is.
        steps: how many there are.
        law: how the steps go along depth.
    """

    rate: float
    stderr: float
    first_layer: int
    last_layer: int
    log_stderr: float
    degrees: float
    step: str = "layer"
    steps: int = 0
    law: Law = _FACTOR

    @property
    def change(self) -> float:
        """log2 of the factor over all steps of the bulk."""
        return log(self.rate) / log(2) * (self.steps or self.last_layer - self.first_layer)

    @property
    def z_score(self) -> float:
        """How far it lies from steady, by its law: the standard normal deviate that is as unlikely
        as Student's t."""
        match self.law:
            case Power(size, stderr) | Transient(size, stderr) | SuperExponential(size, stderr):
                t, degrees = _over(size, stderr), self.steps - 1
            case _:
                t, degrees = self.standard_errors_from_1, self.degrees
        return float(normal_deviate(np.array(t), degrees))

    @property
    def steady(self) -> bool:
        """Whether it cannot be told from no change, by its law."""
        return not isinstance(self.law, Segments) and not abs(self.z_score) > _SURELY

    @property
    def interval(self) -> tuple[float, float]:
        """The rates that this one cannot be told from: 3 standard errors, or as many as are as sure
        after Student's t."""
        reach = min(as_sure_as(_SURELY, self.degrees) * self.log_stderr, 700 - abs(log(self.rate)))
        return self.rate * exp(-reach), self.rate * exp(reach)

    @property
    def vague(self) -> bool:
        """Whether the ends of that interval lie so far apart that "steady" says too much."""
        low, high = self.interval
        return high > _VAGUE * low

    @property
    def rms_rate(self) -> float:
        """Factor of the root mean square per step: the square root of rate."""
        return sqrt(self.rate)

    @property
    def depth_scale(self) -> float:
        """Steps over which the mean square changes by a factor e: 1 / |log(rate)|; inf at rate
        1."""
        return 1 / abs(log(self.rate)) if self.rate != 1 else inf

    @property
    def standard_errors_from_1(self) -> float:
        """log(rate) in standard errors: Student's t."""
        if not self.log_stderr and abs(log(self.rate)) < _STEADY:
            return 0.0
        return _over(log(self.rate), self.log_stderr)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the law by its kind and its numbers."""
        names = ("rate", "stderr", "rms_rate", "depth_scale", "step", "steps", "first_layer")
        numbers = {name: getattr(self, name) for name in (*names, "last_layer", "z_score")}
        return numbers | {"law": {"kind": self.law.kind} | asdict(self.law)}

    def to_pandas(self) -> Any:
        """A pandas DataFrame of one row. / raises: MissingPackage where pandas is not installed."""
        columns = {name: [value] for name, value in self.to_dict().items() if name != "law"}
        return data_frame(columns | {"law": [self.law.kind]}, "growth")

    def __str__(self) -> str:
        error = f" ± {self.stderr:.2g}" if self.stderr > 0 else ""
        return (
            f"x{self.rate:.5g}{error} per {self.step} in mean square (x{self.rms_rate:.5g} in RMS)"
        )

    def __repr__(self) -> str:
        return f"Growth({self}, {self.step}s {self.first_layer} to {self.last_layer})"


def growth(run: Run, of: Of = "gradient") -> Growth:
    """Growth per step of depth on the bulk.

    Along one network the log of the mean square is a random walk, whose steps are independent and
    whose levels are not. So the rate is exp(mean step), which is what one network shows. Its error
    is that of the networks' mean steps or, for fewer than 8 networks, that of all steps, and is
    read with Student's t. The repetitions nearest the input and the output obey other factors and
    take no part; where one step alone would be left, the one nearest the output does, unless it
    lies under the loss.

    Args:
        run: a described network, of which a step is a layer, or a trace, of which it is what the
            model repeats.
        of: "gradient" or "activation".

    Raises:
        UnreliableGrowth: with the estimate attached, where nothing repeats three times, where
            there is one step alone, and where the quantity is 0 or not finite.
    """
    if of not in ("gradient", "activation"):
        raise InvalidInput(f"growth is of the 'gradient' or of the 'activation', got {of!r}")
    if not isinstance(run, Run):
        raise TypeError(f"growth takes a Run, got {type(run).__name__}")
    return growth_along(run, of, depth_of(run))


def growth_along(run: Run, of: Of, depth: Depth | None) -> Growth:
    """`growth` along a depth that is known."""
    return _growth(log_steps_of(run, of, depth))


def _growth(measured: LogSteps) -> Growth:
    depth, log_steps = measured.depth, measured.log_steps
    networks, n = log_steps.shape
    samples = log_steps.mean(axis=1) if networks >= _MANY_NETWORKS else log_steps.ravel()
    spread = float(samples.std(ddof=1) / sqrt(samples.size)) if samples.size > 1 else nan
    rate = exp(float(log_steps.mean()))
    log_stderr = 0.0 if measured.exact else sqrt(spread**2 + measured.error**2)
    estimate = Growth(
        rate,
        rate * log_stderr,
        1,
        depth.count - (n == len(depth.pairs)),
        log_stderr,
        inf if measured.exact else samples.size - 1,
        depth.word,
        n,
        law_of(log_steps.mean(axis=0), depth.position, measured.error),
    )
    if samples.size < _FEWEST_STEPS and not measured.exact:
        raise UnreliableGrowth(
            f"{depth.count} repetitions of {depth.word} leave 1 whole step of depth "
            f"(x{estimate.rms_rate:.3g} in RMS), which has no error; {depth.count + 1} of them, or "
            "several networks, have one",
            estimate=estimate,
            needed=f"{depth.count + 1} {depth.word}s, or 2 networks",
        )
    return estimate


def _over(size: float, stderr: float) -> float:
    return size / stderr if stderr else copysign(inf, size) if size else 0.0


def rates_apart(first: Growth | None, other: Growth | None) -> float:
    """Welch's t of two rates' logarithms, with the fewer degrees of freedom of the two (too few
    rather than too many)."""
    if first is None or other is None:
        return nan
    stderr = hypot(other.log_stderr, first.log_stderr)
    if not stderr:
        return nan
    t = (log(other.rate) - log(first.rate)) / stderr
    return float(normal_deviate(np.array(t), min(other.degrees, first.degrees)))
