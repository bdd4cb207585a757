"""Networks on graphs: operations that pass messages between the entries of the batch, which are a
graph's nodes."""

from depthscale.measure import Analysis
from depthscale.network import is_product, is_scatter
from depthscale.run import Reading


def passes_messages(case: Analysis) -> bool:
    """Whether the bulk adds up entries of the batch by index, or multiplies them by a matrix of
    nodes by nodes."""
    return any(is_scatter(op.op) or _is_adjacency(op) for op in case.bulk)


def _is_adjacency(op: Reading) -> bool:
    """Whether a constant matrix stands on the left of the signal: as many rows and columns as there
    are nodes."""
    square = [
        shape
        for _, shape, _ in op.weights
        if len(shape) == 2 and shape[0] == shape[1] == op.shape[0]
    ]
    return is_product(op.op) and len(op.shape) == 2 and bool(square) and op.shape[0] != op.shape[1]
