"""NetSpec: a random fully connected network described, and that description as a Graph."""

from dataclasses import asdict, dataclass, field
from math import inf, isfinite, isnan
from numbers import Integral, Real
from typing import Any

from depthscale.activations import activation
from depthscale.errors import InvalidSpec
from depthscale.graph import Elementwise, Graph, Input, Linear, Norm, Op

CHOICES = {
    "norm": ("none", "batch"),
    "position": ("before",),
    "statistics": ("batch", "frozen"),
    "weights": ("gaussian", "orthogonal"),
}
SMALLEST_BATCH = {"none": 1, "batch": 2}  # samples that a norm needs to have statistics


def _described(text: str, default: Any) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """x_0 = inputs; layer l = 1..depth: y = W x + b, z = norm(y), x = phi(z). Weights are drawn at random.

    Every field is checked when the description is made. / raises: InvalidSpec, naming the field, the value and what may stand.
    """

    depth: int = _described("number of layers", 10)
    width: int = _described("neurons in every layer, and entries of an input", 1024)
    activation: str = _described("phi, by name", "relu")
    norm: str = _described("normalization of the preactivation: none or batch", "none")
    position: str = _described("of the norm, against the activation: before", "before")
    statistics: str = _described("batch, or frozen: mean and variance take no gradient", "batch")
    batch: int | float = _described("number of inputs; inf for the limit of theory", 128)
    eps: float = _described("added to the variance under the norm's root", 0.0)
    gamma: float = _described("scale after the norm", 1.0)
    beta: float = _described("shift after the norm", 0.0)
    sigma_w2: float = _described("fan_in times the variance of a weight (Kaiming for ReLU: 2)", 2.0)
    sigma_b2: float = _described("variance of a bias", 0.0)
    weights: str = _described("gaussian or orthogonal", "gaussian")
    input_variance: float = _described("variance of each entry of an input", 1.0)
    residual: None = _described("none yet", None)

    def __post_init__(self) -> None:
        _whole(self, "depth", at_least=1)
        _whole(self, "width", at_least=1)
        for name, choices in CHOICES.items():
            _one_of(self, name, choices)
        activation(self.activation)
        if self.batch != inf:
            _whole(self, "batch", at_least=1)
        for name in ("eps", "sigma_w2", "sigma_b2"):
            _number(self, name, at_least=0.0)
        for name in ("gamma", "beta"):
            _number(self, name)
        _number(self, "input_variance", above=0.0)
        if self.batch < SMALLEST_BATCH[self.norm]:
            raise InvalidSpec(f"norm {self.norm!r} over a batch of {self.batch} has no variance; take at least 2 samples")
        if self.residual is not None:
            raise InvalidSpec(f"residual must be None, got {self.residual!r}; residual networks cannot be described yet")

    def graph(self) -> Graph:
        """This network as a Graph; operations are named like linear3."""
        norm = Norm("batch", self.batch, self.eps, self.gamma, self.beta, self.statistics)  # pyright: ignore[reportArgumentType]
        block: list[tuple[str, Linear | Norm | Elementwise]] = [
            ("linear", Linear(self.width, self.width, self.sigma_w2, self.sigma_b2, self.weights)),
            *([("norm", norm)] if self.norm == "batch" else []),
            ("activation", Elementwise(self.activation)),
        ]
        ops = [Op("input", Input(self.input_variance), (), 0)]
        for layer in range(1, self.depth + 1):
            for name, what in block:
                ops.append(Op(f"{name}{layer}", what, (len(ops) - 1,), layer))
        return Graph(tuple(ops), self.batch)

    def record(self) -> dict[str, Any]:
        """The fields as plain values; an infinite batch as "inf"."""
        return asdict(self) | ({"batch": "inf"} if self.batch == inf else {})


def _one_of(spec: NetSpec, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(spec, name)
    if value not in choices:
        raise InvalidSpec(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")


def _whole(spec: NetSpec, name: str, *, at_least: int) -> None:
    value = getattr(spec, name)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise InvalidSpec(f"{name} must be a whole number of at least {at_least}, got {value!r}")


def _number(spec: NetSpec, name: str, *, at_least: float = -inf, above: float = -inf) -> None:
    value = getattr(spec, name)
    valid = isinstance(value, Real) and not isinstance(value, bool) and not isnan(value) and isfinite(value)
    if not valid or value < at_least or value <= above:
        bound = f" of at least {at_least:g}" if at_least > -inf else f" above {above:g}" if above > -inf else ""
        raise InvalidSpec(f"{name} must be a finite number{bound}, got {value!r}")
