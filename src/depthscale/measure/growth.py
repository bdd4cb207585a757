"""growth: by what factor the gradient's mean square changes per step of depth, and how surely."""

from dataclasses import dataclass
from math import ceil, copysign, exp, inf, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import UnreliableGrowth
from depthscale.profile import Profile
from depthscale.spec import NORMS

_LARGEST_LOG = 700.0  # of a factor that float64 holds
_ROUNDING_BITS = 36.0  # log2 of a fall of the mean square in one layer that only exact cancellation makes
FEWEST_DEGREES = 7  # Student's t with fewer degrees of freedom lies beyond 3 standard errors in more than 2 % of healthy cases


@dataclass(frozen=True)
class Growth:
    """Factor of the gradient's mean square per step towards the input, over layers first_layer..last_layer.

    stderr: standard error of rate; log_stderr: of log(rate), with `degrees` of freedom (inf for theory).
    """

    rate: float
    stderr: float
    first_layer: int
    last_layer: int
    log_stderr: float
    degrees: float
    step: str = "layer"

    @property
    def rms_rate(self) -> float:
        """Factor of the gradient's rms per step: the square root of rate."""
        return sqrt(self.rate)

    @property
    def depth_scale(self) -> float:
        """Steps over which the mean square changes by a factor e: 1 / |log(rate)|; inf at rate 1."""
        return 1 / abs(log(self.rate)) if self.rate != 1 else inf

    @property
    def standard_errors_from_1(self) -> float:
        """log(rate) in standard errors: beyond 3 either way the gradient does grow or shrink."""
        return log(self.rate) / self.log_stderr if self.log_stderr else copysign(inf, log(self.rate)) if self.rate != 1 else 0.0

    def __str__(self) -> str:
        error = f" ± {self.stderr:.2g}" if self.stderr > 0 else ""
        return f"x{self.rate:.5g}{error} per {self.step} in mean square (x{self.rms_rate:.5g} in RMS)"

    def __repr__(self) -> str:
        return f"Growth({self}, {self.step}s {self.first_layer} to {self.last_layer})"

    def _repr_html_(self) -> str:
        from depthscale.report.notebook import growth_html

        return growth_html(self)


def growth(profile: Profile) -> Growth:
    """Growth of the gradient on a profile's bulk: neither the input layer nor the one under the loss take part.

    Along one network the log of the mean square is a random walk, whose steps are independent and whose levels are not; so
    rate = exp(mean step), and its error comes from the spread of the seeds' mean steps or, for fewer than 8 seeds, from that of
    all their steps. The mean of logarithms is what one network shows; it lies below the log of the mean by half their variance.
    returns: Growth; of a prediction, with stderr 0.
    raises: UnreliableGrowth, with the estimate attached, where there are too few layers or seeds for 3 standard errors to mean
    anything, or where the gradient is 0 or infinite.
    """
    if not isinstance(profile, Profile):
        raise TypeError(f"growth takes a Profile, got {type(profile).__name__}")
    if profile.without_rate:
        raise UnreliableGrowth(f"no growth rate: {profile.without_rate}", needed="a larger batch")
    first, last = profile.bulk
    if last <= first:
        raise UnreliableGrowth(
            f"a network of {_counted(profile.depth, 'layer')} has no bulk between its first and last one; it takes at least 3",
            needed="3 layers",
        )
    samples = profile.gradient.log2_samples
    levels = (profile.gradient.log2_mean_square[None] if samples is None else samples)[:, first : last + 1] * log(2)
    if not np.isfinite(levels).all():
        why = "; ".join(profile.notes) or "the gradient is 0, infinite or not known there"
        raise UnreliableGrowth(f"no growth rate on layers {first} to {last}: {why}", needed="a gradient that is neither")
    _require_more_than_rounding(profile)
    if abs((levels[:, 0] - levels[:, -1]).mean()) > _LARGEST_LOG * (last - first):
        raise UnreliableGrowth("no growth rate: a factor per layer that float64 does not hold", needed="scales nearer 1")
    steps = levels[:, :-1] - levels[:, 1:]
    if samples is None:
        return _growth(steps, 0.0, inf, profile.bulk)
    independent = steps.mean(axis=1) if len(steps) > FEWEST_DEGREES else steps.ravel()
    log_stderr = float(independent.std(ddof=1) / sqrt(independent.size)) if independent.size > 1 else nan
    found = _growth(steps, log_stderr, independent.size - 1, profile.bulk)
    if found.degrees < FEWEST_DEGREES:
        seeds, enough = len(steps), FEWEST_DEGREES + 1
        needed = f"{enough} seeds, or {ceil(enough / seeds) + 2} layers with {_counted(seeds, 'seed')}"
        raise UnreliableGrowth(
            f"{_counted(seeds, 'seed')} of {_counted(profile.depth, 'layer')} give {_counted(steps.size, 'step')} of depth: "
            f"{found}. Too few to trust its error; it takes {needed}",
            estimate=found,
            needed=needed,
        )
    return found


def _require_more_than_rounding(profile: Profile) -> None:
    """Refuse what is left of a gradient that a norm deleted: float32 keeps some 2^-48 of its square.

    Without a norm, with eps, or below layer 1 (whose inputs may have any size) a steep fall is what it seems.
    """
    if not profile.seeds or profile.spec.get("norm") not in NORMS or profile.spec.get("eps"):
        return
    levels = profile.gradient.log2_mean_square[1:]
    falls = levels[1:] - levels[:-1]
    if falls.max() > _ROUNDING_BITS:
        layer = 1 + int(falls.argmax())
        raise UnreliableGrowth(
            f"no growth rate: from layer {layer + 1} to {layer} the gradient falls by 2^{falls.max() / 2:.0f}, to rounding; "
            "it is exactly 0 there (as where a last Batch Norm deletes the gradient of a shared loss)",
            needed="a loss that the last layer does not delete",
        )


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _growth(steps: NDArray[np.float64], log_stderr: float, degrees: float, bulk: tuple[int, int]) -> Growth:
    rate = exp(float(steps.mean()))
    return Growth(rate, rate * log_stderr, *bulk, log_stderr, degrees)
