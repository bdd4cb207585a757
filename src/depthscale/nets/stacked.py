"""What is read of stacked tensors, in one compiled pass each and in float64."""

import numpy as np

from depthscale.sketch.counting import REORDER, compiled


@compiled(fastmath=REORDER)
def log2_mean_squares(stacked, power):
    """[networks] log2 of the mean of (v 2^power)^2; -inf where all are 0.

    stacked: [networks, batch, width] float32; power: [networks]. / error: at most
    (count + 1) 2^-52, and the rounding of the number.
    """
    levels = np.empty(len(stacked))
    for n in range(len(stacked)):
        flat = stacked[n].reshape(-1)
        total = 0.0
        for i in range(len(flat)):
            total += np.float64(flat[i]) * np.float64(flat[i])
        levels[n] = np.log2(total / len(flat)) + 2 * power[n]
    return levels


@compiled(fastmath=REORDER)
def batch_moments(stacked, power):
    """[networks, width] mean and variance over the batch, and [networks] log2 of the mean variance
    of v 2^power.

    Summed as distances from the first sample: exactly 0 where all are equal.
    """
    networks, batch, width = stacked.shape
    means = np.empty((networks, 1, width), np.float32)
    variances = np.empty((networks, 1, width), np.float32)
    levels = np.empty(networks)
    for n in range(networks):
        first, total, square_total = stacked[n, 0], np.zeros(width), np.zeros(width)
        for b in range(1, batch):
            for i in range(width):
                distance = np.float64(stacked[n, b, i]) - np.float64(first[i])
                total[i] += distance
                square_total[i] += distance * distance
        mean_variance = 0.0
        for i in range(width):
            distance = total[i] / batch
            variance = max(square_total[i] / batch - distance * distance, 0.0)
            means[n, 0, i], variances[n, 0, i] = first[i] + distance, variance
            mean_variance += variance / width
        levels[n] = np.log2(mean_variance) + 2 * power[n]
    return means, variances, levels
