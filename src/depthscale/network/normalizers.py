"""The normalizers: what each takes a mean and a variance over, its words, and how torch and NetSpec
name it. One row a kind.

Whoever asks something of a norm asks its row: `norm.row.centred`, never its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NormKind = Literal["batch", "layer", "rms", "group", "instance"]
Over = Literal["samples", "entries", "groups", "positions"]


@dataclass(frozen=True)
class NormCall:
    """How torch calls a norm.

    signature: the arguments of torch.nn.functional's function, in order; native: those of torch's
    own of the same name, where it orders them otherwise.
    settings: names of the plain arguments that are kept, with their defaults (None: has none).
    """

    signature: tuple[str, ...]
    settings: Mapping[str, Any]
    native: tuple[str, ...] = ()

    def place(self, argument: str, native: bool = False) -> int | None:
        """Position of an argument; None where the function has none of that name."""
        names = self.native if native and self.native else self.signature
        return names.index(argument) if argument in names else None


@dataclass(frozen=True)
class Normalizer:
    """One kind of norm: z = (y - mean) / sigma, or y / sigma where it takes no mean away.

    name: for people.
    over: what one mean and one sigma are over: "samples" (of one channel, positions included),
    "entries" (of a sample, at each position), "groups" (of a sample's channels, positions
    included), "positions" (of one channel of one sample).
    units: what has a sigma of its own.
    fewest: values without which there is nothing to divide by.
    finite_law: whether theory tells few entries from many.
    has_statistics: whether it can hold running statistics.
    gain_by_entry: whether its gain is one for each entry, not one for each channel.
    calls: of torch's functions, by name.
    """

    name: str
    over: Over
    units: str = "samples"
    centred: bool = True
    fewest: int = 2
    finite_law: bool = True
    has_statistics: bool = False
    gain_by_entry: bool = False
    calls: Mapping[str, NormCall] = field(default_factory=dict)

    @property
    def mixes_samples(self) -> bool:
        """Whether a sample's output depends on the other samples."""
        return self.over == "samples"

    @property
    def within_neuron(self) -> bool:
        """Whether one sigma is over the values of one neuron (or channel), not over several."""
        return self.over in ("samples", "positions")


def _with_statistics(switch: str, default: bool) -> NormCall:
    """Batch and instance norm, which share their order of arguments."""
    ends = ("weight", "bias", "running_mean", "running_var")
    last = (switch, "momentum", "eps")
    return NormCall(
        ("input", *ends[2:], *ends[:2], *last),
        {switch: default, "momentum": None, "eps": 1e-5},
        ("input", *ends, *last),
    )


NORMALIZERS: dict[NormKind, Normalizer] = {
    "batch": Normalizer(
        "Batch Norm",
        over="samples",
        units="channels",
        has_statistics=True,
        calls={"batch_norm": _with_statistics("training", False)},
    ),
    "layer": Normalizer(
        "Layer Norm",
        over="entries",
        finite_law=False,
        gain_by_entry=True,
        calls={
            "layer_norm": NormCall(
                ("input", "normalized_shape", "weight", "bias", "eps"),
                {"normalized_shape": None, "eps": 1e-5},
            )
        },
    ),
    "rms": Normalizer(
        "RMS Norm",
        over="entries",
        centred=False,
        fewest=1,
        gain_by_entry=True,
        calls={
            "rms_norm": NormCall(
                ("input", "normalized_shape", "weight", "eps"),
                {"normalized_shape": None, "eps": None},
            )
        },
    ),
    "group": Normalizer(
        "Group Norm",
        over="groups",
        calls={
            "group_norm": NormCall(
                ("input", "num_groups", "weight", "bias", "eps"),
                {"num_groups": None, "eps": 1e-5},
            )
        },
    ),
    "instance": Normalizer(
        "Instance Norm",
        over="positions",
        units="channels and samples",
        calls={"instance_norm": _with_statistics("use_input_stats", True)},
    ),
}

NORM_CALLS: dict[str, tuple[NormKind, NormCall]] = {
    function: (kind, call)
    for kind, row in NORMALIZERS.items()
    for function, call in row.calls.items()
}  # torch's function -> what it computes


@dataclass(frozen=True)
class SpecNorm:
    """What NetSpec's `norm` of a name is. / name: for people.

    kind: of the norm of preactivations; None where there is none. grouped: whether it is over
    groups of a sample's entries.
    rows: what it makes of the weights' rows; by_activation: whether these are divided by the
    standard deviation of the activation, too.
    """

    name: str
    kind: NormKind | None = None
    grouped: bool = False
    rows: Literal["free", "unit", "standardized"] = "free"
    by_activation: bool = False

    @property
    def row(self) -> Normalizer | None:
        return None if self.kind is None else NORMALIZERS[self.kind]

    @property
    def mixes_samples(self) -> bool:
        return self.row is not None and self.row.mixes_samples

    @property
    def is_over_few(self) -> bool:
        """Whether one sigma is over the batch or over a group: finitely many values."""
        return self.grouped or self.mixes_samples

    @property
    def fewest(self) -> int:
        """Values that one sigma is over, at least. A group of one is refused without a mean, too:
        what is left are signs."""
        return 1 if self.row is None else max(self.row.fewest, 2 if self.grouped else 1)


SPEC_NORMS: dict[str, SpecNorm] = {
    "none": SpecNorm("no norm"),
    "batch": SpecNorm("Batch Norm", "batch"),
    "layer": SpecNorm("Layer Norm", "layer"),
    "rms": SpecNorm("RMS Norm", "rms"),
    "group": SpecNorm("Group Norm", "group", grouped=True),
    "weight": SpecNorm("weight norm", rows="unit"),
    "weight_standardized": SpecNorm("weight standardization", rows="standardized"),
    "scaled_weight_standardized": SpecNorm(
        "scaled weight standardization", rows="standardized", by_activation=True
    ),
    "group_rms": SpecNorm("RMS Norm over groups", "rms", grouped=True),
}
