"""Dead units: those of a rectifier that nothing in the batch activates."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from depthscale._probe.call_records import Role, Value
from depthscale._probe.sketching import is_dense
from depthscale.network import torch_calls
from depthscale.sketch.counting import compiled, float32_array


def dead_units(output: Tensor, read: Sequence[Value]) -> float | Tensor | None:
    """Share of units of a rectifier that no value of the batch activates; None where there are
    none.

    read: what went in: units lie on axis 1 of what a convolution made, on the last axis of what a
    linear map made, and where there is no map on axis 1 of images and of tables.
    """
    if not is_dense(output) or output.dim() < 2 or not output.numel():
        return None
    axis, values = _axis(output, _positions_of_map(read)), float32_array(output)
    if values is not None:
        by_unit = values.reshape(prod(values.shape[:axis]), values.shape[axis], -1)
        return _dead_share(by_unit, np.ones(values.shape[axis], np.uint8))
    with torch.no_grad():
        return (output.amax([i for i in range(output.dim()) if i != axis]) <= 0).float().mean()


def _positions_of_map(read: Sequence[Value]) -> int | None:
    """Axes of positions of what the linear map or convolution makes that values come from, by the
    first thing that each operation reads; None without one."""
    while True:
        call = next((v.call for v in read if v.counted and v.call is not None), None)
        if call is None:
            return None
        positions = torch_calls.positions_of_map(call.name)
        if call.role is not Role.RESHAPE and positions is not None:
            return positions
        read = call.read[:1] if call.role is Role.RESHAPE else call.read


def _axis(output: Tensor, positions: int | None) -> int:
    """Where the units lie. / positions: axes of positions in one sample of what a map made."""
    if positions is None:
        return 1 if output.dim() in (2, 4, 5) else output.dim() - 1
    image = positions + 1  # axes of one sample, as 3 for conv2d
    return int(output.dim() > image) if 1 < image <= output.dim() else output.dim() - 1


@compiled()
def _dead_share(values, dead):
    """Looks no further than until every unit was active. / values: [., units, .]; a NaN counts as
    active; dead: [units] ones."""
    units = left = values.shape[1]
    for i in range(values.shape[0]):
        for u in range(units):
            if dead[u]:
                for j in range(values.shape[2]):
                    if not values[i, u, j] <= 0:
                        dead[u] = 0
                        left -= 1
                        break
        if not left:
            break
    return left / units
