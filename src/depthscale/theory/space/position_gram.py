"""PositionGram: second moments between the positions of one sample, where these are unlike, as
those that look at their own past are.

Positions stand in classes of neighbours that count as alike: each alone in a short sequence, ever
more to a class along a long one.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from depthscale.theory.space.border_profile import PositionProfile, profile_of

Matrix = NDArray[np.float64]

_CLASSES = 64


@dataclass(frozen=True, eq=False, slots=True)
class PositionGram:
    """Products over the mean square of all positions.

    Args:
        sizes: [classes] positions of each, from the first.
        own: [classes] mean squares, whose mean over positions is 1.
        pairs: [classes, classes] products of two different positions.
    """

    sizes: Matrix
    own: Matrix
    pairs: Matrix

    @classmethod
    def even(
        cls, positions: int, correlation: float, profile: PositionProfile | None = None
    ) -> "PositionGram":
        """Of positions that are all alike, or whose mean squares alone differ, with products that
        go as their roots."""
        sizes = classes(positions)
        own = np.ones(len(sizes))
        if profile is not None and len(profile[0]) == positions:
            own = np.add.reduceat(np.array(profile[0]), _starts(sizes).astype(int)) / sizes
        pairs = np.sqrt(np.outer(own, own))
        even = cls(sizes, own, pairs).correlation
        return cls(sizes, own, pairs * (correlation / even if even else 0.0))

    @property
    def positions(self) -> int:
        return int(self.sizes.sum())

    @property
    def correlation(self) -> float | None:
        """The mean product of two positions; None of one alone."""
        n = self.sizes
        others = self.positions * (self.positions - 1)
        return float(n @ self.pairs @ n - n @ np.diag(self.pairs)) / others if others else None

    @property
    def profile(self) -> PositionProfile | None:
        return profile_of([np.repeat(self.own, self.sizes.astype(int))])

    def of(self, own: Matrix, pairs: Matrix) -> tuple[float, "PositionGram"]:
        """Other products of the same positions. / returns: their mean square, and they over it."""
        mean = float(self.sizes @ own) / self.positions
        return mean, PositionGram(self.sizes, own / (mean or 1.0), pairs / (mean or 1.0))

    def plus(self, other: "PositionGram", share: float) -> "PositionGram":
        """Of a sum that this has a share of."""
        return PositionGram(
            self.sizes,
            share * self.own + (1 - share) * other.own,
            share * self.pairs + (1 - share) * other.pairs,
        )


@lru_cache(maxsize=64)
def classes(positions: int) -> Matrix:
    """Sizes of the classes of so many positions."""
    edges = np.unique(np.geomspace(1, positions + 1, _CLASSES + 1).round())
    if positions <= _CLASSES:
        edges = np.arange(1, positions + 2)
    return np.diff(edges).astype(np.float64)


def _starts(sizes: Matrix) -> Matrix:
    return np.cumsum(sizes) - sizes
