"""How a softmax shares out: read from a few of its rows while they are there."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from depthscale.run import Shares

_ROWS = 64  # of a softmax that are looked at
_OPEN = 0.99  # of a row's whole, from where on one value has it all


def shares_of(function: str, output: Tensor, args: Any, kwargs: Mapping[str, Any]) -> Shares | None:
    """Of what a softmax made, or of what a fused attention made inside; None where rows have one
    value alone."""
    with torch.no_grad():
        rows = _fused(args, kwargs) if function == _FUSED else _rows(output, args, kwargs)
        return None if rows is None or rows.shape[-1] < 2 or not len(rows) else _summary(rows)


_FUSED = "scaled_dot_product_attention"


def _rows(output: Tensor, args: Any, kwargs: Mapping[str, Any]) -> Tensor | None:
    """[rows, values] of an output, evenly spread."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(axis, int) or not output.dim():
        return None
    return _spread(output.detach().movedim(axis, -1))


def _spread(values: Tensor) -> Tensor:
    """Some of the rows of a last axis."""
    shape = values.shape[:-1]
    count = shape.numel()
    at = torch.arange(0, count, max(1, count // _ROWS), device=values.device)[:_ROWS]
    return values[torch.unravel_index(at, shape)].float() if shape else values[None].float()


def _fused(args: Any, kwargs: Mapping[str, Any]) -> Tensor | None:
    """[rows, keys] that attention gives some of its queries, computed from these and all keys."""
    given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | dict(kwargs)
    query, key, mask = given["query"], given["key"], given.get("attn_mask")
    shape, keys = query.shape[:-1], key.shape[-2]
    count = shape.numel()
    if not count or not keys or key.dim() != query.dim() or query.dim() < 2:
        return None
    at = torch.arange(0, count, max(1, count // _ROWS), device=query.device)[:_ROWS]
    where = torch.unravel_index(at, shape)
    heads = tuple(
        i * n // m if n < m else i
        for i, n, m in zip(where[:-1], key.shape[:-2], shape[:-1], strict=True)
    )
    scale = given.get("scale") or query.shape[-1] ** -0.5
    chosen, against = query[where].float(), key[heads].float()
    against = against.expand(len(chosen), *against.shape[-2:])
    scores = torch.einsum("rd,rkd->rk", chosen, against) * scale
    causal = given.get("is_causal", args[5] if len(args) > 5 else False)
    if causal:
        late = torch.arange(keys, device=query.device)[None] > where[-1][:, None]
        scores = scores.masked_fill(late, -torch.inf)
    if mask is not None:
        seen = mask.expand(*shape, keys)[where]
        hidden = scores.masked_fill(~seen, -torch.inf) if seen.dtype is torch.bool else None
        scores = scores + seen.float() if hidden is None else hidden
    return scores.softmax(-1)


def _summary(rows: Tensor) -> Shares | None:
    open_values = (rows > 0).sum(-1)
    entropy = -torch.special.xlogy(rows, rows).sum(-1)
    whole = open_values.clamp(min=2).log()
    relative = (entropy / whole).tolist()
    largest = rows.amax(-1).tolist()
    compared = [
        (share, most)
        for share, most, n in zip(relative, largest, open_values.tolist(), strict=True)
        if n > 1 or rows.shape[-1] == 2
    ]
    if not compared:
        compared = list(zip(relative, largest, strict=True))
    return Shares(
        values=float(rows.shape[-1]),
        entropy=min(1.0, sum(share for share, _ in compared) / len(compared)),
        one_hot=sum(most > _OPEN for _, most in compared) / len(compared),
        spread=float((_relative_variance(rows, open_values).amax()).sqrt()),
    )


def _relative_variance(rows: Tensor, open_values: Tensor) -> Tensor:
    """Of each row's open shares, over the square of their mean, 1 / open."""
    n = open_values.clamp(min=1)[:, None]
    return ((rows * n - 1).square() * (rows > 0)).sum(-1) / n[:, 0]
