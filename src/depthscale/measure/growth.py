"""growth: by what factor the mean square changes per step of depth, by what law, and how surely."""

from dataclasses import dataclass
from math import ceil, copysign, exp, inf, log, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depthscale.drawable import Drawable
from depthscale.errors import InvalidInput, UnreliableGrowth
from depthscale.measure.law import Plateau, PowerLaw, plateau, power_law
from depthscale.measure.paths import mean_over_repeats
from depthscale.measure.small_batches import without_rate
from depthscale.measure.stretches import Stretch, stretches
from depthscale.network import SPEC_NORMS
from depthscale.numerics.student import as_sure_as, normal_deviate
from depthscale.run import Depth, Profile, Quantity, Trace, depth_of

_LARGEST_LOG = 700.0  # of a factor that float64 holds
# log2 of a fall of the mean square in one layer that only exact cancellation makes
_ROUNDING_BITS = 36.0
_FEWEST_STEPS = 3  # of one run, whose error is then read with Student's t
# of a step's logarithm in float32, alike in all steps, so that no mean removes it
_ROUNDING = 2.0**-23
# Student's t with fewer degrees of freedom lies beyond 3 standard errors in more than 2 % of
# healthy cases
FEWEST_DEGREES = 7


@dataclass(frozen=True)
class Growth(Drawable):
    """Factor of the gradient's mean square per step towards the input, over layers
    first_layer..last_layer.

    stderr: standard error of rate; log_stderr: of log(rate), with `degrees` of freedom (inf for
    theory).
    """

    rate: float
    stderr: float
    first_layer: int
    last_layer: int
    log_stderr: float
    degrees: float
    step: str = "layer"
    steps: int = 0
    power: PowerLaw | None = None
    plateau: Plateau | None = None
    stretches: tuple[Stretch, ...] = ()

    @property
    def change(self) -> float:
        """log2 of the factor over all steps of the bulk."""
        return log(self.rate) / log(2) * (self.steps or self.last_layer - self.first_layer)

    @property
    def by_power(self) -> bool:
        """Whether a power of depth describes it better than a constant factor."""
        return (
            self.power is not None and self.power.better and not self.by_plateau and not self.turns
        )

    @property
    def by_plateau(self) -> bool:
        """Whether it changes at one end alone and is steady beyond, which describes it better than
        a factor or a power of depth."""
        return self.plateau is not None and self.plateau.better(self.power) and not self.turns

    @property
    def turns(self) -> bool:
        """Whether it surely grows over one stretch of the depth and surely shrinks over another, so
        that no one rate tells."""
        return bool(self.stretches)

    @property
    def exponential(self) -> bool:
        """Whether a constant factor describes it best."""
        return not (self.by_power or self.by_plateau or self.turns)

    @property
    def deviates(self) -> float:
        """How far it lies from steady, by the law that describes it better: the standard normal
        deviate that is as unlikely as Student's t."""
        if self.power is not None and self.by_power:
            t, degrees = self.power.exponent / self.power.stderr, self.steps - 1
        elif self.plateau is not None and self.by_plateau:
            t, degrees = self.plateau.first / self.plateau.stderr, self.steps - 1
        else:
            t, degrees = self.standard_errors_from_1, self.degrees
        return float(normal_deviate(np.array(t), degrees))

    @property
    def interval(self) -> tuple[float, float]:
        """The rates that this one cannot be told from: 3 standard errors, or as many as are as sure
        after Student's t."""
        k = as_sure_as(3.0, self.degrees)
        return self.rate * exp(-k * self.log_stderr), self.rate * exp(k * self.log_stderr)

    @property
    def vague(self) -> bool:
        """Whether the ends of that interval lie more than a factor 2 apart, where "steady" says too
        much."""
        low, high = self.interval
        return high > 2 * low

    @property
    def words(self) -> str:
        """What it does, in words: steady, explodes, vanishes, grows as a power of depth, at one end
        only, or turns."""
        return self.said("explodes", "vanishes")

    def said(self, up: str, down: str) -> str:
        """The same with other verbs for a rate above and below 1."""
        if self.turns:
            return (
                f"turns: {', then '.join(_said(each, up, down) for each in self.stretches)}, "
                "from the input on"
            )
        if not abs(self.deviates) > 3:
            return "steady"
        if self.plateau is not None and self.by_plateau:
            end = "input" if self.plateau.from_input else "output"
            verb = "grows" if self.plateau.first > 0 else "shrinks"
            return (
                f"{verb} over the {min(self.plateau.reach, self.steps)} steps next to the "
                f"{end} and is steady beyond"
            )
        if self.power is not None and self.by_power:
            verb = "grows" if self.power.exponent > 0 else "shrinks"
            return f"{verb} as depth^{abs(self.power.exponent):.2g} (mean square)"
        halves = abs(log(2) / log(self.rms_rate))
        verb, twice = (up, "doubles") if self.rate > 1 else (down, "halves")
        return f"{verb} x{self.rms_rate:.3g} per {self.step}, {twice} in RMS every {halves:.2g}"

    @property
    def rms_rate(self) -> float:
        """Factor of the gradient's rms per step: the square root of rate."""
        return sqrt(self.rate)

    @property
    def depth_scale(self) -> float:
        """Steps over which the mean square changes by a factor e: 1 / |log(rate)|; inf at rate
        1."""
        return 1 / abs(log(self.rate)) if self.rate != 1 else inf

    @property
    def standard_errors_from_1(self) -> float:
        """log(rate) in standard errors: beyond 3 either way the gradient does grow or shrink."""
        return (
            log(self.rate) / self.log_stderr
            if self.log_stderr
            else copysign(inf, log(self.rate))
            if self.rate != 1
            else 0.0
        )

    def __str__(self) -> str:
        error = f" ± {self.stderr:.2g}" if self.stderr > 0 else ""
        return (
            f"x{self.rate:.5g}{error} per {self.step} in mean square (x{self.rms_rate:.5g} in RMS)"
        )

    def __repr__(self) -> str:
        return f"Growth({self}, {self.step}s {self.first_layer} to {self.last_layer})"


def growth(measured: Profile | Trace, of: Literal["gradient", "activation"] = "gradient") -> Growth:
    """Growth per step of depth on the bulk: of the gradient towards the input, or of the activation
    towards the output.

    Of a profile, a step is a layer; of a trace it is a block of its module tree that
    repeats, else the shortest sequence of operations that does, and None where nothing repeats
    three times. First and last repetition never take part. One run's log gain is a random walk: the
    rate is exp(mean step), its error the steps' spread.
    raises: UnreliableGrowth, with the estimate attached, where nothing repeats three times, there
    are too few steps, or what is asked for is 0 or not finite.
    """
    if of not in ("gradient", "activation"):
        raise InvalidInput(f"growth is of the 'gradient' or of the 'activation', got {of!r}")
    if isinstance(measured, Trace):
        return _of_trace(measured, of)
    if not isinstance(measured, Profile):
        raise TypeError(f"growth takes a Profile or a Trace, got {type(measured).__name__}")
    return _of_profile(measured, of)


def _of_trace(trace: Trace, of: str) -> Growth:
    found = depth_of(trace)
    if found is None:
        raise UnreliableGrowth(
            "nothing repeats three times along the depth, so there is no rate per step",
            needed="3 repetitions",
        )
    why = without_rate(trace, found) if of == "gradient" else ""
    if why:
        raise UnreliableGrowth(f"no growth rate: {why}", needed="a larger batch")
    levels = np.array([[_levels(trace, op, of) for op in pair] for pair in found.pairs]) * log(
        2
    )  # [steps, 2, networks]
    if not np.isfinite(levels).all():
        raise UnreliableGrowth(
            f"no growth rate: the {of} is 0 or not finite at {found.word}s of the bulk",
            needed="finite values",
        )
    log_steps = (levels[:, 0] - levels[:, 1]).T  # towards the input
    return _over_steps(log_steps if of == "gradient" else -log_steps, found)


def _levels(trace: Trace, op: int, of: str) -> NDArray[np.float64]:
    """log2 of the mean square at an operation's output, in each network."""
    each = trace.ops[op]
    if of == "activation":
        return np.array(each.log2_activation_samples)
    norms = (
        each.log2_gradient_norm2
        if trace.initializations > 1
        else (mean_over_repeats(each.log2_gradient_norm2),)
    )
    return np.array(norms) - log(max(each.size, 1)) / log(2)


def _over_steps(log_steps: NDArray[np.float64], found: Depth) -> Growth:
    """log_steps: [networks, steps]; the error is that of the networks' means, or of all steps where
    networks are few."""
    networks, n = log_steps.shape
    rate = exp(float(log_steps.mean()))
    independent = log_steps.mean(axis=1) if networks > FEWEST_DEGREES else log_steps.ravel()
    spread = (
        float(independent.std(ddof=1) / sqrt(independent.size)) if independent.size > 1 else nan
    )
    log_stderr = sqrt(spread**2 + _ROUNDING**2)
    each = log_steps.mean(axis=0)
    laws = power_law(each, np.array(found.position, np.float64)), plateau(each), stretches(each)
    estimate = Growth(
        rate,
        rate * log_stderr,
        1,
        found.count - 1,
        log_stderr,
        independent.size - 1,
        found.word,
        n,
        *laws,
    )
    if independent.size < _FEWEST_STEPS:
        raise UnreliableGrowth(
            f"{found.count} repetitions of {found.word} leave {_counted(n, 'whole step')} of "
            f"depth: x{rate:.4g}. "
            f"Too few for an error; it takes {_FEWEST_STEPS + 2} repetitions, or more networks "
            "(repeats= with a function)",
            estimate=estimate,
            needed=f"{_FEWEST_STEPS + 2} repetitions",
        )
    return estimate


def _of_profile(profile: Profile, of: str) -> Growth:
    """Growth on a profile's bulk: neither the input layer nor the one under the loss take part.

    Along one network the log of the mean square is a random walk, whose steps are independent and
    whose levels are not; so rate = exp(mean step), and its error comes from the spread of the
    seeds' mean steps or, for fewer than 8 seeds, from that of all their steps. The mean of
    logarithms is what one network shows; it lies below the log of the mean by half their variance.
    returns: Growth; of a prediction, with stderr 0.
    raises: UnreliableGrowth, with the estimate attached, where there are too few layers or seeds
    for 3 standard errors to mean anything, or where the gradient is 0 or infinite.
    """
    if profile.without_rate:
        raise UnreliableGrowth(f"no growth rate: {profile.without_rate}", needed="a larger batch")
    first, last = profile.bulk
    if last <= first:
        raise UnreliableGrowth(
            f"a network of {_counted(profile.depth, 'layer')} has no bulk between its first and "
            "last one; it takes at least 3",
            needed="3 layers",
        )
    quantity: Quantity = getattr(profile, of)
    samples = quantity.log2_samples
    levels = (quantity.log2_mean_square[None] if samples is None else samples)[
        :, first : last + 1
    ] * log(2)
    if not np.isfinite(levels).all():
        why = "; ".join(profile.notes) or f"the {of} is 0, infinite or not known there"
        raise UnreliableGrowth(
            f"no growth rate on layers {first} to {last}: {why}",
            needed=f"{'a gradient' if of == 'gradient' else 'an activation'} that is neither",
        )
    if of == "gradient":
        _require_more_than_rounding(profile)
    if abs((levels[:, 0] - levels[:, -1]).mean()) > _LARGEST_LOG * (last - first):
        raise UnreliableGrowth(
            "no growth rate: a factor per layer that float64 does not hold",
            needed="scales nearer 1",
        )
    each = levels[:, :-1] - levels[:, 1:] if of == "gradient" else levels[:, 1:] - levels[:, :-1]
    if samples is None:
        return _growth(each, 0.0, inf, profile.bulk)
    independent = each.mean(axis=1) if len(each) > FEWEST_DEGREES else each.ravel()
    log_stderr = (
        float(independent.std(ddof=1) / sqrt(independent.size)) if independent.size > 1 else nan
    )
    found = _growth(each, log_stderr, independent.size - 1, profile.bulk)
    if found.degrees < FEWEST_DEGREES:
        seeds, enough = len(each), FEWEST_DEGREES + 1
        needed = (
            f"{enough} seeds, or {ceil(enough / seeds) + 2} layers with {_counted(seeds, 'seed')}"
        )
        raise UnreliableGrowth(
            f"{_counted(seeds, 'seed')} of {_counted(profile.depth, 'layer')} give "
            f"{_counted(each.size, 'step')} of depth: "
            f"{found}. Too few to trust its error; it takes {needed}",
            estimate=found,
            needed=needed,
        )
    return found


def _require_more_than_rounding(profile: Profile) -> None:
    """Refuse what is left of a gradient that a norm deleted: float32 keeps some 2^-48 of its
    square.

    Without a norm, with eps, or below layer 1 (whose inputs may have any size) a steep fall is what
    it seems.
    """
    norm = SPEC_NORMS.get(profile.spec.get("norm", "none"), SPEC_NORMS["none"])
    if not profile.seeds or norm.kind is None or profile.spec.get("eps"):
        return
    levels = profile.gradient.log2_mean_square[1:]
    falls = levels[1:] - levels[:-1]
    if falls.max() > _ROUNDING_BITS:
        layer = 1 + int(falls.argmax())
        raise UnreliableGrowth(
            f"no growth rate: from layer {layer + 1} to {layer} the gradient falls by "
            f"2^{falls.max() / 2:.0f}, to rounding; "
            "it is exactly 0 there (as where a last Batch Norm deletes the gradient of a shared "
            "loss)",
            needed="a loss that the last layer does not delete",
        )


def _said(stretch: Stretch, up: str, down: str) -> str:
    verb = ("steady", up, down)[stretch.direction]
    return f"{verb} x{sqrt(stretch.rate):.3g} in RMS over {stretch.steps} steps"


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _growth(
    each: NDArray[np.float64], log_stderr: float, degrees: float, bulk: tuple[int, int]
) -> Growth:
    rate = exp(float(each.mean()))
    return Growth(rate, rate * log_stderr, *bulk, log_stderr, degrees, steps=bulk[1] - bulk[0])
