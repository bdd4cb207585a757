"""Depth: which pairs of places bound a step of depth, in a network's graph."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

FEWEST = 3  # repetitions that make a depth


class DepthKind(Enum):
    """What repeats along the depth."""

    LAYERS = "layers"
    BLOCKS = "blocks"
    SEQUENCE = "sequence"
    USES = "uses"


class Paths(Enum):
    """Which gradient paths cross every place of a depth."""

    ALL = "all"
    ONE_INPUT = "one input"
    ONE_BRANCH = "one branch"


@dataclass(frozen=True)
class Depth:
    """Whole steps of depth, from the input up.

    Attributes:
        kind: what repeats.
        word: what one step is called.
        pairs: for each step of the bulk, the operation under it and the one at its top. The
            repetition nearest the input and the one nearest the output are left out.
        position: of each step, counted from the input (1 for the second repetition), and anew
            where the chain of equal repetitions is broken, as between the stages of a
            convolutional network.
        count: repetitions in all.
        last: the step of the repetition nearest the output, None where it lies under the loss or
            its shape differs.
        paths: which paths cross every place.
    """

    kind: DepthKind
    word: str
    pairs: tuple[tuple[int, int], ...]
    position: tuple[int, ...]
    count: int
    last: tuple[int, int] | None = None
    paths: Paths = Paths.ALL

    def pairs_of(self, networks: float) -> tuple[tuple[int, int], ...]:
        """The pairs by which so many networks are measured: the bulk's, with the last one where a
        single step of a single network would have no error."""
        alone = networks == len(self.pairs) == 1
        return (*self.pairs, self.last) if alone and self.last else self.pairs

    def __contains__(self, op: int) -> bool:
        """Whether an operation lies inside a step of the bulk."""
        return op in self._inside

    @cached_property
    def _inside(self) -> frozenset[int]:
        return frozenset(op for below, top in self.pairs for op in range(below + 1, top + 1))
