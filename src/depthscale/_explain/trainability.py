"""Does the explosion matter? Networks with and without Batch Norm trained for a moment at several
depths, beside theory's depth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from depthscale._explain.dataset import Dataset, load_dataset
from depthscale._explain.single_thread import one_thread
from depthscale._explain.training import EPS, FIRST, Settings, Trained, Variant, train
from depthscale.errors import InvalidSpec
from depthscale.measure import growth
from depthscale.nets import Progress
from depthscale.network import NetSpec
from depthscale.theory import batch_norm_trainable_depth, predict

DEPTHS, RATES = (10, 20, 30, 50), (1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class MatterRow:
    """One kind of network at one depth. / rate: the learning rate with the best training accuracy,
    over seeds.

    accuracy: mean over seeds on held-out samples, ± stderr. diverged: networks of all rates that
    left the numbers.
    ratios: |dE/dy_1| / |dE/dy_L| at the first steps with the largest rate, geometric mean over
    seeds; predicted: at step 0.
    """

    network: Variant
    depth: int
    rate: float
    accuracy: float
    stderr: float
    train_accuracy: float
    diverged: int
    ratios: tuple[float, ...]
    predicted: float


@dataclass(frozen=True, eq=False)
class Matter:
    """trainable_depth: 16 / log(rate) of Batch Norm over such a batch (arXiv:1902.08129). / runs:
    every network, from seed on."""

    data: str
    samples: int
    classes: int
    settings: Settings
    seeds: int
    rates: tuple[float, ...]
    growth_rate: float
    trainable_depth: float
    rows: tuple[MatterRow, ...]
    runs: tuple[Trained, ...]
    seed: int = 0

    def of(self, network: Variant) -> list[MatterRow]:
        return [row for row in self.rows if row.network == network]

    def record(self) -> dict[str, Any]:
        """Plain values: a row for each network at each depth, every run, and how to read them."""
        settings = ("data", "samples", "classes", "seeds", "rates", "growth_rate")
        return {
            **{name: getattr(self, name) for name in (*settings, "trainable_depth")},
            **asdict(self.settings),
            "rows": [asdict(row) for row in self.rows],
            "runs": [asdict(run) for run in self.runs],
            "reading": read_matter(self),
        }


def matter(
    depths: Sequence[int] = DEPTHS,
    rates: Sequence[float] = RATES,
    seeds: int = 3,
    seed: int = 0,
    settings: Settings | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Matter:
    """Train vanilla and Batch Norm networks at each depth. / folder: of Fashion-MNIST's idx files;
    by default digits.

    raises: InvalidSpec for fewer than 2 seeds, a depth below 3, no learning rate above 0, or data
    that are missing.
    """
    settings = settings or Settings()
    _check(depths, rates, seeds, settings)
    data = load_dataset(folder)
    runs: list[Trained] = []
    with one_thread():
        for depth in depths:
            for network in Variant:
                runs += train(data, network, depth, rates, range(seed, seed + seeds), settings)
                if progress:
                    progress(len(runs), len(depths) * len(Variant) * len(rates) * seeds)
    rate = growth(predict(_spec(Variant.BATCH_NORM, 12, settings))).rate
    of_kind = (
        [run for run in runs if (run.network, run.depth) == (n, d)] for d in depths for n in Variant
    )
    rows = tuple(_row(each, settings, data) for each in of_kind)
    trainable = batch_norm_trainable_depth(rate)
    return Matter(
        data.name,
        len(data.train),
        data.classes,
        settings,
        seeds,
        tuple(rates),
        rate,
        trainable,
        rows,
        tuple(runs),
        seed,
    )


def read_matter(found: Matter) -> list[str]:
    """What the run shows, and what it cannot tell; every number is the run's."""
    normed, vanilla = found.of(Variant.BATCH_NORM), found.of(Variant.VANILLA)
    deep, plain = normed[-1], vanilla[-1]
    noise = 2 * max(row.stderr for row in found.rows)
    steps = found.settings.steps
    return [
        f"With Batch Norm accuracy goes from {normed[0].accuracy:.2f} at depth {normed[0].depth} "
        f"to {deep.accuracy:.2f} at "
        f"{deep.depth}, without it from {vanilla[0].accuracy:.2f} to {plain.accuracy:.2f}; a "
        f"guess has {1 / found.classes:.2f}.",
        f"Theory: over {found.settings.batch} samples gradients grow by {found.growth_rate:.3f} a "
        "layer, trainable up to about "
        f"16 / log(rate) = {found.trainable_depth:.3g} layers.",
        f"With Batch Norm at depth {deep.depth} and learning rate {max(found.rates):g} the first "
        "layer's gradient is "
        f"x{deep.ratios[0]:.3g} the last one's at step 0 (theory x{deep.predicted:.3g}), "
        f"x{deep.ratios[1]:.3g} at step 1, "
        f"x{deep.ratios[-1]:.3g} at step {len(deep.ratios) - 1}: what theory says of "
        "initialization "
        f"{'does not outlive' if deep.ratios[-1] < sqrt(deep.ratios[0]) else 'outlives'} the "
        "first steps.",
        f"It can tell whether training begins within {steps} steps of plain SGD at the best of "
        f"{len(found.rates)} learning rates, "
        f"and differences above about {noise:.2f} (2 standard errors over {found.seeds} seeds).",
        "It cannot tell where longer or better tuned training would end, nor speak of skip "
        "connections, convolutions, trained "
        "gains, or another optimizer; 16 / log(rate) was drawn from other runs, and is a scale, "
        "not a border.",
    ]


def _check(depths: Sequence[int], rates: Sequence[float], seeds: int, settings: Settings) -> None:
    if seeds < 2:
        raise InvalidSpec(f"a standard error needs at least 2 seeds, got {seeds}")
    if not depths or min(depths) < 3:
        raise InvalidSpec(f"depths must be at least 3, got {', '.join(map(str, depths)) or 'none'}")
    if not rates or not all(0 < rate < 100 for rate in rates):
        raise InvalidSpec(
            f"learning rates must lie between 0 and 100, got {', '.join(map(str, rates)) or 'none'}"
        )
    if settings.steps < FIRST or settings.batch < 4 or settings.width < 2:
        raise InvalidSpec(
            f"take at least {FIRST} steps, a batch of 4 and a width of 2, got {settings}"
        )


def _spec(network: Variant, depth: int, settings: Settings) -> NetSpec:
    norm, eps = ("batch", EPS) if network is Variant.BATCH_NORM else ("none", 0.0)
    return NetSpec(norm=norm, depth=depth, width=settings.width, batch=settings.batch, eps=eps)


def _row(runs: list[Trained], settings: Settings, data: Dataset) -> MatterRow:
    rates = sorted({run.rate for run in runs})
    best = max(
        rates, key=lambda rate: np.mean([run.train_accuracy for run in runs if run.rate == rate])
    )
    accuracies = [run.accuracy for run in runs if run.rate == best]
    fastest = np.array([run.ratios for run in runs if run.rate == rates[-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.exp(np.log(fastest).mean(0))
    network, depth = runs[0].network, runs[0].depth
    return MatterRow(
        network,
        depth,
        best,
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1) / sqrt(len(accuracies))),
        float(np.mean([run.train_accuracy for run in runs if run.rate == best])),
        sum(run.diverged for run in runs),
        tuple(ratios.tolist()),
        _predicted(network, depth, settings, data),
    )


def _predicted(network: Variant, depth: int, settings: Settings, data: Dataset) -> float:
    """|dE/dy_1| / |dE/dy_L| of wide networks on a batch of the data, whose y has half of what x
    below it has in mean square."""
    log2 = predict(
        _spec(network, depth, settings), inputs=data.train[: settings.batch], error=0.05
    ).gradient.log2_mean_square
    return float(2.0 ** ((log2[0] - log2[depth - 1]) / 2))
