"""The founding experiment: the same random network without Batch Norm, with it, and with its
statistics frozen.

source: the experiment of "Why Batch Norm Causes Exploding Gradients" (Luther 2020), here on shared
weights and with the biased variance.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from depthscale.errors import NoTheory, UnreliableGrowth
from depthscale.measure import Analysis, Growth, gradient_along_depth
from depthscale.nets import Progress, Seen, simulate
from depthscale.network import NetSpec
from depthscale.run import Array, Run
from depthscale.theory import predict

NAMES: tuple[str, ...] = ("vanilla", "batch norm", "frozen statistics")
_KINDS = (("none", "batch"), ("batch", "batch"), ("batch", "frozen"))
_NEURONS = 3


@dataclass(frozen=True)
class FoundingRow:
    """One layer of one network: rms of dE/dx measured and predicted, and their difference as a
    normal deviate."""

    network: str
    layer: int
    measured: float
    stderr: float
    predicted: float
    z_score: float


@dataclass(frozen=True, eq=False)
class Founding:
    """Three paired networks. / measured, predicted: in the order of NAMES; predicted is empty where
    theory has no formula.

    neurons: (network, layer) -> [batch, 3] what three neurons' activations receive, for the first
    seed.
    shown: first, middle and last layer. without_theory: why there is no prediction, or nothing.
    """

    measured: tuple[Run, ...]
    predicted: tuple[Run, ...]
    neurons: dict[tuple[str, int], Array]
    shown: tuple[int, ...]
    without_theory: str = ""

    def rows(self) -> Iterator[FoundingRow]:
        """Layer by layer, network by network."""
        for i, (name, measured) in enumerate(zip(NAMES, self.measured, strict=True)):
            rms = np.sqrt(measured.gradient.mean_square)
            stderr = rms * measured.gradient.relative_stderr / 2
            predicted, apart = np.full_like(rms, np.nan), np.full_like(rms, np.nan)
            if self.predicted:
                predicted = np.sqrt(self.predicted[i].gradient.mean_square)
                apart = gradient_along_depth(self.predicted[i], measured).z_score
            for layer in range(measured.depth + 1):
                yield FoundingRow(
                    name, layer, *(float(each[layer]) for each in (rms, stderr, predicted, apart))
                )

    def notes(self) -> list[str]:
        """What must be known to read the numbers, each once."""
        said = [note for profile in (*self.measured, *self.predicted) for note in profile.notes]
        return list(dict.fromkeys([*said, *([self.without_theory] if self.without_theory else [])]))

    def growths(
        self,
    ) -> list[tuple[str, Growth | UnreliableGrowth, Growth | UnreliableGrowth | None]]:
        """Each network's fitted growth and the predicted one; where one is refused, the refusal."""
        measured, predicted = (
            [Analysis.of(run).gradient for run in runs] for runs in (self.measured, self.predicted)
        )
        return list(zip(NAMES, measured, predicted or [None] * len(NAMES), strict=True))


def founding(
    spec: NetSpec | None = None,
    seeds: int = 20,
    seed: int = 0,
    loss: str = "shared",
    progress: Progress | None = None,
) -> Founding:
    """Run the three networks on the same weights, inputs and loss vectors, and predict them.

    spec: sizes, activation and scales of all three (its norm and statistics are set here); by
    default 10 layers of 1024 neurons, ReLU, Kaiming weights, 128 inputs. / raises: as `simulate`.
    """
    specs = [
        replace(spec or NetSpec(), norm=norm, statistics=statistics) for norm, statistics in _KINDS
    ]
    shown = tuple(sorted({1, (specs[0].depth + 1) // 2, specs[0].depth}))
    received = [spec.graph().layer_receivers for spec in specs]
    neurons: dict[tuple[str, int], Array] = {}

    def keep_neurons(seen: Seen) -> None:
        if (
            seen.seeds[0] == seed
            and seen.quantity == "activation"
            and seen.layer in shown
            and seen.op == received[seen.net][seen.layer]
            and seen.values is not None
        ):
            values = seen.values.tensor[0, :, :_NEURONS].double().numpy()
            neurons[NAMES[seen.net], seen.layer] = np.ldexp(values, seen.values.power[0])

    measured = simulate(
        specs, seeds=seeds, seed=seed, loss=loss, progress=progress, see=keep_neurons
    )
    try:
        return Founding(
            tuple(measured), tuple(predict(each, loss=loss) for each in specs), neurons, shown
        )
    except NoTheory as missing:
        return Founding(tuple(measured), (), neurons, shown, str(missing))
