"""Tally of a tensor on a device other than the CPU: the same counts by torch operations, read only
when asked for."""

from typing import NamedTuple

import torch
from torch import Tensor

from depthscale.sketch.bins import INFINITE, LEAST, PATTERNS, SIGN
from depthscale.sketch.tally import Tally

_CHUNK = 1 << 22  # values whose 64-bit indices are held at a time
_TINY_BITS = 1 << 16  # magnitude bits below which a float32 is zero or tiny


class Pending(NamedTuple):
    """Results that the device still works on. / counts: [65536] and five counters; sums: four
    float64 numbers; scale: []."""

    counts: Tensor
    sums: Tensor
    scale: Tensor


@torch.no_grad()
def count(tensor: Tensor) -> Pending:
    """Enqueue the counting of a floating tensor; nothing here waits for the device."""
    values = tensor.detach().resolve_neg().reshape(-1)
    counts = torch.zeros(PATTERNS + 5, dtype=torch.int64, device=values.device)
    sums = torch.zeros(2, dtype=torch.float64, device=values.device)
    smallest = torch.full((), torch.inf, dtype=torch.float64, device=values.device)
    largest = torch.zeros((), dtype=torch.float64, device=values.device)
    scale = _scale(values)
    for chunk in values.split(_CHUNK) if values.numel() else ():
        wide = (
            torch.ldexp(chunk.double(), -scale) if chunk.dtype is torch.float64 else chunk.double()
        )
        patterns, rare = _patterns(chunk, wide)
        counts[:PATTERNS].scatter_add_(0, patterns, torch.ones_like(patterns))
        counts[PATTERNS:] += rare
        finite = torch.where(wide.isfinite(), wide, 0.0)
        magnitude = finite.abs()
        sums += torch.stack([finite.sum(), finite.square().sum()])
        largest = torch.maximum(largest, magnitude.max())
        nonzero = (chunk != 0) & wide.isfinite()
        smallest = torch.minimum(
            smallest, torch.where(nonzero, magnitude.clamp(min=LEAST), torch.inf).min()
        )
    return Pending(counts, torch.cat([sums, torch.stack([smallest, largest])]), scale)


def read(pending: Pending) -> Tally:
    """The finished tally; waits for the device once."""
    counts, sums = pending.counts.cpu().numpy(), pending.sums.cpu().numpy()
    zeros, tiny_negative, tiny_positive, minus, plus = (int(c) for c in counts[PATTERNS:])
    by_pattern = counts[:PATTERNS].copy()
    nans = int(by_pattern[INFINITE:SIGN].sum() + by_pattern[SIGN | INFINITE :].sum()) - minus - plus
    by_pattern[INFINITE:SIGN] = by_pattern[SIGN | INFINITE :] = by_pattern[0] = by_pattern[SIGN] = 0
    patterns = by_pattern.nonzero()[0]
    total, square_total, smallest, largest = (float(s) for s in sums)
    return Tally(
        patterns.astype("uint16"),
        by_pattern[patterns],
        zeros,
        (tiny_negative, tiny_positive),
        (minus, plus),
        nans,
        total,
        square_total,
        smallest,
        largest,
        int(pending.scale),
    )


def _scale(values: Tensor) -> Tensor:
    """As the CPU loop scales float64: 0 where float32's normal range holds all magnitudes."""
    zero = torch.zeros((), dtype=torch.int32, device=values.device)
    if values.dtype is not torch.float64 or not values.numel():
        return zero
    magnitude = torch.where(values.isfinite(), values.abs(), 0.0)
    largest = magnitude.max()
    smallest = torch.where(magnitude > 0, magnitude, torch.inf).min()
    fits = (largest == 0) | ((smallest >= 2.0**-126) & (largest < 2.0**128))
    return torch.where(fits, zero, torch.frexp(largest).exponent - 127)


def _patterns(chunk: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """Pattern of every value, and the counts of zeros, negative and positive tiny values, -infinity
    and +infinity.

    chunk: [n] as given; wide: [n] the same values in float64, scaled into float32's range.
    """
    zero = chunk == 0
    rounded = _toward_zero(wide) if chunk.dtype is torch.float64 else chunk.float()
    bits = rounded.view(torch.int32)
    tiny = ((bits & 0x7FFFFFFF) < _TINY_BITS) & ~zero
    apart = (zero, tiny & (chunk < 0), tiny & (chunk > 0), chunk == -torch.inf, chunk == torch.inf)
    return ((bits >> 16) & 0xFFFF).long(), torch.stack([each.sum() for each in apart])


def _toward_zero(wide: Tensor) -> Tensor:
    """float64 -> float32, rounded toward zero, so that a value stays in the bin that holds it."""
    nearest = wide.float()
    beyond = (nearest.double().abs() > wide.abs()) & wide.isfinite()
    return torch.where(beyond, (nearest.view(torch.int32) - 1).view(torch.float32), nearest)
