"""One run of what several processes saw, each of its share of the batch (DDP, FSDP2)."""

import time
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from math import log2
from typing import Any

import torch.distributed as dist
from torch import nn

from depthscale._probe import internals
from depthscale._probe.tree import Tree
from depthscale.errors import InvalidProbe
from depthscale.network import Meaning
from depthscale.run import Quantity, Run, merged
from depthscale.sketch import Sketch

PATIENCE = 20.0  # seconds that ranks wait for each other
_SAME_INPUTS = (
    "all ranks were given the same inputs, as under tensor parallelism: these are this rank's own "
    "numbers, of what it holds"
)
_LOCAL_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def is_shared(group: Any) -> bool:
    """Whether several processes take part. / group: of torch.distributed; None: the default one,
    where there is one; False: none."""
    if group is False or not dist.is_available() or not dist.is_initialized():
        return False
    return dist.get_world_size(group) > 1


def is_first(group: Any) -> bool:
    """Whether this rank speaks for all: the first one, or one that is alone."""
    return not is_shared(group) or dist.get_rank(group) == 0


def over_ranks(run: Run, tree: Tree, group: Any, key: str, patience: float = PATIENCE) -> Run:
    """The run of all ranks, alike on each of them.

    Sketches are added up. Gradients are those of the mean of the ranks' losses, which is what DDP
    and FSDP train on, where their number is a power of two.

    Args:
        run: what this rank saw.
        tree: of the model.
        group: of the ranks.
        key: of this exchange, the same on all ranks and never used before.
        patience: seconds to wait for the others.

    Raises:
        InvalidProbe: on all ranks, where one does not come or runs other operations.
    """
    _require_alike(run, group, key, patience)
    world = dist.get_world_size(group)
    shares: list[Any] = [None] * world
    dist.all_gather_object(shares, _bare(run), group)
    if _are_alike(shares):
        return replace(run, notes=(*run.notes, _SAME_INPUTS))
    whole = merged([_of_mean_loss(each, world) for each in shares])
    sharded = {name for name, p in tree.parameters if hasattr(p, "to_local")}
    params = tuple(
        both if mine.name in sharded else mine
        for mine, both in zip(run.params, whole.params, strict=True)
    )
    origin = replace(whole.origin, ranks=world, params=params)
    return replace(whole, origin=origin, notes=_notes(whole, tree))


def _require_alike(run: Run, group: Any, key: str, patience: float) -> None:
    """Names of operations are compared through the store that the ranks met at, which waits no
    longer than it is told to; a collective would."""
    store = internals.rank_store(f"depthscale/{key}")
    rank, world = dist.get_rank(group), dist.get_world_size(group)
    names = [f"{op.name} ({op.op})" for op in run.ops]
    store.set(f"{rank}", "\n".join([_digest(names), *names]))
    end = time.monotonic() + patience
    found: list[list[str]] = []
    for other in range(world):
        left = max(end - time.monotonic(), 0.1)
        try:
            store.wait([f"{other}"], timedelta(seconds=left))
            found.append(store.get(f"{other}").decode().split("\n"))
        except Exception as lost:
            raise InvalidProbe(
                f"rank {other} of {world} sent nothing within {patience:g} s: it ended, or it "
                f"samples other steps ({type(lost).__name__})"
            ) from None
    if odd := next((k for k, lines in enumerate(found) if lines[0] != found[0][0]), None):
        here, there = found[0][1:], found[odd][1:]
        pairs = zip([*here, "the end"], [*there, "the end"], strict=False)
        a, b = next(pair for pair in pairs if pair[0] != pair[1])
        raise InvalidProbe(
            f"rank {odd} runs other operations than rank 0, from {b} on, where rank 0 has {a}; "
            "give group=False for each rank's own run"
        )


def _are_alike(shares: list[Run]) -> bool:
    """Whether all ranks were given the same, value by value."""
    inputs = [
        b"".join(op.activation.to_bytes() for op in run.ops if op.is_input and op.activation)
        for run in shares
    ]
    return bool(inputs[0]) and all(each == inputs[0] for each in inputs)


def _digest(names: list[str]) -> str:
    return sha256("\n".join(names).encode(errors="surrogatepass")).hexdigest()


def _bare(run: Run) -> Run:
    """As another process can be given it: what calls mean follows from them."""
    ops = tuple(
        op if op.call is None else replace(op, call=replace(op.call, meaning=Meaning()))
        for op in run.graph.ops
    )
    return replace(run, graph=replace(run.graph, ops=ops))


def _of_mean_loss(run: Run, world: int) -> Run:
    """With the gradients of the mean over the ranks' losses."""
    power = log2(world)
    if power != int(power):
        return run
    shift, readings = -int(power), run.readings

    def scaled(sketch: Sketch | None) -> Sketch | None:
        return None if sketch is None else Sketch(sketch.tally.scaled(shift))

    gradient = Quantity(
        readings.gradient.log2_mean_square + 2 * shift, readings.gradient.relative_stderr
    )
    ends = {
        name: tuple(
            (op, tuple(level + 2 * shift for level in levels))
            for op, levels in getattr(run.origin, name)
        )
        for name in ("sinks", "sources")
    }
    return replace(
        run,
        readings=replace(
            readings,
            gradient=gradient,
            gradient_sketches=tuple(map(scaled, readings.gradient_sketches)),
            log2_gradient_norm2=readings.log2_gradient_norm2 + 2 * shift,
            log2_edge_norm2=readings.log2_edge_norm2 + 2 * shift,
        ),
        origin=replace(run.origin, **ends),
    )


def _notes(run: Run, tree: Tree) -> tuple[str, ...]:
    world = run.passes
    notes = [*run.notes]
    if log2(world) != int(log2(world)):
        notes.append(f"gradients are of each rank's own loss, not of the mean of {world}")
    if any(isinstance(module, _LOCAL_NORMS) and module.training for _, module in tree.modules):
        notes.append("Batch Norm takes the statistics of each rank's own share of the batch")
    return tuple(notes)
