"""Trace: what one run of a model showed, operation by operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, log2
from typing import Any

from depthscale.drawable import Drawable
from depthscale.network import (
    Activation,
    Add,
    Conv,
    Linear,
    Meaning,
    Norm,
    is_embedding,
    is_input,
    meanings,
)
from depthscale.run.frames import rows_frame
from depthscale.sketch import Sketch

_COLUMNS = (
    "name",
    "op",
    "module_class",
    "shape",
    "dtype",
    "size",
    "log2_activation_ms",
    "log2_gradient_ms",
    "dead",
)


_UNKNOWN = Meaning()


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
    """How alike the samples are at an output, over at most 32 of them. / samples: mean product of
    two over their mean square;
    positions: the same for two positions of the first sample, nan without a position axis; rank:
    effective rank over number."""

    samples: float
    positions: float
    rank: float


@dataclass(frozen=True, eq=False)
class TracedOp:
    """One operation of a run: id is its place in the order of running.

    name: the module path it ran under, with its own name where the module runs more than one, and
    "#k" for the k-th use.
    op: the function, e.g. "linear", "add", "batch_norm"; "input" for a model's floating inputs.
    module, module_class: innermost module and its class; call: which call of that module, counted
    over the run.
    shape, dtype: of the first output; size: elements of all outputs.
    activation: Sketch of all outputs, None where they could not be counted; gradient: of
    dE/d(output), of those outputs that are used (half a chunk's, say), None where none arrived.
    log2_gradient_norm2: [repeats] of the squared norm that arrived; empty where none did.
    reads: ids of the operations whose outputs went in, in order; edges: where gradient went out.
    consumers: autograd edges by which gradient comes in, of any operation, seen or not.
    nodes: autograd nodes inside. / settings: of the function, as far as theory asks for them;
    "frozen" where no parameter that went in is to be trained; "picked_by": operations that its
    indices and masks were made from.
    weights: for each parameter-side tensor that went in: (name or "", shape, mean square).
    log2_activation_samples: [networks] log2 of the activation's mean square in each.
    terms: [repeats] of a norm's backward pass; slopes: [repeats] of an activation's; both are empty
    unless they were asked for.
    meaning: what it is, as operations of a graph.
    likeness: of activations, norms and sums; dead: share of a rectifier's units that nothing in the
    batch activates.
    """

    id: int
    name: str
    op: str
    module: str
    module_class: str
    call: int
    shape: tuple[int, ...]
    dtype: str
    size: int
    activation: Sketch | None
    gradient: Sketch | None
    log2_gradient_norm2: tuple[float, ...]
    reads: tuple[int, ...]
    edges: tuple[Edge, ...]
    consumers: int
    nodes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[tuple[str, tuple[int, ...], float], ...] = ()
    split: NormSplit | None = None
    likeness: Likeness | None = None
    dead: float | None = None
    log2_activation_samples: tuple[float, ...] = ()
    terms: tuple[Terms, ...] = ()
    slopes: tuple[Slopes, ...] = ()
    meaning: Meaning = _UNKNOWN

    @property
    def map(self) -> Linear | Conv | None:
        """The linear map or convolution that it is."""
        return self.meaning.map

    @property
    def norm(self) -> Norm | None:
        """The norm that it is."""
        return self.meaning.norm

    @property
    def phi(self) -> Activation | None:
        """The activation that it is."""
        return self.meaning.phi

    @property
    def adds_parameter(self) -> bool:
        """Whether it adds parameters to the one thing that it reads, as a bias."""
        adds = any(isinstance(what, Add) for what in self.meaning.what)
        return adds and len(self.reads) == 1 and bool(self.weights)

    @property
    def is_input(self) -> bool:
        """Whether it is what the model was given."""
        return is_input(self.op)

    @property
    def is_embedding(self) -> bool:
        """Whether it looks up rows of a table."""
        return is_embedding(self.op)

    @property
    def log2_gradient_ms(self) -> float:
        """log2 of the mean square of dE/d(output) over all its elements and repeats; nan where no
        gradient arrived.

        Of several outputs some may be unused: their gradient is 0 and not in the sketch, but counts
        here.
        """
        if self.gradient is None or not self.gradient.count:
            return float("nan")
        whole = self.size * len(self.log2_gradient_norm2)
        return self.gradient.log2_mean_square() + (
            log2(self.gradient.count / whole) if whole else 0.0
        )

    @property
    def log2_activation_ms(self) -> float:
        return self.activation.log2_mean_square() if self.activation is not None else float("nan")

    def __repr__(self) -> str:
        sides = [
            f"{what} rms {s.rms():.4g}"
            for what, s in (("activation", self.activation), ("gradient", self.gradient))
            if s
        ]
        return (
            f"TracedOp({self.id}: {self.name} [{self.op}], "
            f"{'x'.join(map(str, self.shape)) or 'scalar'}, {', '.join(sides)})"
        )


@dataclass(frozen=True, eq=False)
class TracedParameter:
    """A parameter and its gradient. / log2_norm2 as an operation's."""

    name: str
    shape: tuple[int, ...]
    value: Sketch
    gradient: Sketch | None


@dataclass(frozen=True)
class NotSeen:
    """Something that the probe could not look at. / op: where; why: the reason, in words; nodes:
    autograd nodes concerned."""

    op: str
    why: str
    nodes: int = 0


@dataclass(frozen=True)
class Coverage:
    """How much of the run was seen. / autograd_nodes: between outputs and parameters or inputs,
    leaves not counted.

    nodes_seen: of those, inside a recorded operation or a pure reshape between two.
    """

    ops_seen: int
    ops_with_gradient: int
    autograd_nodes: int
    nodes_seen: int
    not_seen: tuple[NotSeen, ...] = ()

    @property
    def share(self) -> float:
        return self.nodes_seen / self.autograd_nodes if self.autograd_nodes else 1.0


@dataclass(frozen=True)
class ModuleNote:
    """A module of the model: class, and a word for its structure that equal ones share. / calls:
    that ran in the forward pass."""

    path: str
    module_class: str
    structure: str
    training: bool


@dataclass(frozen=True, eq=False)
class Trace(Drawable):
    """One run of a model: every operation with its activation's and its gradient's distribution.

    sinks: (operation id, [repeats] log2 squared norm of the cotangent put there); sources:
    (operation id, [repeats] log2 squared norm that reached it), measured where autograd hands the
    gradient over, apart from the operations' own.
    mode: "train", "eval" or "mixed"; loss: "independent", "shared", "output" (a model that returns
    its loss) or "callable".
    initializations: networks drawn; with more than 1, each has one repeat. / loss_scale: gradients
    are reported divided by it.
    batch: size of the first axis of the outputs. / norms: whether terms and slopes were recorded.
    """

    ops: tuple[TracedOp, ...]
    params: tuple[TracedParameter, ...]
    coverage: Coverage
    sinks: tuple[tuple[int, tuple[float, ...]], ...]
    sources: tuple[tuple[int, tuple[float, ...]], ...]
    modules: tuple[ModuleNote, ...]
    model: str
    mode: str
    loss: str
    seed: int
    repeats: int
    batch: int
    loss_scale: float = 1.0
    initializations: int = 1
    notes: tuple[str, ...] = ()
    verified: bool | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    norms: bool = False

    def __getitem__(self, name: str) -> TracedOp:
        """The operation of a name. / raises: KeyError with the nearest names."""
        from difflib import get_close_matches

        for op in self.ops:
            if op.name == name:
                return op
        near = get_close_matches(name, [op.name for op in self.ops], 3, 0.3)
        raise KeyError(f"no operation {name!r}; the nearest: {', '.join(near) or 'none'}")

    def __len__(self) -> int:
        return len(self.ops)

    def __repr__(self) -> str:
        c = self.coverage
        return (
            f"Trace({self.model}: {c.ops_seen} operations, {c.ops_with_gradient} with gradient, "
            f"{self.mode} mode, "
            f"loss={self.loss!r}, {c.nodes_seen} of {c.autograd_nodes} autograd nodes seen)"
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row an operation, by its id. / raises: MissingPackage where
        pandas is not installed."""
        return rows_frame(self.ops, _COLUMNS, "operation")


def with_meanings(ops: Sequence[TracedOp]) -> tuple[TracedOp, ...]:
    """The operations of one run, in order, with what they mean."""
    pairs = zip(ops, meanings(ops), strict=True)
    return tuple(replace(op, meaning=meaning) for op, meaning in pairs)


def log2_total(log2_values: Any) -> float:
    """log2 of a sum from log2 of its terms."""
    top = max(log2_values, default=-inf)
    if not -inf < top < inf:
        return top
    return top + log2(sum(2.0 ** (value - top) for value in log2_values))
