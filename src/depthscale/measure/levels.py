"""Log steps: by how much the logarithm of a mean square changes over each step of depth."""

from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from depthscale.errors import UnreliableGrowth
from depthscale.measure.small_batches import without_rate
from depthscale.run import Depth, Quantity, Run, mean_over_repeats

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


def log_steps_of(run: Run, of: str, depth: Depth | None) -> LogSteps:
    """The log steps of a quantity along a depth.

    Raises:
        UnreliableGrowth: where there is no depth, and where the quantity has no value, or no
            typical one.
    """
    if depth is None:
        raise UnreliableGrowth(_no_depth(run), needed="3 repetitions")
    why = run.without_rate or (without_rate(run, depth) if of == "gradient" else "")
    if why:
        raise UnreliableGrowth(f"no growth rate: {why}", needed="a larger batch")
    exact, rows = not run.networks, _log2_levels(run, of)
    below, top = np.array(depth.pairs_of(inf if exact else len(rows))).T
    levels = rows * log(2)
    if not np.isfinite(levels[:, [*below, *top]]).all():
        known = "; ".join(run.notes) or f"the {of} is 0, infinite or not known there"
        why = f"the {of} is 0 there" if (levels == -inf).any() else known
        raise UnreliableGrowth(
            f"no growth rate along the {depth.word}s of the bulk: {why}",
            needed=f"{'a gradient' if of == 'gradient' else 'an activation'} that is neither",
        )
    if of == "gradient":
        _require_more_than_rounding(run)
    steps = levels[:, below] - levels[:, top]
    if abs(steps.mean()) > _LARGEST_LOG:
        raise UnreliableGrowth(
            f"no growth rate: a factor per {depth.word} that float64 does not hold",
            needed="scales nearer 1",
        )
    error = _own_error(getattr(run.readings, of), levels, top) if exact else _FLOAT32
    return LogSteps(steps if of == "gradient" else -steps, depth, error, exact)


def _no_depth(run: Run) -> str:
    if not run.graph.is_described:
        return "nothing repeats three times along the depth, so there is no rate per step"
    layers = f"{run.depth:,} layer{'s' * (run.depth != 1)}"
    return f"a network of {layers} has no bulk between its first and last one; it takes at least 3"


def _log2_levels(run: Run, of: str) -> NDArray[np.float64]:
    """[networks, ops] log2 of the mean squares; of one network the mean over its passes."""
    quantity: Quantity = getattr(run.readings, of)
    if quantity.log2_samples is not None:
        return quantity.log2_samples
    if not run.networks or of == "activation":
        return quantity.log2_mean_square[None]
    norms = run.readings.log2_gradient_norm2
    if run.networks == 1 < len(norms):
        norms = np.array([[mean_over_repeats(tuple(column)) for column in norms.T.tolist()]])
    return norms - np.log(np.maximum(run.graph.entries, 1)) / log(2)


def _own_error(quantity: Quantity, levels: NDArray[np.float64], top: NDArray[np.int64]) -> float:
    """Of a predicted step's logarithm: the prediction's, and rounding of its level."""
    known = quantity.relative_stderr[top]
    largest = known[np.isfinite(known)].max(initial=0.0)
    return float(np.hypot(largest, _FLOAT64 * np.abs(levels[:, top]).max()))


def _require_more_than_rounding(run: Run) -> None:
    """Refuse what is left of a gradient that a norm deleted: float32 keeps some 2^-48 of its
    square.

    Without a norm, with eps, or below layer 1 (whose inputs may have any size) a steep fall is what
    it seems.
    """
    bare = any(op.norm is not None and not op.norm.eps for op in run.ops)
    if not (run.networks and run.graph.is_described and bare):
        return
    levels = run.gradient.log2_mean_square[1:]
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
