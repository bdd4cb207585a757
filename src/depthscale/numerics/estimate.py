"""Estimate: a number, or many, with the error it may carry."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """value, and error: a bound >= 0 on |value - truth|, in the unit of the value."""

    value: float
    error: float

    def __mul__(self, other: "Estimate") -> "Estimate":
        """Product, with the error that the two errors can make together."""
        error = (
            abs(self.value) * other.error + abs(other.value) * self.error + self.error * other.error
        )
        return Estimate(self.value * other.value, error)


@dataclass(frozen=True)
class Estimates:
    """Estimates of one quantity at n settings: value [n], error [n]. / `estimates[i]` is the
    Estimate at setting i."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, i: int) -> Estimate:
        return Estimate(float(self.value[i]), float(self.error[i]))
