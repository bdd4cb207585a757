"""compare: two profiles of the same depth, layer by layer, in standard errors."""

from dataclasses import dataclass

import numpy as np

from depthscale.profile import Array, Profile, Quantity


@dataclass(frozen=True, eq=False)
class Comparison:
    """log2_ratio: [layers] log2 of a's mean square over b's; relative_stderr: [layers] of that ratio.

    standard_errors: [layers] the ratio less 1 in standard errors; nan where there is none to compare with.
    """

    log2_ratio: Array
    relative_stderr: Array
    standard_errors: Array


def compare(a: Profile, b: Profile) -> dict[str, Comparison]:
    """How far a lies from b: for "gradient", "activation" and "preactivation_batch_variance".

    Standard errors are those of both together, as if independent. / raises: ValueError for different depths.
    """
    if a.depth != b.depth:
        raise ValueError(f"profiles of {a.depth} and {b.depth} layers cannot be compared layer by layer; give equal depths")
    return {
        name: _compare(getattr(a, name), getattr(b, name))
        for name in ("gradient", "activation", "preactivation_batch_variance")
    }


def _compare(a: Quantity, b: Quantity) -> Comparison:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log2_ratio = a.log2_mean_square - b.log2_mean_square
        ratio = np.exp2(log2_ratio)
        stderr = np.hypot(ratio * a.relative_stderr, ratio * b.relative_stderr)
        return Comparison(log2_ratio, stderr, np.where(stderr > 0, (ratio - 1) / stderr, np.nan))
