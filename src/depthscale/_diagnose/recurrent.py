"""Recurrent networks: one cell that is used at every step of a sequence."""

from depthscale.measure import Analysis
from depthscale.run import DepthKind


def is_recurrent(case: Analysis) -> bool:
    """Whether a step of depth is the use of one module that comes again, and its maps have the same
    weights every time; of other modules the one that is used again is an activation, say."""
    if case.depth is None or case.depth.kind is not DepthKind.USES:
        return False
    first, second = ((*case.depth.pairs, (0, 0))[k] for k in (0, 1))
    return bool(_weights(case, first) & _weights(case, second))


def _weights(case: Analysis, step: tuple[int, int]) -> set[str]:
    """Names of what the maps of a step multiply with."""
    below, top = step
    ops = case.trace.ops[below + 1 : top + 1]
    return {name for op in ops for name, shape, _ in op.weights if name and len(shape) > 1}
