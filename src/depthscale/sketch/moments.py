"""Second moments alone, where the whole distribution is not asked for."""

from math import log2

from torch import Tensor

from depthscale.sketch import kernels


def log2_mean_square(values: Tensor, log2_scale: int = 0) -> float:
    """log2 of the mean of (v 2^log2_scale)^2, summed in float64; -inf where all are 0, nan where there is none.

    values: contiguous float32 or float64 on the CPU. / error: at most (count + 1) 2^-52, and the rounding of the number.
    """
    flat = values.detach().reshape(-1).numpy()
    if not len(flat):
        return float("nan")
    square_total = kernels.sums(flat)[1]
    return log2(square_total / len(flat)) + 2 * log2_scale if square_total else float("-inf")
