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

_CLASSES = 96
_EVEN = 1e-9  # of what is left to rounding


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

    @classmethod
    def behind_tokens(cls, tokens: int, share: float, x: "PositionGram") -> "PositionGram":
        """Tokens that have nothing to do with any other, before positions that have this share of
        all squares."""
        positions = tokens + x.positions
        sizes = classes(positions)
        last = np.cumsum(sizes)
        theirs = np.clip(tokens - (last - sizes), 0, sizes) / sizes
        of_token, of_own = (1 - share) * positions / tokens, share * positions / x.positions
        own = theirs * of_token + (1 - theirs) * of_own
        pairs = np.outer(1 - theirs, 1 - theirs) * of_own * (x.correlation or 0.0)
        return cls(sizes, own, pairs)

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

    @property
    def is_even(self) -> bool:
        """Whether positions are all alike, and pairs of them."""
        apart = np.outer(self.sizes, self.sizes) - np.diag(self.sizes) > 0
        return bool(
            np.ptp(self.own) < _EVEN and (not apart.any() or np.ptp(self.pairs[apart]) < _EVEN)
        )

    def of(self, own: Matrix, pairs: Matrix) -> "PositionGram":
        """Other products of the same positions."""
        return normalized(self.sizes, own, pairs)[1]

    def without_tokens(self, tokens: int) -> tuple[float, "PositionGram"]:
        """The others, whose products are taken as alike. / returns: their mean square, and gram."""
        left = np.clip(np.cumsum(self.sizes) - tokens, 0, self.sizes)
        rows = np.repeat(self.own, self.sizes.astype(int))[tokens:]
        total = float(left @ self.pairs @ left - left @ np.diag(self.pairs))
        n, mean = len(rows), float(rows.mean())
        between = total / (n * (n - 1) * mean) if n > 1 and mean else 0.0
        return mean, PositionGram.even(n, between, profile_of([rows]))

    def plus(self, other: "PositionGram", share: float) -> "PositionGram":
        """Of a sum that this has a share of."""
        return PositionGram(
            self.sizes,
            share * self.own + (1 - share) * other.own,
            share * self.pairs + (1 - share) * other.pairs,
        )


def normalized(sizes: Matrix, own: Matrix, pairs: Matrix) -> tuple[float, PositionGram]:
    """Returns: The mean square of products, and their gram."""
    mean = float(sizes @ own / sizes.sum())
    return mean, PositionGram(sizes, own / (mean or 1.0), pairs / (mean or 1.0))


@lru_cache(maxsize=64)
def classes(positions: int) -> Matrix:
    """Sizes of the classes of so many positions."""
    edges = np.unique(np.geomspace(1, positions + 1, _CLASSES + 1).round())
    if positions <= _CLASSES:
        edges = np.arange(1, positions + 2)
    return np.diff(edges).astype(np.float64)


def _starts(sizes: Matrix) -> Matrix:
    return np.cumsum(sizes) - sizes
