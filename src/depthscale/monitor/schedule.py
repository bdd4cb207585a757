"""Schedule: which steps of a training run are looked at."""

from collections.abc import Iterable
from dataclasses import dataclass

from depthscale.errors import InvalidInput


@dataclass(frozen=True)
class Schedule:
    """Steps are counted from 0.

    Attributes:
        every: every k-th step; None: none of these.
        at: explicit steps.
        first: all of the first ones.
        geometric: steps 1, 2, 4, 8, ... too, as long as they are below `every`.
    """

    every: int | None
    at: frozenset[int] = frozenset()
    first: int = 0
    geometric: bool = False

    def __contains__(self, step: int) -> bool:
        return (
            (self.every is not None and step % self.every == 0)
            or step < self.first
            or (self.geometric and self._is_power(step))
            or step in self.at
        )

    def _is_power(self, step: int) -> bool:
        below = self.every is None or step < self.every
        return below and step > 0 and step & (step - 1) == 0


def scheduled(every: int | None, at: Iterable[int], first: int, geometric: bool) -> Schedule:
    """raises: InvalidInput for numbers that name no steps."""
    whole = isinstance(every, int) and not isinstance(every, bool) and every > 0
    if every is not None and not whole:
        raise InvalidInput(f"every must be a whole number from 1, or None, got {every!r}")
    if first < 0:
        raise InvalidInput(f"first must be a number of steps, got {first!r}")
    return Schedule(every, frozenset(at), first, geometric)
