"""Log steps: by how much the logarithm of a mean square changes over each step of depth."""

from dataclasses import dataclass, replace
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import UnreliableGrowth
from depthscale.measure.paths import mean_over_repeats
from depthscale.measure.small_batches import without_rate
from depthscale.network import SPEC_NORMS
from depthscale.run import Depth, Profile, Quantity, Trace

_LARGEST_LOG = 700.0  # of a factor that float64 holds
# log2 of a fall of the mean square in one layer that only exact cancellation makes
_ROUNDING_BITS = 36.0
# of a step's logarithm in float32, alike in all steps, so that no mean removes it
_FLOAT32 = 2.0**-23
_FLOAT64 = 2.0**-52


@dataclass(frozen=True, eq=False)
class LogSteps:
    """Growth of the logarithm of a mean square over each step of depth.

    Attributes:
        log_steps: [networks, steps]; of the gradient towards the input, of the activation towards
            the output.
        depth: where the steps lie.
        error: of each step, alike in all networks.
        exact: whether it is a prediction, which has no spread.
    """

    log_steps: NDArray[np.float64]
    depth: Depth
    error: float
    exact: bool = False


def log_steps_of(run: Profile | Trace, of: str, depth: Depth | None) -> LogSteps:
    """The log steps of a quantity along a depth.

    Raises:
        UnreliableGrowth: where there is no depth, and where the quantity has no value, or no
            typical one.
    """
    measured = _of_trace(run, of, depth) if isinstance(run, Trace) else _of_profile(run, of, depth)
    steps = measured.log_steps
    if abs(steps.mean()) > _LARGEST_LOG:
        raise UnreliableGrowth(
            f"no growth rate: a factor per {measured.depth.word} that float64 does not hold",
            needed="scales nearer 1",
        )
    return measured if of == "gradient" else replace(measured, log_steps=-steps)


def _of_trace(trace: Trace, of: str, depth: Depth | None) -> LogSteps:
    if depth is None:
        raise UnreliableGrowth(
            "nothing repeats three times along the depth, so there is no rate per step",
            needed="3 repetitions",
        )
    why = without_rate(trace, depth) if of == "gradient" else ""
    if why:
        raise UnreliableGrowth(f"no growth rate: {why}", needed="a larger batch")
    networks = (
        trace.initializations
        if of == "gradient"
        else len(trace.ops[depth.pairs[0][0]].log2_activation_samples)
    )
    pairs = depth.pairs_of(networks)
    levels = np.array([[_levels(trace, op, of) for op in pair] for pair in pairs]) * log(
        2
    )  # [steps, 2, networks]
    if not np.isfinite(levels).all():
        raise UnreliableGrowth(
            f"no growth rate: the {of} is 0 or not finite at {depth.word}s of the bulk",
            needed="finite values",
        )
    return LogSteps((levels[:, 0] - levels[:, 1]).T, depth, _FLOAT32)


def _levels(trace: Trace, op: int, of: str) -> NDArray[np.float64]:
    """log2 of the mean square at an operation's output, in each network."""
    record = trace.ops[op]
    if of == "activation":
        return np.array(record.log2_activation_samples)
    norms = (
        record.log2_gradient_norm2
        if trace.initializations > 1
        else (mean_over_repeats(record.log2_gradient_norm2),)
    )
    return np.array(norms) - log(max(record.size, 1)) / log(2)


def _of_profile(profile: Profile, of: str, depth: Depth | None) -> LogSteps:
    if profile.without_rate:
        raise UnreliableGrowth(f"no growth rate: {profile.without_rate}", needed="a larger batch")
    if depth is None:
        layers = f"{profile.depth:,} layer{'s' * (profile.depth != 1)}"
        raise UnreliableGrowth(
            f"a network of {layers} has no bulk between its first and last one; it takes at "
            "least 3",
            needed="3 layers",
        )
    quantity: Quantity = getattr(profile, of)
    samples = quantity.log2_samples
    exact = samples is None
    rows = quantity.log2_mean_square[None] if samples is None else samples
    below, top = np.array(depth.pairs_of(inf if exact else len(rows))).T
    levels = rows * log(2)
    if not np.isfinite(levels[:, [below[0], *top]]).all():
        why = "; ".join(profile.notes) or f"the {of} is 0, infinite or not known there"
        raise UnreliableGrowth(
            f"no growth rate on layers {below[0]} to {top[-1]}: {why}",
            needed=f"{'a gradient' if of == 'gradient' else 'an activation'} that is neither",
        )
    if of == "gradient":
        _require_more_than_rounding(profile)
    error = _own_error(quantity, levels, top) if exact else _FLOAT32
    steps = np.take(levels, below, axis=1) - np.take(levels, top, axis=1)
    return LogSteps(steps, depth, error, exact)


def _own_error(quantity: Quantity, levels: NDArray[np.float64], top: NDArray[np.int64]) -> float:
    """Of a predicted step's logarithm: the prediction's, and rounding of its level."""
    known = quantity.relative_stderr[top]
    largest = known[np.isfinite(known)].max(initial=0.0)
    return float(np.hypot(largest, _FLOAT64 * np.abs(levels[:, top]).max()))


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
