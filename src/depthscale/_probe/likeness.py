"""How alike a batch's samples have become: read from an output while it is there."""

from dataclasses import dataclass, replace
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthscale._probe.sketching import is_dense
from depthscale.run import Likeness
from depthscale.sketch.counting import REORDER, compiled, float32_array

_ROWS, _COLUMNS = 32, 4096  # of an output that are compared: enough for a correlation to some 1e-3
_TABLE = 4096  # rows of a table whose columns are compared
_BLOCK = 256  # columns whose rows stay in the first cache

Alike = tuple[float, float, float]  # see `_alike`


@dataclass(frozen=True)
class Products:
    """What is compared, each with each; on a device their products, which nothing here waits for.

    Args:
        samples: Of [n, n] products.
        positions: Of the first sample's [m, m], or None.
    """

    samples: Alike | Tensor
    positions: Alike | Tensor | None
    are_equal: bool = False
    largest_feature: float = nan


def products_of(output: Tensor, comes_in: bool = False) -> Products | None:
    """Of an output; None where nothing can be compared. / comes_in: whether it is an input."""
    if (
        output.is_complex()
        or not is_dense(output)
        or output.dim() < 2
        or output.shape[0] < 2
        or not output.numel()
    ):
        return None
    sequence = output.dim() == 3 and output.shape[1] > 1
    values = float32_array(output)
    if values is None:
        values = output.detach()
    products = Products(_compare(values), _compare(values[0]) if sequence else None)
    return _as_input(products, output.detach()) if comes_in else products


def _as_input(products: Products, given: Tensor) -> Products:
    """The same, with what is asked of inputs alone."""
    ends = torch.equal(given[0], given[-1])  # of different samples enough
    equal = ends and bool((given == given[:1]).all())
    table = given.dim() == 2 and given.shape[1] > 1 and given.is_floating_point()
    if not table:
        return replace(products, are_equal=equal)
    columns = given[:_TABLE].double().square().mean(0)
    return replace(products, are_equal=equal, largest_feature=float(columns.max() / columns.sum()))


def likeness(products: Products) -> Likeness:
    """Mean product of two samples over their mean square (1: all alike); the same for two
    positions, nan without any; effective rank of the samples' products, (trace)^2 / |.|^2, over
    their number."""
    samples, rank, aligned = _numbers(products.samples)
    positions, _, lined = (
        (nan, nan, nan) if products.positions is None else _numbers(products.positions)
    )
    of_inputs = products.are_equal, products.largest_feature
    return Likeness(samples, positions, rank, aligned, lined, *of_inputs)


def _compare(values: NDArray[np.float32] | Tensor) -> Alike | Tensor:
    """The first axis' first entries, each with each. / returns: of a tensor its [n, n] products."""
    rows = values[:_ROWS].reshape(min(len(values), _ROWS), -1)
    step = max(1, rows.shape[1] // _COLUMNS)
    if not isinstance(rows, Tensor):
        n = len(rows)
        return _alike(rows, step, np.zeros((n, n)), np.empty((n, _BLOCK), np.float32))
    with (
        torch.no_grad(),
        torch.autocast(rows.device.type, enabled=False),
    ):  # which would round the products
        compared = rows[:, ::step].float()
        return compared @ compared.T


def _numbers(compared: Alike | Tensor) -> Alike:
    if isinstance(compared, Tensor):
        return _summary(compared.cpu().double().numpy())
    return compared


@compiled(fastmath=REORDER)
def _gram(rows, step, products, block):
    """Products of rows, every step-th column, summed in float32 over a block and in float64 over
    blocks. / rows: [n, m]; products: [n, n] zeros, filled; block: room for [n, _BLOCK]."""
    n, columns = rows.shape[0], (rows.shape[1] + step - 1) // step
    for start in range(0, columns, _BLOCK):
        width = min(_BLOCK, columns - start)
        for i in range(n):
            for j in range(width):
                block[i, j] = rows[i, (start + j) * step]
            for k in range(i + 1):
                total = np.float32(0)
                for j in range(width):
                    total += block[i, j] * block[k, j]
                products[i, k] += total
    for i in range(n):
        for k in range(i):
            products[k, i] = products[i, k]
    return products


@compiled(error_model="numpy")
def _summary(gram):
    """Mean off the diagonal over the mean on it, (trace)^2 / |.|^2 / n, and the mean cosine
    of two rows that are not 0. / gram: [n, n]."""
    n, trace, total, square_total = gram.shape[0], 0.0, 0.0, 0.0
    cosines, pairs = 0.0, 0
    for i in range(n):
        trace += gram[i, i]
        for k in range(n):
            total += gram[i, k]
            square_total += gram[i, k] * gram[i, k]
            norms2 = gram[i, i] * gram[k, k]
            if i != k and norms2 > 0:
                cosines += gram[i, k] / np.sqrt(norms2)
                pairs += 1
    aligned = cosines / pairs if pairs else np.nan
    return (total - trace) / (n - 1) / trace, trace * trace / square_total / n, aligned


@compiled()
def _alike(rows, step, products, block):
    """The summary of the products of some rows. / rows: [n, m] float32; products, block: as of
    `_gram`."""
    return _summary(_gram(rows, step, products, block))
