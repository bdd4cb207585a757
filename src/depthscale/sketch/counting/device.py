"""Tally of a tensor on a device other than the CPU: the same counts by torch operations, read only
when asked for."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from depthscale.sketch.bins import INFINITE, LEAST, PATTERNS, SIGN
from depthscale.sketch.tally import Tally

_CHUNK = 1 << 22  # values whose rows are held at a time
_SPREAD = 1024  # rows that zeros take turns in: many increments of one wait for each other
_NAN = PATTERNS + _SPREAD  # the row of NaNs
_TOP = -(1 << 45)  # of a float64's bits: sign, exponent and the 7 of the mantissa that a bin has


class Pending(NamedTuple):
    """Results that the device still works on. / counts: [65536 + 1024 + 1], patterns from 0x8000 on
    first, then zeros and NaNs; reduced: [chunks, 4] sums and extremes in float64; scale: []."""

    counts: Tensor
    reduced: Tensor
    scale: Tensor


@torch.no_grad()
def count(tensor: Tensor) -> Pending:
    """Enqueue the counting of a floating tensor; nothing here waits for the device."""
    values = tensor.detach().resolve_neg().reshape(-1)
    scale = _scale(values)
    counts = torch.zeros(_NAN + 1, dtype=torch.int64, device=values.device)
    one = torch.ones((), dtype=torch.int64, device=values.device)
    turns = torch.arange(PATTERNS, _NAN, dtype=torch.int32, device=values.device)
    turns = turns.repeat(-(-min(len(values), _CHUNK) // _SPREAD))
    reduced = []
    for chunk in values.split(_CHUNK) if len(values) else ():
        wide = chunk.double()
        if chunk.dtype is torch.float64:
            wide = torch.ldexp(wide, -scale)
        counts.index_add_(0, _rows(chunk, wide, turns[: len(chunk)]), one.expand(len(chunk)))
        reduced.append(_reduce(chunk, wide))
    rows = torch.stack(reduced) if reduced else values.new_zeros(0, 4, dtype=torch.float64)
    return Pending(counts, rows, scale)


def read(pending: Pending) -> Tally:
    """The finished tally; waits for the device once."""
    counts, reduced = pending.counts.cpu().numpy(), pending.reduced.cpu().numpy()
    by_pattern = np.roll(counts[:PATTERNS], SIGN)
    tiny, infinities = by_pattern[[SIGN, 0]], by_pattern[[SIGN | INFINITE, INFINITE]]
    by_pattern[[0, SIGN, INFINITE, SIGN | INFINITE]] = 0
    patterns = by_pattern.nonzero()[0]
    total, square_total = reduced[:, :2].sum(0).tolist()
    return Tally(
        patterns.astype(np.uint16),
        by_pattern[patterns],
        int(counts[PATTERNS:_NAN].sum()),
        (int(tiny[0]), int(tiny[1])),
        (int(infinities[0]), int(infinities[1])),
        int(counts[_NAN]),
        total,
        square_total,
        float(reduced[:, 2].min(initial=np.inf)),
        float(reduced[:, 3].max(initial=0.0)),
        int(pending.scale),
    )


def _scale(values: Tensor) -> Tensor:
    """As the CPU loop scales float64: 0 where float32's normal range holds all magnitudes."""
    zero = torch.zeros((), dtype=torch.int32, device=values.device)
    if values.dtype is not torch.float64 or not len(values):
        return zero
    magnitude = values.nan_to_num(0.0, 0.0, 0.0).abs_()
    largest = magnitude.amax()
    smallest = magnitude.masked_fill_(magnitude == 0, torch.inf).amin()
    fits = (largest == 0) | ((smallest >= 2.0**-126) & (largest < 2.0**128))
    return torch.where(fits, zero, torch.frexp(largest).exponent - 127)


def _rows(chunk: Tensor, wide: Tensor, turns: Tensor) -> Tensor:
    """Where each value is counted. / chunk: [n] as given; wide: [n] in float64, scaled; turns: [n]
    rows of zeros."""
    if chunk.dtype is torch.float64:  # without what a bin leaves out float32 holds it: no rounding
        narrow = (wide.view(torch.int64) & _TOP).view(torch.float64).float()
    else:
        narrow = chunk.float()
    rows = (narrow.view(torch.int32) >> 16).add_(SIGN)
    return torch.where(chunk == 0, turns, rows).masked_fill_(chunk.isnan(), _NAN)


def _reduce(chunk: Tensor, wide: Tensor) -> Tensor:
    """Sum, sum of squares, smallest nonzero and largest magnitude of the finite values. / wide:
    overwritten."""
    if chunk.dtype is torch.float64:
        wide.masked_fill_((wide == 0) & (chunk != 0), LEAST)
    wide.nan_to_num_(0.0, 0.0, 0.0)
    total, square_total = wide.sum(), torch.dot(wide, wide)
    largest = wide.abs_().amax()
    smallest = wide.masked_fill_(wide == 0, torch.inf).amin()
    return torch.stack([total, square_total, smallest, largest])
