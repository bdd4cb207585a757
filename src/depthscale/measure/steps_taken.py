"""StepsTaken: what an optimizer's next step does to each weight and each block of a network."""

from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, isnan, nan

from depthscale.measure.growth import Growth
from depthscale.run import OptimizerStep, Turn

SCRAMBLED = 45.0  # degrees, from which on as much of a weight is new as is left of it
_EQUAL = 1.5  # of the largest turn over the least, up to which blocks turn alike


@dataclass(frozen=True)
class ParameterStep:
    """A parameter and what the step does to it.

    Attributes:
        name, shape: of the parameter.
        turn: what the step does.
        rate: the learning rate of its group.
    """

    name: str
    shape: tuple[int, ...]
    turn: Turn
    rate: float

    @property
    def relative(self) -> float:
        """|update| / |weight|."""
        return self.turn.relative

    @property
    def degrees(self) -> float:
        """The angle between the weight before and after."""
        return self.turn.degrees

    @property
    def scale_invariant(self) -> bool:
        """Whether the loss does not see its size."""
        return self.turn.is_scale_invariant

    @property
    def is_matrix(self) -> bool:
        """Whether it has a direction that a step may turn: no scale, no offset, no zeros."""
        return len(self.shape) > 1 and not isnan(self.degrees)


@dataclass(frozen=True)
class BlockStep:
    """A block of a network, and its weight matrix that turns most.

    Attributes:
        name: as "layer 3", or the parameter's where it belongs to no repetition.
        number: of the repetition, from 1 at the input; 0 where it belongs to none.
        most: the matrix.
    """

    name: str
    number: int
    most: ParameterStep

    @property
    def degrees(self) -> float:
        return self.most.degrees

    @property
    def is_scrambled(self) -> bool:
        """Whether the step turns it so far that less of it is left than is new."""
        return self.degrees > SCRAMBLED


@dataclass(frozen=True, eq=False)
class StepsTaken:
    """What an optimizer's next step does to a network.

    Attributes:
        model: the network in a word or two.
        params: every parameter that moves.
        blocks: from the input to the output.
        step: of the optimizer.
        batch: samples of it.
        word: what a block is called, as "layer".
        growth: of the gradient, per block; None where it has no rate.
        depth_limit: number of such blocks, counted from the output, from which on this step would
            turn the first one by more than 45 degrees; inf where turns do not grow towards the
            input, nan where that is not known.
        theory: whether all of it is theory's.
        notes: what must be known to read the numbers.
    """

    model: str
    params: tuple[ParameterStep, ...]
    blocks: tuple[BlockStep, ...]
    step: OptimizerStep
    batch: float
    word: str
    growth: Growth | None
    depth_limit: float
    theory: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> tuple[BlockStep, ...]:
        """The blocks that repeat; all of them where none does."""
        return tuple(each for each in self.blocks if each.number) or self.blocks

    @cached_property
    def scrambled(self) -> tuple[BlockStep, ...]:
        """Layers that turn by more than 45 degrees."""
        return tuple(each for each in self.layers if each.is_scrambled)

    @cached_property
    def decisive(self) -> BlockStep | None:
        """The block that is the first to turn by 45 degrees as the rate grows."""
        known = [each for each in self.blocks if isfinite(each.most.turn.limit)]
        return min(known, key=lambda each: each.most.turn.limit, default=None)

    @property
    def lr_limit(self) -> float:
        """The largest learning rate at which no block turns by more than 45 degrees, where groups
        differ that of the block which is the first to; inf where none ever does, nan for an
        optimizer whose step is not proportional to it."""
        if self.decisive is None:
            return inf
        known = self.step.is_proportional
        return self.decisive.most.turn.limit * self.decisive.most.rate if known else nan

    @property
    def is_equal(self) -> bool:
        """Whether all layers turn by much the same."""
        turns = [each.degrees for each in self.layers]
        return bool(turns) and max(turns) < _EQUAL * min(turns)
