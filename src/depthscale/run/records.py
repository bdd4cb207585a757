"""Records of what a probe reads at an operation, at a parameter and of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf, log2, nan

from depthscale.network import Count
from depthscale.run.turns import Turn
from depthscale.sketch import Sketch


@dataclass(frozen=True)
class Edge:
    """A path by which an operation's gradient leaves it. / source: id of the operation whose output
    it reads.

    log2_norm2: [repeats] log2 of the squared norm of what leaves there, seen at the operation's own
    autograd nodes; -inf for 0.
    size: number of its elements.
    """

    source: int
    log2_norm2: tuple[float, ...]
    size: int

    @cached_property
    def log2_left(self) -> float:
        """log2 of the squared norm of what leaves, over all passes."""
        return mean_over_repeats(self.log2_norm2)


@dataclass(frozen=True)
class NormSplit:
    """A train-mode Batch Norm's backward gain, |dE/dy|^2 / |dE/dz|^2, taken apart; all three are
    shares of |dE/dz|^2.

    direct: (gamma / sigma)^2, each channel weighted by its gradient; mean_term, variance_term: what
    the paths through the batch mean and through the batch variance take away from it: gain = direct
    - mean_term - variance_term, exactly.
    inverse_sigma2: mean of 1 / sigma^2 over channels; sigma2: mean of sigma^2.
    """

    direct: float
    mean_term: float
    variance_term: float
    inverse_sigma2: float
    sigma2: float


@dataclass(frozen=True)
class Terms:
    """Numbers of one norm in one backward pass, with z its normalized values and dE/dz the gradient
    there, before gain and shift.

    dE/dy = (1/sigma) [g - <g> - z <z g>], g = dE/dz. Means over sigma are over neurons (over
    samples, for norms over a sample's entries). / through_mean, through_sigma: shares of |dE/dz|^2
    that the two terms take away; nan for statistics that are constants. rest: share of |sigma
    dE/dy|^2 that the formula does not give; rounding where dE/dy is what left this norm.
    variance: mean of sigma^2, eps included. spread: variance of sigma^2 over the square of its
    mean. inverse: mean of 1 / sigma^2.
    along_z: correlation of z and dE/dz, over all their entries. direct: |dE/dz / sigma|^2 over
    |dE/dz|^2, which is `inverse` where sigma knows nothing of the gradient. gain: |dE/dy|^2 over
    |dE/dz|^2. scale: |dE/dz|^2 over |dE/d(output)|^2, what the norm's own gain makes of it.
    """

    through_mean: float
    through_sigma: float
    rest: float
    variance: float
    spread: float
    inverse: float
    along_z: float
    direct: float
    gain: float
    scale: float = 1.0

    @property
    def flatness(self) -> float:
        """Mean of 1 / sigma^2 times the mean of sigma^2: 1 where all sigma are equal."""
        return self.inverse * self.variance


@dataclass(frozen=True)
class Slopes:
    """An activation's derivative phi' in one backward pass.

    mean_square: of phi' over all entries, the activation's gain if slopes knew nothing of the
    gradient that they multiply.
    correlation: of phi'^2 with that gradient's square, over all entries; nan where one of the two
    is constant.
    """

    mean_square: float
    correlation: float


@dataclass(frozen=True)
class Likeness:
    """How alike the samples are at an output, over at most 32 of them.

    Attributes:
        samples: mean product of two over their mean square.
        positions: the same for two positions of the first sample; nan without a position axis.
        rank: effective rank over number.
        aligned_samples, aligned_positions: mean cosine of two, 1 where all take one direction,
            whatever their norms.
        are_equal: whether all samples are, bit for bit; looked at where they come in.
        largest_feature: of a table that comes in, share of its mean square in one column.
    """

    samples: float
    positions: float
    rank: float
    aligned_samples: float = nan
    aligned_positions: float = nan
    are_equal: bool = False
    largest_feature: float = nan


@dataclass(frozen=True)
class Shares:
    """How a softmax shares out, over some of its rows.

    Attributes:
        values: of a row.
        entropy: of a row over the logarithm of its values that are not 0, in the mean: 1 where all
            are equal, 0 where one has it all.
        one_hot: share of rows in which one value has 0.99 or more.
        spread: standard deviation of a row's shares over their mean, of the row with most: of
            scores that differ little theirs.
    """

    values: float
    entropy: float
    one_hot: float
    spread: float


class FateKind(StrEnum):
    """What becomes of a parameter in a step of training, in the state that the user left it in."""

    MOVES = "moves"
    ZERO = "zero"
    NONE = "none"
    FROZEN = "frozen"
    UNREGISTERED = "unregistered"
    NOT_IN_OPTIMIZER = "not in optimizer"


class FateReason(StrEnum):
    """Why a parameter gets no gradient, or one that is exactly 0."""

    UNUSED = "unused"  # no operation reads it
    BESIDE = "beside"  # what reads it does not lead to what is differentiated
    CHECKPOINT = "checkpoint"  # a reentrant one, none of whose inputs requires a gradient
    NO_GRAD = "no_grad"  # what reads it ran where autograd does not look
    INDEX = "index"  # only an index or a comparison was taken of it
    DETACH = "detach"  # its values go on, no gradient comes back
    SWALLOWED = "swallowed"  # a custom Function returns None for it
    ZERO_GRADIENT = "zero gradient"  # an operation hands back exactly 0
    ZERO_INPUT = "zero input"  # what it multiplies is exactly 0
    ZERO_FACTOR = "zero factor"  # parameters that it is multiplied with are exactly 0
    MASKED = "masked"  # of what it goes into its own part gets 0
    OUTSIDE = "outside"  # its values leave torch (item, tolist, numpy)
    ROUNDED = "rounded"  # it is rounded before it is used
    WAITS = "waits"  # for weights that are 0 and learn first
    EMPTY = "empty"  # nothing was given to what reads it
    UNDERFLOW = "underflow"  # of the products that make it, in the model's own type
    UNKNOWN = "unknown"  # seen, as by a second run, and not explained


@dataclass(frozen=True)
class Fate:
    """What becomes of a parameter, and by which operation.

    Where gradients of parameters were not counted, one that is 0 only because its own products
    underflow stands as one that moves.

    Args:
        kind: As the user's own step would do it.
        op: Id of the operation that made it so; None where none did.
        reason: Why, of "none" and "zero".
    """

    kind: FateKind
    op: Count | None = None
    reason: FateReason | None = None


@dataclass(frozen=True, eq=False)
class TracedParameter:
    """A parameter, what becomes of it, and its values and gradient where they were asked for.

    Attributes:
        same_as: name of an earlier parameter of the same values, bit for bit; "" of those whose
            values are all equal, as of biases that begin at 0.
        turn: what the next step of the optimizer does to it, where a probe was given a loss and
            an optimizer.
        update: |w' - w| / |w| of the step that an optimizer made; None where none was seen.
    """

    name: str
    shape: tuple[Count, ...]
    value: Sketch | None
    gradient: Sketch | None
    fate: Fate
    same_as: str = ""
    turn: Turn | None = None
    update: float | None = None


@dataclass(frozen=True)
class NotSeen:
    """Something that the probe could not look at. / op: where; why: the reason, in words; nodes:
    autograd nodes concerned."""

    op: str
    why: str
    nodes: Count = 0


@dataclass(frozen=True)
class Coverage:
    """How much of the run was seen. / autograd_nodes: between outputs and parameters or inputs,
    leaves not counted.

    nodes_seen: of those, inside a recorded operation or a pure reshape between two.
    """

    ops_seen: Count
    ops_with_gradient: Count
    autograd_nodes: Count
    nodes_seen: Count
    not_seen: tuple[NotSeen, ...] = ()

    @property
    def share(self) -> float:
        return self.nodes_seen / self.autograd_nodes if self.autograd_nodes else 1.0


def log2_total(log2_values: Sequence[float]) -> float:
    """log2 of a sum from log2 of its terms."""
    top = max(log2_values, default=-inf)
    if len(log2_values) == 1 or not -inf < top < inf:
        return top
    return top + log2(sum(2.0 ** (value - top) for value in log2_values))


def mean_over_repeats(log2_values: tuple[float, ...]) -> float:
    """log2 of the mean of what is given in log2."""
    return log2_total(log2_values) - log2(len(log2_values)) if log2_values else -inf
