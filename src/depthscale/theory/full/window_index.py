"""The index of a window: which points of a batch it reads, for second moments and for the values of
sampled neurons.

A point is a position of a sample; sample by sample, in row-major order.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depthscale.network import Window

Array = NDArray[np.float64]
WindowIndex = NDArray[np.intp]


def window_index(window: Window, samples: int) -> WindowIndex:
    """Window.entries for a batch: the point that each tap reads at each place. / returns: [taps,
    samples x places], -1 outside."""
    entries, start = (
        window.entries[:, None, :],
        np.arange(samples)[None, :, None] * window.places_in,
    )
    return np.where(entries < 0, -1, entries + start).reshape(len(entries), -1)


def gathered(gram: Array, taps: WindowIndex) -> Array:
    """Mean over taps of what two places see with the same tap; outside is 0."""
    padded = np.pad(gram, (0, 1))  # -1 reads the last row
    found = [padded[np.ix_(each, each)] for each in taps]
    return sum(found[1:], found[0]) / len(found)


def scattered(gram: Array, taps: WindowIndex, points: int) -> Array:
    """Sum over taps of what two places send back with the same tap: the transpose of `gathered`,
    times the taps."""
    total = np.zeros((points + 1, points + 1))
    for each in taps:  # with one tap no two places read one point; what lies outside is dropped
        total[np.ix_(each, each)] += gram
    return total[:-1, :-1]


def mean_of(mean: Array, taps: WindowIndex) -> Array:
    return np.append(mean, 0.0)[taps].mean(0)


def pooled(kind: str, x: Array, taps: WindowIndex) -> tuple[Array, Callable[[Array], Array]]:
    """The mean or the largest of each place's taps, and its backward pass."""
    seen = np.pad(x, ((0, 0), (0, 1)), constant_values=-np.inf if kind == "max" else 0.0)[:, taps]

    def back_average(g: Array) -> Array:
        total = np.zeros((x.shape[0], x.shape[1] + 1))
        for each in taps:
            total[:, each] += g / len(taps)
        return total[:, :-1]

    def back_largest(g: Array) -> Array:
        total = np.zeros_like(x)
        at = np.take_along_axis(taps[None], seen.argmax(1)[:, None], 1)[:, 0]
        np.add.at(total, (np.arange(len(x))[:, None], at), g)
        return total

    return (seen.mean(1), back_average) if kind == "average" else (seen.max(1), back_largest)
