"""simulate: run random networks of one kind over many seeds and keep what matters of each layer."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import overload

import numpy as np
from torch import Tensor

from depthscale.nets import ensemble, execute
from depthscale.nets.draw import Loss
from depthscale.nets.limits import check_inputs, check_run
from depthscale.nets.seen import Measured, Seen
from depthscale.network import NetSpec
from depthscale.run import Profile, Quantity
from depthscale.sketch import Sketch

Progress = Callable[[int, int], object]
See = Callable[[int, Seen], object]


@overload
def simulate(
    spec: NetSpec,
    seeds: int = ...,
    seed: int = ...,
    loss: Loss = ...,
    inputs: Tensor | None = ...,
    progress: Progress | None = ...,
    see: See | None = ...,
) -> Profile: ...
@overload
def simulate(
    spec: Sequence[NetSpec],
    seeds: int = ...,
    seed: int = ...,
    loss: Loss = ...,
    inputs: Tensor | None = ...,
    progress: Progress | None = ...,
    see: See | None = ...,
) -> list[Profile]: ...
def simulate(
    spec: NetSpec | Sequence[NetSpec],
    seeds: int = 20,
    seed: int = 0,
    loss: Loss = "independent",
    inputs: Tensor | None = None,
    progress: Progress | None = None,
    see: See | None = None,
) -> Profile | list[Profile]:
    """Random networks measured: mean squares along depth with standard errors over seeds, and the
    distributions.

    spec: one network, or a list; those that differ only in norm or statistics run on the same
    weights, inputs and loss vectors.
    seeds: how many; their numbers are seed, seed + 1, ...
    loss: "independent" (one standard-normal cotangent per sample), "shared" (E = sum over samples
    of w.x_L, one w for all), or a callable of the output [batch, width] that returns one number.
    inputs: [batch, width] of data on which every seed's network runs, in place of white noise.
    progress: called with the runs done and the runs in all; see: called with the seed and every
    tensor as it passes (`Seen.net` counts within the group of paired networks).
    returns: Profile, or a list of them in the order given; standard errors are those of the mean
    over seeds.
    raises: InvalidSpec for settings that cannot be run on this machine; Undefined where a network
    has no finite values.
    """
    specs = list(spec) if isinstance(spec, Iterable) else [spec]
    check_run(specs, seeds, seed, loss)
    given = None if inputs is None else check_inputs(specs, inputs)
    seeds, seed = int(seeds), int(seed)
    groups = _paired(specs)
    profiles: dict[int, Profile] = {}
    for done, members in enumerate(groups):
        group = [specs[i] for i in members]
        record = _Record(group, seeds)
        for row, s in enumerate(range(seed, seed + seeds)):
            fast = ensemble.is_fast(group[0])
            for seen in (
                ensemble.run(group, s, loss, given)
                if fast
                else execute.run(group[0], s, loss, given)
            ):
                record.add(row, seen)
                if see:
                    see(s, seen)
            if progress:
                progress(done * seeds + row + 1, len(groups) * seeds)
        profiles |= {
            i: record.profile(net, specs[i], loss, seed, given is not None)
            for net, i in enumerate(members)
        }
    ordered = [profiles[i] for i in range(len(specs))]
    return ordered[0] if isinstance(spec, NetSpec) else ordered


class _Record:
    """What is kept of a group of paired networks: every seed's mean squares, and sketches merged
    over seeds."""

    def __init__(self, specs: Sequence[NetSpec], seeds: int):
        shape = (len(specs), seeds, specs[0].depth + 1)
        self._log2_ms: dict[Measured, np.ndarray] = defaultdict(lambda: np.full(shape, np.nan))
        self._sketches: dict[tuple[Measured, int, int], Sketch] = defaultdict(Sketch)

    def add(self, row: int, seen: Seen) -> None:
        self._log2_ms[seen.quantity][seen.net, row, seen.layer] = seen.log2_ms
        if seen.sketch is not None:
            self._sketches[seen.quantity, seen.net, seen.layer] += seen.sketch

    def profile(self, net: int, spec: NetSpec, loss: Loss, seed: int, given: bool) -> Profile:
        samples = {
            quantity: Quantity.over_seeds(log2_ms[net])
            for quantity, log2_ms in self._log2_ms.items()
        }
        layers = range(spec.depth + 1)
        return Profile(
            gradient=samples["gradient"],
            activation=samples["activation"],
            preactivation_batch_variance=samples["preactivation_batch_variance"],
            source="simulation",
            spec=spec.record(),
            loss=loss if isinstance(loss, str) else getattr(loss, "__name__", "callable"),
            seeds=self._log2_ms["gradient"].shape[1],
            seed=seed,
            notes=(spec.without_rate(),) if spec.without_rate() else (),
            without_rate=spec.without_rate(),
            inputs="given" if given else "white noise",
            gradient_sketches=tuple(self._sketches["gradient", net, layer] for layer in layers),
            preactivation_sketches=(
                None,
                *(self._sketches["preactivation", net, layer] for layer in layers[1:]),
            ),
        )


def _paired(specs: list[NetSpec]) -> list[list[int]]:
    """Positions of the networks that can run side by side, group by group."""
    groups: list[list[int]] = []
    for i, spec in enumerate(specs):
        for group in groups:
            if ensemble.are_paired(specs[group[0]], spec):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups
