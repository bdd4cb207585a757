"""Quantity: a mean square at several places, in logarithms, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantity:
    """A mean square at several places: along depth, or by operation.

    Attributes:
        log2_mean_square: [places]; -inf and inf say exactly 0 and infinite, nan that there is none.
        relative_stderr: [places] standard error of the mean over networks, over that mean; 0 for
            exact theory, nan where unknown.
        log2_samples: [networks, places] each network's own, or None for theory.
    """

    log2_mean_square: Array
    relative_stderr: Array
    log2_samples: Array | None = None

    @classmethod
    def over_seeds(cls, log2_samples: Array) -> "Quantity":
        """The arithmetic mean over networks (by log-sum-exp) with its standard error.

        Args:
            log2_samples: [networks, places].
        """
        seeds = len(log2_samples)
        top = np.where(np.isfinite(log2_samples), log2_samples, -np.inf).max(axis=0)
        shifted = np.exp2(log2_samples - np.where(np.isfinite(top), top, 0.0))
        mean = shifted.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (
                shifted.std(axis=0, ddof=1) / np.sqrt(seeds)
                if seeds > 1
                else np.full_like(mean, np.nan)
            )
            relative = np.where(mean > 0, spread / mean, 0.0 if seeds > 1 else np.nan)
            log2_mean = np.log2(mean) + np.where(np.isfinite(top), top, 0.0)
        return cls(log2_mean, relative, log2_samples)

    @classmethod
    def exact(cls, log2_mean_square: Array) -> "Quantity":
        """A quantity known without error."""
        return cls(log2_mean_square, np.where(np.isnan(log2_mean_square), np.nan, 0.0))

    def at(self, places: Sequence[int | None]) -> "Quantity":
        """The same at some of its places, in the order given; nan at None."""
        chosen = np.array([-1 if place is None else place for place in places], int)
        gap = np.array([place is None for place in places], bool)

        def taken(values: Array) -> Array:
            return np.where(gap, np.nan, values[..., chosen]) if gap.any() else values[..., chosen]

        samples = None if self.log2_samples is None else taken(self.log2_samples)
        return Quantity(taken(self.log2_mean_square), taken(self.relative_stderr), samples)

    @cached_property
    def mean_square(self) -> Array:
        """[places] the plain value; nan where float64 holds it only as 0 or infinity though it is
        neither."""
        return _plain(self.log2_mean_square, 1.0)

    @cached_property
    def stderr(self) -> Array:
        """[places] standard error of mean_square; nan where unknown or outside float64."""
        return _plain(self.log2_mean_square, self.relative_stderr)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.mean_square, dtype)

    def __len__(self) -> int:
        return len(self.log2_mean_square)


def _plain(log2_value: Array, factor: Array | float) -> Array:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        value = np.exp2(log2_value)
        held = np.isinf(log2_value) | (np.isfinite(value) & (value > 0))
        return np.where(held, value * factor, np.nan)
