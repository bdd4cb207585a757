"""NetSpec: a random fully connected network described, and that description as a Graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, lru_cache
from math import inf
from numbers import Integral, Real
from typing import Any

from depthscale.errors import InvalidSpec
from depthscale.network.activations import Phi, activation
from depthscale.network.fields import LARGEST_WHOLE, described, number, one_of, shown, whole
from depthscale.network.graph import Graph, Op
from depthscale.network.initializations import INITIALIZATIONS, Initialization, initialization
from depthscale.network.names import name_and_parameter
from depthscale.network.normalizers import SPEC_NORMS, SpecNorm
from depthscale.network.operations import Add, Affine, Elementwise, Input, Linear, Norm, Operation
from depthscale.network.residual import Residual
from depthscale.numerics import gaussian

_LARGEST_GAIN = 1e150  # whose square float64 holds
CHOICES = {
    "norm": tuple(SPEC_NORMS),
    "position": ("before", "after"),
    "statistics": ("batch", "frozen", "running"),
    "weights": ("gaussian", "orthogonal", "uniform"),
}
OWN = "function "  # before the name of an activation of one's own, in a record


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """A random network: x_0 = inputs; layer l = 1..depth: y = W x + b, z = norm(y), x = phi(z).

    Every field is checked when the description is made, and says what it is in its metadata.
    activation: a name, or an elementwise function of numpy arrays or torch tensors, which the field
    then holds as an Activation.

    Raises:
        InvalidSpec: naming the field, the value and what may stand.

    Example:
        >>> spec = NetSpec(depth=2, width=8, norm="batch", batch=16)
        >>> [op.name for op in spec.graph().ops]
        ['input', 'linear1', 'norm1', 'activation1', 'linear2', 'norm2', 'activation2']
    """

    depth: int = described("number of layers", 10)
    width: int = described("neurons in every layer, and entries of an input", 1024)
    widths: tuple[int, ...] | None = described(
        "entries of an input, then neurons of each layer, where they differ", None
    )
    activation: Any = field(
        default="relu", metadata={"help": "phi, by name: relu, tanh, gelu, leaky_relu(0.2), ..."}
    )
    norm: str = described(", ".join(SPEC_NORMS), "none")
    position: str = described("of the norm, before or after the activation", "before")
    statistics: str = described(
        "of batch norm: batch; frozen (they take no gradient); running (0 and 1: eval mode)",
        "batch",
    )
    batch: int | float = described("number of inputs; inf for the limit of theory", 128)
    groups: int = described("of a group norm, or of an rms norm over groups", 32)
    eps: float = described("added to the variance under the norm's root", 0.0)
    gamma: float = described("scale after the norm; of a weight norm, the rows' norm", 1.0)
    beta: float = described("shift after the norm", 0.0)
    sigma_w2: float = described("fan_in times the variance of a weight (Kaiming for ReLU: 2)", 2.0)
    sigma_b2: float = described("variance of a bias", 0.0)
    weights: str = described(
        "law: gaussian, orthogonal or uniform; or an initialization, which sets both variances: "
        "torch (its default), "
        "xavier_normal, xavier_uniform, kaiming_normal, kaiming_uniform, lecun_normal, "
        "truncated_normal(0.02), ...",
        "gaussian",
    )
    input_variance: float = described("variance of each entry of an input", 1.0)
    residual: Residual | None = field(
        default=None, metadata={"help": "blocks around a skip connection"}
    )

    def __post_init__(self) -> None:
        whole(self, "depth", at_least=1)
        whole(self, "width", at_least=1)
        for name, choices in CHOICES.items():
            if not (name == "weights" and self._is_initialization()):
                one_of(self, name, choices)
        phi = activation(self.activation)
        if not isinstance(self.activation, str):
            object.__setattr__(self, "activation", phi)
        if not (isinstance(self.batch, Real) and self.batch == inf):
            whole(self, "batch", at_least=1)
        for name in ("eps", "sigma_w2", "sigma_b2"):
            number(self, name, at_least=0.0)
        for name in ("gamma", "beta"):
            number(self, name)
        number(self, "input_variance", above=0.0)
        self._check_widths()
        self._check_norm()
        self.initialization()
        if not (self.residual is None or isinstance(self.residual, Residual)):
            raise InvalidSpec(f"residual must be a Residual or None, got {self.residual!r}")

    def _check_widths(self) -> None:
        if self.widths is None:
            return
        if not isinstance(self.widths, tuple | list) or len(self.widths) != self.depth + 1:
            raise InvalidSpec(
                f"widths must be {self.depth + 1} whole numbers, the input's and one for each "
                f"layer; got {self.widths!r}"
            )
        if self.residual is not None:
            raise InvalidSpec("a residual network keeps its width; give width, not widths")
        object.__setattr__(self, "widths", tuple(self.widths))
        for each in self.widths:
            if (
                isinstance(each, bool)
                or not isinstance(each, Integral)
                or not 1 <= int(each) <= LARGEST_WHOLE
            ):
                raise InvalidSpec(f"widths must be whole numbers of at least 1, got {shown(each)}")
        object.__setattr__(self, "width", int(self.widths[0]))

    def _is_initialization(self) -> bool:
        """Whether `weights` names an initialization, which sets the variances itself. / raises:
        InvalidSpec where both do."""
        named = isinstance(self.weights, str) and self.weights not in CHOICES["weights"]
        if not (named and name_and_parameter(self.weights)[0] in INITIALIZATIONS):
            return False
        if (self.sigma_w2, self.sigma_b2) != (2.0, 0.0):
            raise InvalidSpec(
                f"weights {self.weights!r} sets sigma_w2 and sigma_b2; leave those out, or name a "
                "law"
            )
        return True

    def initialization(self, layer: int = 1) -> Initialization:
        """What a layer's weights and biases are drawn from."""
        if not self._is_initialization():
            weights: Any = self.weights  # checked: one of the three
            return Initialization(self.sigma_w2, self.sigma_b2, weights)
        return initialization(self.weights, self.width_of(layer - 1), self.width_of(layer))

    def width_of(self, layer: int) -> int:
        """Neurons of a layer; of layer 0, entries of an input."""
        return self.widths[layer] if self.widths else self.width

    def _check_norm(self) -> None:
        if abs(self.gamma) > _LARGEST_GAIN or abs(self.beta) > _LARGEST_GAIN:
            raise InvalidSpec(
                f"gamma and beta must lie within ±{_LARGEST_GAIN:g}, got {self.gamma:g} and "
                f"{self.beta:g}"
            )
        norm = self.normalizer
        if self._varies and self.batch < norm.fewest:
            raise InvalidSpec(
                f"norm {self.norm!r} over a batch of {self.batch} has no variance; take at least "
                f"{norm.fewest} samples"
            )
        if norm.grouped:
            whole(self, "groups", at_least=1)
        for width in () if norm.row is None or norm.mixes_samples else self._norm_widths:
            self._check_entries(norm, width)

    def _check_entries(self, norm: SpecNorm, width: int) -> None:
        """raises: InvalidSpec where a sample has too few entries for its norm."""
        if norm.grouped and (width % self.groups or width // self.groups < norm.fewest):
            raise InvalidSpec(
                f"{self.groups} groups do not divide a width of {width} into groups of "
                f"{norm.fewest} or more"
            )
        if width < norm.fewest:
            raise InvalidSpec(
                f"norm {self.norm!r} over a width of {width} has no variance; take at least "
                f"{norm.fewest} neurons"
            )

    @property
    def normalizer(self) -> SpecNorm:
        """What its norm is."""
        return SPEC_NORMS[self.norm]

    @property
    def _norm_widths(self) -> tuple[int, ...]:
        """Of what a norm is over: of each layer."""
        return self.widths[1:] if self.widths else (self.width,)

    @property
    def _varies(self) -> bool:
        """Whether its norm's statistics are those of the batch."""
        return self.normalizer.mixes_samples and self.statistics != "running"

    def graph(self) -> Graph:
        """This network as a Graph; operations are named like linear3."""
        return _graph(self)

    def _build(self) -> Graph:
        ops = [Op("input", Input(self.input_variance), (), 0)]
        for layer in range(1, self.depth + 1):
            start = len(ops) - 1
            for name, what in self._block(layer):
                inputs = (start, len(ops) - 1) if isinstance(what, Add) else (len(ops) - 1,)
                ops.append(Op(f"{name}{layer}", what, inputs, layer))
        return Graph(tuple(ops), self.batch)

    def _block(self, layer: int) -> list[tuple[str, Operation]]:
        """The operations of one layer, in order; an Add joins the layer's input."""
        linear = self._linear(layer)
        phi: list[tuple[str, Operation]] = [("activation", Elementwise(self.activation))]
        norm = self._norm(layer)
        nonlinear = [*norm, *phi] if self.position == "before" else [*phi, *norm]
        if self.residual is None:
            return [("linear", linear), *nonlinear]
        branch = self.residual
        gains = [branch.inner_gain] * (branch.layers - 1) + [branch.last_gain]
        linears: list[tuple[str, Operation]] = [
            ("linear", replace(linear, sigma_w2=linear.sigma_w2 * g**2)) for g in gains
        ]
        before = nonlinear if branch.form == "pre" else phi
        add: list[tuple[str, Operation]] = [("add", Add(branch.scale))]
        return [
            *(each for one in linears for each in (*before, one)),
            *add,
            *(norm if branch.form == "post" else []),
        ]

    def _linear(self, layer: int) -> Linear:
        drawn = self.initialization(layer)
        norm, variance = self.normalizer, drawn.sigma_w2
        if norm.rows != "free":
            variance = self.gamma**2 / (_variance(self.activation) if norm.by_activation else 1.0)
        return Linear(
            self.width_of(layer - 1),
            self.width_of(layer),
            variance,
            drawn.sigma_b2,
            drawn.weights,
            norm.rows,
        )

    def _norm(self, layer: int) -> list[tuple[str, Operation]]:
        """The norm of preactivations, with gain and shift if there are any; nothing for the weight
        norms."""
        kind, row = self.normalizer.kind, self.normalizer.row
        if kind is None or row is None:
            return []
        size = inf
        if row.mixes_samples:
            size = self.batch
        elif self.normalizer.grouped:
            size = self.width_of(layer) // self.groups
        statistics = self.statistics if self.normalizer.has_statistics else "batch"
        norm = Norm(kind, size, self.eps, statistics)  # pyright: ignore[reportArgumentType]
        affine = (
            [] if (self.gamma, self.beta) == (1, 0) else [("affine", Affine(self.gamma, self.beta))]
        )
        return [("norm", norm), *affine]

    def without_rate(self) -> str:
        """Why the gradient of such a network has no rate of growth, or nothing.

        source: arXiv:1902.08129, section 3: over B samples B sigma^2 is chi-squared with B - 1
        degrees of freedom.
        """
        if not self._varies or self.eps or self.residual or self.batch > 3:
            return ""
        if self.batch == 2 and self.statistics == "batch" and self.position == "before":
            return (
                "over 2 samples Batch Norm gives only +1 and -1: the gradient below the last "
                "one is exactly 0 and has no rate"
            )
        return (
            f"over {self.batch} samples the mean of 1/sigma^2 is infinite, and so is the "
            "gradient's mean square: it has no rate"
        )

    def record(self) -> dict[str, Any]:
        """The fields as plain values; an infinite batch as "inf", an activation of one's own as
        "function NAME"."""
        phi = (
            self.activation if isinstance(self.activation, str) else f"{OWN}{self.activation.name}"
        )
        plain = {each.name: getattr(self, each.name) for each in fields(self)} | {"activation": phi}
        residual = {"residual": asdict(self.residual)} if self.residual else {}
        return plain | residual | ({"batch": "inf"} if self.batch == inf else {})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "NetSpec":
        """The network of which `record` is the record. / raises: InvalidSpec."""
        residual = record.get("residual")
        batch = inf if record.get("batch") == "inf" else record.get("batch", cls.batch)
        if str(phi := record.get("activation")).startswith(OWN):
            raise InvalidSpec(
                f"the record names its activation, {phi}, and does not hold it; make the NetSpec "
                "with that function"
            )
        try:
            return cls(
                **{**record, "batch": batch, "residual": Residual(**residual) if residual else None}
            )
        except TypeError as unknown:
            raise InvalidSpec(f"no record of a network: {unknown}") from None


@lru_cache(maxsize=16)
def _graph(spec: NetSpec) -> Graph:
    return spec._build()


@cache
def _variance(name: Phi) -> float:
    """Variance of phi(g), g standard normal, by which scaled weight standardization divides
    (arXiv:2102.06171, section 3)."""
    phi = activation(name)
    mean = gaussian.expect(phi.phi, 1.0, phi.breaks).value
    return gaussian.expect(lambda x: phi.phi(x) ** 2, 1.0, phi.breaks).value - mean**2
