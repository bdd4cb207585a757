"""One network of a study: trained for a moment, and seen on the way by a probe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp, isfinite, log
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from depthscale.errors import InvalidSpec, UnreliableGrowth
from depthscale.network import Linear, NetSpec
from depthscale.sweeps.grid import GridValue

if TYPE_CHECKING:
    from torch import Tensor, nn, optim

    from depthscale._explain import Dataset

# What stands between the layers, as fields of NetSpec. ReLU, Kaiming weights, no biases.
NETWORKS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "vanilla": {"norm": "none"},
        "batch norm": {"norm": "batch", "eps": 1e-5},
        "batch norm, shift 1": {"norm": "batch", "eps": 1e-5, "beta": 1.0},
    }
)
SEEN = {"start": 0, "step1": 1, "step5": 5}  # steps after which a network is probed; and the end
_WARM = 1 / 3  # of all steps, over which warmup raises the rate
_LAST = 0.1  # of all steps, over which the training accuracy is taken


@dataclass(frozen=True)
class Trial:
    """A network and how it is trained."""

    network: str
    depth: int
    optimizer: str
    rate: float


def trial(network: str, depth: int, optimizer: str, rate: float) -> Trial:
    """raises: InvalidSpec for what the tables do not have."""
    for name, table in ((network, NETWORKS), (optimizer, OPTIMIZERS)):
        if name not in table:
            raise InvalidSpec(f"there is no {name!r}; choose of {', '.join(table)}")
    return Trial(network, depth, optimizer, rate)


@dataclass(frozen=True)
class Training:
    """How every network of a study is trained. / data: folder of Fashion-MNIST's idx files; None
    for scikit-learn's digits."""

    width: int = 100
    batch: int = 64
    steps: int = 300
    data: str | None = None

    def spec(self, network: str, depth: int, pixels: int | None = None) -> NetSpec:
        """The description of a network, on so many pixels."""
        widths = (pixels, *[self.width] * depth) if pixels else None
        fields = {"widths": widths} if widths else {"width": self.width}
        return NetSpec(depth=depth, batch=self.batch, **fields, **NETWORKS[network])

    def __call__(self, made: Trial, seed: int) -> dict[str, GridValue]:
        """Columns: accuracy on held-out samples, train_accuracy over the last tenth, diverged;
        at the start, after steps 1 and 5, and at the end rate_*: growth of the gradient per layer,
        ratio_*: the RMS gradient's change over the whole steps of depth, and grown_*: the first
        layer's norm over that at the start."""
        import torch

        data = _read(self.data)
        model = _built(self.spec(made.network, made.depth, data.train.shape[1]), data, seed)
        first = next(model.parameters())
        begun = float(first.detach().norm())
        step = OPTIMIZERS[made.optimizer](model, made.rate, self.steps)
        drawn = torch.Generator().manual_seed(seed)
        columns: dict[str, GridValue] = {}
        hits: list[float] = []

        def look(when: str) -> None:
            columns.update(_seen(model, x, labels, when))
            columns[f"grown_{when}"] = float(first.detach().norm()) / begun

        at = {number: when for when, number in SEEN.items()}
        x = labels = None
        for number in range(self.steps):
            rows = torch.randint(len(data.train), (self.batch,), generator=drawn)
            x, labels = data.train[rows], data.train_labels[rows]
            if number in at:
                look(at[number])
            loss, right = _loss(model(x), labels)
            if not isfinite(loss.item()):
                break
            loss.backward()
            step(number)
            hits.append(right)
        diverged = not all(bool(each.isfinite().all()) for each in model.parameters())
        diverged = diverged or len(hits) < self.steps
        guess = 1 / data.classes
        if not diverged:
            look("end")
        last = hits[-max(1, int(_LAST * self.steps)) :]
        return {
            "accuracy": guess if diverged else _tested(model, data, self.batch),
            "train_accuracy": guess if diverged else sum(last) / len(last),
            "diverged": diverged,
            **columns,
        }


def _sgd(model: "nn.Module", rate: float, steps: int) -> Callable[[int], None]:
    import torch

    return _stepper(torch.optim.SGD(model.parameters(), lr=rate))


def _warmed(model: "nn.Module", rate: float, steps: int) -> Callable[[int], None]:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    warm = max(1, int(_WARM * steps))

    def before(number: int) -> None:
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (number + 1) / warm)

    return _stepper(optimizer, before)


def _adam(model: "nn.Module", rate: float, steps: int) -> Callable[[int], None]:
    import torch

    return _stepper(torch.optim.Adam(model.parameters(), lr=rate))


def _layerwise(model: "nn.Module", rate: float, steps: int) -> Callable[[int], None]:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def before(number: int) -> None:
        """Every weight moves by the same share of its norm."""
        for weight in model.parameters():
            if weight.grad is not None:
                weight.grad *= weight.detach().norm() / (weight.grad.norm() + 1e-30)

    return _stepper(optimizer, before)


def _stepper(
    optimizer: "optim.Optimizer", before: Callable[[int], None] = lambda number: None
) -> Callable[[int], None]:
    def step(number: int) -> None:
        before(number)
        optimizer.step()
        optimizer.zero_grad()

    return step


OPTIMIZERS: Mapping[str, Callable[["nn.Module", float, int], Callable[[int], None]]] = (
    MappingProxyType(
        {"sgd": _sgd, "sgd with warmup": _warmed, "adam": _adam, "layerwise": _layerwise}
    )
)


def _built(spec: NetSpec, data: "Dataset", seed: int) -> "nn.Sequential":
    """With a linear readout of variance 1 / width."""
    from torch import nn

    from depthscale.nets import build, draw_rows

    readout = nn.Linear(spec.width_of(spec.depth), data.classes, bias=False)
    what = Linear(spec.width_of(spec.depth), data.classes, 1.0, 0.0)
    readout.weight = nn.Parameter(draw_rows(what, seed, spec.depth + 1))
    return nn.Sequential(*build(spec, seed), readout)


def _loss(outputs: "Tensor", labels: "Tensor") -> "tuple[Tensor, float]":
    from torch.nn import functional as F

    right = float((outputs.detach().argmax(1) == labels).float().mean())
    return F.cross_entropy(outputs, labels), right


def _seen(model: "nn.Module", x: Any, labels: Any, when: str) -> dict[str, GridValue]:
    """Growth of the loss's gradient; None where it is refused."""
    from depthscale._probe import probe
    from depthscale.measure import growth

    try:
        found = growth(probe(model, x, loss=lambda outputs: _loss(outputs, labels)[0]))
    except UnreliableGrowth:
        return {f"rate_{when}": None, f"ratio_{when}": None}
    change = exp(min(log(found.rate) * found.steps / 2, 700.0))
    return {f"rate_{when}": found.rate, f"ratio_{when}": change}


def _tested(model: "nn.Module", data: "Dataset", batch: int) -> float:
    """Accuracy on held-out samples, in whole batches."""
    import torch

    with torch.no_grad():
        pairs = zip(data.test.split(batch), data.test_labels.split(batch), strict=True)
        hits = [_loss(model(x), labels)[1] for x, labels in pairs if len(x) == batch]
    return sum(hits) / len(hits)


@cache
def _read(folder: str | None) -> "Dataset":
    from depthscale._explain import load_dataset

    return load_dataset(Path(folder) if folder is not None else None)
