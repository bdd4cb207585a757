"""simulate: run random networks of one kind over many seeds and keep what matters of each layer."""

from collections.abc import Callable, Iterable, Sequence
from typing import overload

import numpy as np
from torch import Tensor

from depthscale.nets import ensemble
from depthscale.nets.draw import Loss
from depthscale.nets.limits import check_inputs, check_run, seeds_at_once
from depthscale.nets.seen import Measured, See, Seen
from depthscale.network import Graph, NetSpec
from depthscale.run import Run, Simulated, simulated_readings
from depthscale.sketch import Sketch

Progress = Callable[[int, int], object]


@overload
def simulate(
    spec: NetSpec,
    seeds: int = ...,
    seed: int = ...,
    loss: Loss = ...,
    inputs: Tensor | None = ...,
    progress: Progress | None = ...,
    see: See | None = ...,
) -> Run: ...
@overload
def simulate(
    spec: Sequence[NetSpec],
    seeds: int = ...,
    seed: int = ...,
    loss: Loss = ...,
    inputs: Tensor | None = ...,
    progress: Progress | None = ...,
    see: See | None = ...,
) -> list[Run]: ...
def simulate(
    spec: NetSpec | Sequence[NetSpec],
    seeds: int = 20,
    seed: int = 0,
    loss: Loss = "independent",
    inputs: Tensor | None = None,
    progress: Progress | None = None,
    see: See | None = None,
) -> Run | list[Run]:
    """Random networks measured: mean squares along depth with standard errors over seeds, and the
    distributions.

    spec: one network, or a list; those that differ only in norm or statistics run on the same
    weights, inputs and loss vectors.
    seeds: how many; their numbers are seed, seed + 1, ...
    loss: "independent" (one standard-normal cotangent per sample), "shared" (E = sum over samples
    of w.x_L, one w for all), or a callable of the output [batch, width] that returns one number.
    inputs: [batch, width] of data on which every seed's network runs, in place of white noise.
    progress: called with the runs done and the runs in all; see: called with every tensor as it
    passes, of several seeds at once (`Seen.net` counts within the group of paired networks).
    returns: Run, or a list of them in the order given; standard errors are those of the mean
    over seeds.
    raises: InvalidSpec for settings that cannot be run on this machine; Undefined where a network
    has no finite values.
    """
    specs = list(spec) if isinstance(spec, Iterable) else [spec]
    check_run(specs, seeds, seed, loss)
    given = None if inputs is None else check_inputs(specs, inputs)
    seeds, seed = int(seeds), int(seed)
    groups = _paired(specs)
    runs: dict[int, Run] = {}
    for done, members in enumerate(groups):
        group = [specs[i] for i in members]
        record, step = _Record(group, range(seed, seed + seeds), see), seeds_at_once(group)
        for first in range(0, seeds, step):
            some = record.seeds[first : first + step]
            ensemble.run(group, some, loss, record.add, given)
            if progress:
                progress(done * seeds + first + len(some), len(groups) * seeds)
        runs |= {
            i: record.run(net, specs[i], loss, given is not None) for net, i in enumerate(members)
        }
    ordered = [runs[i] for i in range(len(specs))]
    return ordered[0] if isinstance(spec, NetSpec) else ordered


class _Record:
    """What is kept of a group of paired networks: every seed's mean squares, and sketches merged
    over seeds."""

    def __init__(self, specs: Sequence[NetSpec], seeds: range, see: See | None):
        self.seeds, self._see = seeds, see
        self._graphs = [spec.graph() for spec in specs]
        self._levels = [_levels(graph, len(seeds)) for graph in self._graphs]
        self._sketches: dict[tuple[int, Measured, int], Sketch] = {}

    def add(self, seen: Seen) -> None:
        first = seen.seeds[0] - self.seeds[0]
        rows = self._levels[seen.net][seen.quantity][first : first + len(seen.seeds)]
        rows[:, seen.op] = seen.log2_ms
        if seen.sketch is not None:
            kept = self._sketches.get((seen.net, seen.quantity, seen.op))
            merged = seen.sketch if kept is None else kept + seen.sketch
            self._sketches[seen.net, seen.quantity, seen.op] = merged
        if self._see:
            self._see(seen)

    def run(self, net: int, spec: NetSpec, loss: Loss, given: bool) -> Run:
        graph, levels = self._graphs[net], self._levels[net]
        why = spec.without_rate()
        return Run(
            graph,
            simulated_readings(
                graph, levels, self._sketched(net, "activation"), self._sketched(net, "gradient")
            ),
            loss if isinstance(loss, str) else getattr(loss, "__name__", "callable"),
            len(levels["gradient"]),
            Simulated(spec.record(), self.seeds[0], "given" if given else "white noise", why),
            (why,) if why else (),
        )

    def _sketched(self, net: int, quantity: Measured) -> tuple[Sketch | None, ...]:
        return tuple(
            self._sketches.get((net, quantity, i)) for i in range(len(self._graphs[net].ops))
        )


def _levels(graph: Graph, seeds: int) -> dict[str, np.ndarray]:
    ops, edges = len(graph.ops), graph.first_edges[-1]
    widths = {
        "activation": ops,
        "gradient": ops,
        "batch_variance": ops,
        "edge": edges,
    }
    return {quantity: np.full((seeds, width), np.nan) for quantity, width in widths.items()}


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
