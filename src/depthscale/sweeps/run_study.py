"""study: does the growth of gradients matter? Networks trained over depth and learning rate, and
theory's lines over what they reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, log
from pathlib import Path
from typing import Any, Literal

from scipy.special import ndtr

from depthscale.drawable import Drawable
from depthscale.errors import InvalidSpec
from depthscale.measure import growth
from depthscale.sweeps.run_sweep import sweep
from depthscale.sweeps.sweep_result import Field, Sweep
from depthscale.sweeps.trial import NETWORKS, OPTIMIZERS, Training, trial
from depthscale.theory import batch_norm_trainable_depth, predict
from depthscale.training import handed_back

_DEPTH = 12  # at which theory's rate is read: it has settled, and nothing has overflowed
_CLASSES = 10  # of digits, and of Fashion-MNIST


@dataclass(frozen=True)
class StudyGrid:
    """What a study trains. / the default takes half an hour on two cores; `quick` two minutes."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    depths: tuple[int, ...] = (5, 10, 20, 30, 40, 50)
    optimizers: tuple[str, ...] = tuple(OPTIMIZERS)
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    seeds: int = 3


QUICK = StudyGrid(("vanilla", "batch norm"), (5, 20, 45), ("sgd", "adam"), (1e-3, 1e-2, 1e-1), 2)
QUICK_STEPS = 100


@dataclass(frozen=True)
class TheoryLines:
    """What theory says of a network before any run.

    Attributes:
        rate: Growth of the gradient's mean square per layer.
        trainable_depth: 16 / log(rate), of Batch Norm alone (arXiv:1902.08129).
        turned: By learning rate, the depth from which on the first step of SGD turns the first
            layer by more than 45 degrees; none without Batch Norm.
    """

    rate: float
    trainable_depth: float
    turned: Mapping[float, float]


@dataclass(frozen=True, eq=False)
class Study(Drawable):
    """Accuracies of trained networks, and theory's lines. / sweep: every network; lines: by
    network; training: what all have in common."""

    sweep: Sweep
    lines: Mapping[str, TheoryLines]
    training: Training = field(default_factory=Training)

    def fields(self, network: str, optimizer: str) -> tuple[Field, ...]:
        """Held-out accuracy by depth and rate."""
        names = ("depth", "rate")
        return self.sweep.fields(names, "accuracy", network=network, optimizer=optimizer)

    def best(self, network: str, optimizer: str) -> list[tuple[Field, Field]]:
        """For each depth the accuracy at the rate whose training accuracy is best, and that
        training accuracy."""
        held = {"network": network, "optimizer": optimizer}
        names = ("depth", "rate")
        tested = self.sweep.fields(names, "accuracy", **held)
        trained = self.sweep.fields(names, "train_accuracy", **held)
        pairs = [pair for pair in zip(tested, trained, strict=True) if _known(*pair)]
        depths = dict.fromkeys(pair[0].where[0] for pair in pairs)
        return [
            max((p for p in pairs if p[0].where[0] == depth), key=lambda p: p[1].mean or 0.0)
            for depth in depths
        ]

    def record(self) -> dict[str, Any]:
        """Plain values: settings, lines and every network."""
        return {
            "training": asdict(self.training),
            "lines": {name: asdict(line) for name, line in self.lines.items()},
            **self.sweep.record(),
        }

    def __repr__(self) -> str:
        return f"Study({self.sweep!r})"


def study(
    grid: StudyGrid | None = None,
    training: Training | None = None,
    *,
    train: Callable[..., Any] | None = None,
    out: str | Path | None = None,
    backend: Literal["local", "ray"] = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Study:
    """Train networks over depth, optimizer, learning rate and seeds, and draw theory's lines over
    what they reach.

    Args:
        grid: What is trained; `StudyGrid()` by default.
        training: Width, batch, steps and data.
        train: Your own, called with a `Trial` (network, depth, optimizer, rate) and `seed`; returns
            columns, "accuracy" and "train_accuracy" among them.
        out: Folder of the networks that are done; the same call goes on where one was ended.
        backend, workers, address, progress: As of `sweep`.

    Returns:
        `Study`, for `report` and `chart`.

    Raises:
        InvalidSpec: For networks or optimizers that are not there, and settings that train nothing.
    """
    grid, training = grid or StudyGrid(), training or Training()
    _check(grid, training)
    found = sweep(
        trial,
        {
            "network": grid.networks,
            "optimizer": grid.optimizers,
            "depth": grid.depths,
            "rate": grid.rates,
        },
        seeds=grid.seeds,
        measure=train or training,
        out=out,
        backend=backend,
        workers=workers,
        address=address,
        progress=progress,
    )
    return Study(found, {n: theory_lines(n, training, grid.rates) for n in grid.networks}, training)


def theory_lines(network: str, training: Training, rates: Sequence[float]) -> TheoryLines:
    """The lines of one network, from its description alone."""
    run = predict(training.spec(network, _DEPTH))
    rate = growth(run).rate
    if NETWORKS[network]["norm"] != "batch":
        return TheoryLines(rate, inf, {})
    logits = float(run.activation.mean_square[-1])
    turned = {each: _turned_depth(each, rate, logits, training, network) for each in rates}
    return TheoryLines(rate, batch_norm_trainable_depth(rate), turned)


def _turned_depth(
    step: float, rate: float, logits: float, training: Training, network: str
) -> float:
    """Where the first step of SGD is as long as the first layer's weights.

    The last layer's relative step has r^2 = step^2 d2 E[phi'^2] / (sigma_w2^2 (B - 1)), d2 what a
    cross entropy hands back to logits of that variance; each layer below it has `rate` times as
    much.
    """
    slopes = float(ndtr(NETWORKS[network].get("beta", 0.0)))  # E[phi'^2] of ReLU at N(beta, 1)
    weights = training.spec(network, _DEPTH).sigma_w2
    back = handed_back(logits, 0.0, _CLASSES).own
    last = step**2 * back * slopes / (weights**2 * (training.batch - 1))
    return 1 - log(last) / log(rate)


def _known(tested: Field, trained: Field) -> bool:
    return isinstance(tested.mean, float) and isinstance(trained.mean, float)


def _check(grid: StudyGrid, training: Training) -> None:
    for given, table, what in (
        (grid.networks, NETWORKS, "network"),
        (grid.optimizers, OPTIMIZERS, "optimizer"),
    ):
        foreign = [name for name in given if name not in table]
        if foreign:
            raise InvalidSpec(f"there is no {what} {foreign[0]!r}; choose of {', '.join(table)}")
    if not grid.depths or not all(isinstance(d, int) and d >= 3 for d in grid.depths):
        raise InvalidSpec(f"depths must be whole numbers from 3, got {grid.depths}")
    if not grid.rates or not all(0 < rate < 100 for rate in grid.rates):
        raise InvalidSpec(f"learning rates must lie between 0 and 100, got {grid.rates}")
    if training.steps < 10 or training.batch < 4 or training.width < 2:
        raise InvalidSpec(f"take at least 10 steps, a batch of 4 and a width of 2, got {training}")
