"""Turn: what the next step of the user's optimizer does to one parameter."""

from dataclasses import dataclass
from enum import StrEnum

from depthscale.network import Count


class Invariance(StrEnum):
    """Of what in a parameter the loss does not see the size."""

    ROWS = "rows"
    COLUMNS = "columns"
    WHOLE = "whole"
    NONE = "none"


@dataclass(frozen=True)
class Turn:
    """What one step does to one parameter.

    Attributes:
        relative: |update| / |weight|; inf of weights that are 0.
        degrees: angle between the weight before and after; nan of weights that are 0.
        norm_growth: |weight after| / |weight before|.
        limit: factor of the learning rate at which the step turns it by 45 degrees, for a step
            that is proportional to the rate; inf where none does.
        along: root mean square, over what `invariance` names, of <w, dE/dw> / (|w| |dE/dw|); over
            rows where it names nothing. 0 where the loss does not see the size of w.
        invariance: of what in it the loss does not see the size.
        degrees_after: angle of the same step, from the same state, where the size that the loss
            does not see has grown by `norm_growth` and the gradient, therefore, has shrunk by it;
            nan where there is no such size.
        group: of the optimizer.
    """

    relative: float
    degrees: float
    norm_growth: float
    limit: float
    along: float
    invariance: Invariance
    degrees_after: float
    group: Count

    @property
    def is_scale_invariant(self) -> bool:
        """Whether the loss does not see its size."""
        return self.invariance is not Invariance.NONE


@dataclass(frozen=True)
class OptimizerStep:
    """The step of an optimizer, taken by its own code on copies.

    Attributes:
        optimizer: its class.
        rates: of its groups; nan of one without a learning rate.
        is_coupled: whether what it does to one tensor depends on others, so that all copies were
            stepped together.
        is_proportional: whether the step that turns a weight by 45 degrees was found by the
            optimizer's own code at the rate that `Turn.limit` says.
        sustained: update over the first one, once a gradient has stayed the same for long: 1 / (1
            - momentum) of SGD; nan where it was not looked at.
        hooks: of the optimizer that would run with the user's step and were left out.
        refused: why there is no step, or nothing.
    """

    optimizer: str
    rates: tuple[float, ...] = ()
    is_coupled: bool = False
    is_proportional: bool = False
    sustained: float = float("nan")
    hooks: Count = 0
    refused: str = ""
