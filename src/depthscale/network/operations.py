"""Operations: what a network is made of, each with the numbers that theory asks for."""

from dataclasses import dataclass
from typing import Any, Literal

from depthscale.network.fields import Amount, Count, Positive
from depthscale.network.normalizers import NORMALIZERS, Normalizer, NormKind
from depthscale.network.window import Window

Statistics = Literal["batch", "frozen", "running"]


@dataclass(frozen=True)
class Input:
    """Samples with independent, centred Gaussian entries. / variance: of each entry; correlation:
    between any two samples.

    size: of an image or a sequence; () for a vector. near: correlation of two of its positions,
    None: as of two samples.
    """

    variance: Amount
    correlation: float = 0.0
    size: tuple[Positive, ...] = ()
    near: float | None = None


@dataclass(frozen=True)
class Embedding:
    """A drawn vector for each token of a sequence. / variance: of an entry; vocabulary: tokens, of
    which each is as likely."""

    variance: Amount
    vocabulary: Amount
    size: tuple[Positive, ...] = ()


@dataclass(frozen=True)
class Linear:
    """y = W x + b with independent, centred weights. / sigma_w2: fan_in times the weights'
    variance; sigma_b2: the biases'.

    rows: of W: "free" as drawn; "unit" each scaled to norm sqrt(sigma_w2) (weight norm);
    "standardized" moreover to mean 0 (weight standardization), so that y does not see the mean over
    x's entries.
    """

    fan_in: Positive
    fan_out: Positive
    sigma_w2: Amount
    sigma_b2: Amount
    weights: str = "gaussian"
    rows: Literal["free", "unit", "standardized"] = "free"


@dataclass(frozen=True)
class Conv:
    """A convolution with independent, centred weights. / sigma_w2: fan_in times the weights'
    variance; sigma_b2: the biases'.

    rows: as of Linear, a row being the weights of one output channel.
    """

    channels_in: Positive
    channels_out: Positive
    window: Window
    sigma_w2: Amount
    sigma_b2: Amount = 0.0
    groups: Positive = 1
    weights: str = "gaussian"
    rows: Literal["free", "unit", "standardized"] = "free"

    @property
    def fan_in(self) -> int:
        return self.channels_in * self.window.taps // self.groups

    @property
    def fan_out(self) -> int:
        return self.channels_out * self.window.taps // self.groups


@dataclass(frozen=True)
class Pool:
    """The mean ("average") or the largest ("max") of each window."""

    kind: Literal["average", "max"]
    window: Window


@dataclass(frozen=True)
class Flatten:
    """All positions of a sample as entries of one vector."""


@dataclass(frozen=True)
class Attention:
    """softmax(scale q k^T / sqrt(entries of a head)) v of its inputs q, k and v.

    Args:
        causal: Each position looks at those up to itself.
        window: At so many of those at most.
        shared_by: Heads of queries that read one head of keys and values.
        keep: Each weight is kept with this probability and then divided by it, else 0.
    """

    heads: Positive = 1
    causal: bool = False
    window: int | None = None
    scale: float = 1.0
    shared_by: int = 1
    keep: float = 1.0


@dataclass(frozen=True)
class Part:
    """The first of the entries, or of the positions of a sequence. / share: of all that there
    are."""

    share: Amount
    of: Literal["entries", "positions"] = "entries"


@dataclass(frozen=True)
class Prepend:
    """Positions that are the same for all samples, as a class token, before a sequence's own.

    Args:
        positions: How many.
        variance: Of their entries.
    """

    positions: int
    variance: float


@dataclass(frozen=True)
class Pad:
    """Zeros around an image or a sequence.

    Args:
        size: Positions of a sample along each axis.
        before, after: Zeros on either side, along each axis.
    """

    size: tuple[Positive, ...]
    before: tuple[Count, ...]
    after: tuple[Count, ...]

    @property
    def size_out(self) -> tuple[int, ...]:
        return tuple(map(sum, zip(self.size, self.before, self.after, strict=True)))


@dataclass(frozen=True)
class Repeat:
    """Each entry several times, as heads of keys are that several heads of queries read."""

    times: int


@dataclass(frozen=True)
class Unknown:
    """An operation that no rule is for. / name: what it is called where it was met."""

    name: str


@dataclass(frozen=True)
class Norm:
    """z = (y - mean) / sqrt(variance + eps); "rms" takes no mean away. / size: values that the
    statistics are over.

    batch: over `size` points, the samples or, in an image, the samples' positions; layer, rms: over
    a sample's entries (size inf: many), rms also over groups of `size` of them; group: over `size`
    entries of a sample, positions included; instance: over the `size` positions of a sample.
    statistics: "frozen" ones take part in the forward pass alone; "running" ones are 0 and 1, as at
    initialization.
    """

    kind: NormKind
    size: Amount
    eps: Amount = 0.0
    statistics: Statistics = "batch"

    @property
    def row(self) -> Normalizer:
        """What a norm of this kind does."""
        return NORMALIZERS[self.kind]


@dataclass(frozen=True)
class Affine:
    """gain x + shift."""

    gain: float
    shift: float


@dataclass(frozen=True)
class Elementwise:
    """x = phi(z). / activation: a name in the table of activations, or an Activation of one's
    own."""

    activation: Any


@dataclass(frozen=True)
class Add:
    """stream + scale * branch, its two inputs in this order."""

    scale: float = 1.0


@dataclass(frozen=True)
class Multiply:
    """The product of its two inputs, entry by entry."""


@dataclass(frozen=True)
class Dropout:
    """Each entry kept with probability `keep` and then divided by it, else 0."""

    keep: Amount


Operation = (
    Input
    | Embedding
    | Linear
    | Conv
    | Norm
    | Affine
    | Elementwise
    | Add
    | Multiply
    | Dropout
    | Pool
    | Flatten
    | Attention
    | Unknown
    | Part
    | Prepend
    | Repeat
    | Pad
)
