"""What a run needs of the machine, and whether it is there."""

import os
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from numbers import Integral
from pathlib import Path

from torch import Tensor

from depthscale.errors import InvalidSpec
from depthscale.nets.draw import Loss, check_loss
from depthscale.network import Elementwise, NetSpec, Norm

_FLOAT = 4  # bytes
_STACKED = 1 << 17  # values of a stacked tensor
_SEEDS = 1 << 32  # numbers that torch's generator tells apart


def check_run(specs: Sequence[NetSpec], seeds: int, seed: int, loss: Loss) -> None:
    """raises: InvalidSpec where a run cannot be made: no networks or seeds, an unknown loss, an
    endless batch, no memory for it."""
    if not specs:
        raise InvalidSpec("simulate got an empty list of networks; give at least one NetSpec")
    for spec in specs:
        if not isinstance(spec, NetSpec):
            raise TypeError(
                f"simulate takes a NetSpec or a list of them, got {type(spec).__name__}"
            )
    if isinstance(seeds, bool) or not isinstance(seeds, Integral) or seeds < 1:
        raise InvalidSpec(f"seeds must be a whole number of at least 1, got {seeds!r}")
    if (
        isinstance(seed, bool)
        or not isinstance(seed, Integral)
        or not 0 <= seed <= _SEEDS - int(seeds)
    ):
        raise InvalidSpec(
            f"seed must be a whole number from 0, and the last seed below 2^32, got {seed!r}"
        )
    check_loss(loss)
    for spec in specs:
        if spec.batch == inf:
            raise InvalidSpec("batch inf can be predicted but not simulated; give a whole number")
        _check_memory(spec)


def check_inputs(specs: Sequence[NetSpec], inputs: Tensor) -> Tensor:
    """Inputs as float32 [batch, width]. / raises: InvalidSpec where they do not fit a network."""
    for spec in specs:
        if tuple(inputs.shape) != (spec.batch, spec.width):
            raise InvalidSpec(
                f"inputs must be [batch, width] = [{spec.batch}, {spec.width}], got "
                f"{list(inputs.shape)}"
            )
    if not inputs.isfinite().all():
        raise InvalidSpec("inputs must be finite numbers")
    return inputs.detach().float()


def _check_memory(spec: NetSpec) -> None:
    needed, free = _memory_needed(spec), _memory_free()
    if needed > free:
        raise InvalidSpec(
            f"width {spec.width}, depth {spec.depth}, batch {spec.batch} need about "
            f"{needed / 2**30:.3g} GiB of memory and "
            f"{free / 2**30:.3g} GiB are free; lower one of them"
        )


def seeds_at_once(specs: Sequence[NetSpec]) -> int:
    """How many seeds' tensors are best stacked: as many as stay near the core, and whose layers'
    values a gigabyte holds."""
    spec = specs[0]
    width = max(spec.widths or (spec.width,))
    near = min(_STACKED // (int(spec.batch) * width), 2 * _STACKED // width**2)
    kept = sum(map(_kept, specs))
    return max(1, min(near, 2**30 // kept))


def _memory_needed(spec: NetSpec) -> int:
    """Bytes: two weights, one layer's values a dozen times, and what each layer keeps for the
    backward pass."""
    width = max(spec.widths or (spec.width,))
    return 2 * _FLOAT * width**2 + 12 * _FLOAT * int(spec.batch) * width + _kept(spec)


def _kept(spec: NetSpec) -> int:
    """Bytes of what the layers of one seed keep for the backward pass: what activations receive,
    and what norms give."""
    width = max(spec.widths or (spec.width,))
    layer = replace(spec, depth=1, widths=None).graph().ops
    kept = {op.inputs[0] for op in layer if isinstance(op.what, Elementwise)}
    kept |= {i for i, op in enumerate(layer) if isinstance(op.what, Norm)}
    return spec.depth * len(kept) * _FLOAT * int(spec.batch) * width


def _memory_free() -> int:
    """Bytes that a program can still have; where the system does not say, no limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 1 << 62
