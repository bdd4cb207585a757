"""Attention and rotary positions that a model writes out in elementary calls, known by their
pattern."""

from collections.abc import Sequence
from math import isclose

from depthscale.network.meaning import CASTS, Call, Meaning, WrittenOut
from depthscale.network.operations import Affine, Attention
from depthscale.network.torch_calls import is_product

_BEHIND = (*CASTS, "dropout")  # calls on the way from a softmax to its product with values
_BEFORE = (*CASTS, "add", "sub", "mul", "div", "tanh", "masked_fill", "where")  # on the way to it
_ROUNDING = 1e-2  # of a mean square of numbers of 8 bits


def attention(calls: Sequence[Call], number: int) -> WrittenOut | None:
    """The attention that ends with a product: softmax of scaled products of q and k, times v. A
    mask or a bias may be added; a mask that leaves each position its own past is told by its
    zeros."""
    call = calls[number]
    if not is_product(call.op) or len(call.reads) != 2 or call.weights:
        return None
    weights, values = call.reads
    behind = _passed(calls, weights, _BEHIND)
    softmax = calls[behind[-1]]
    if softmax.op != "softmax" or not softmax.reads:
        return None
    before = _passed(calls, softmax.reads[0], _BEFORE)
    product = calls[before[-1]]
    if not is_product(product.op) or len(product.reads) != 2 or product.weights:
        return None
    keep, scale = 1.0, call.shape[-1] ** 0.5
    for each in (calls[i] for i in behind):
        if each.op == "dropout" and each.settings.get("training", True):
            keep *= 1 - each.settings.get("p", 0.5)
    for each in (calls[i] for i in before):
        by = each.settings.get("right", each.settings.get("left"))
        if each.op in ("mul", "div") and by:
            scale *= abs(by) if each.op == "mul" else 1 / abs(by)
    heads = call.shape[1] if len(call.shape) == 4 else 1
    what = Attention(heads, _is_causal(softmax), None, scale, 1, keep)
    meaning = Meaning((what,), (*product.reads, values))
    return WrittenOut(meaning, frozenset((*behind, *before))) if keep > 0 else None


def _passed(calls: Sequence[Call], number: int, functions: Sequence[str]) -> list[int]:
    """The calls on the way down by what each reads first, and the one where it ends."""
    way = [number]
    while calls[number].op in functions and calls[number].reads:
        number = calls[number].reads[0]
        way.append(number)
    return way


def _is_causal(softmax: Call) -> bool:
    """Whether as many weights are 0 as lie in the future."""
    rows, keys = softmax.shape[-2:]
    values = softmax.activation
    if values is None or rows != keys or keys < 2:
        return False
    return isclose(values.zeros, values.count * (keys - 1) / (2 * keys), rel_tol=1e-3)


def rotation(calls: Sequence[Call], number: int) -> WrittenOut | None:
    """Rotary positions: x cos + (-x_2, x_1) sin, which keeps every length."""
    call = calls[number]
    if (
        call.op != "add"
        or len(call.reads) != 2
        or not all(_is_scaled(calls[i]) for i in call.reads)
    ):
        return None
    for plain, turned in (call.reads, call.reads[::-1]):
        (x,), (whole,) = calls[plain].reads, calls[turned].reads
        halves = _halves(calls, whole, x)
        if halves and _is_as_large(call, calls[x]):
            inside = frozenset((plain, turned, whole, *halves))
            return WrittenOut(Meaning((Affine(1.0, 0.0),), (x,)), inside)
    return None


def _is_scaled(call: Call) -> bool:
    """Whether it is a product with what no input changes, entry by entry."""
    return call.op == "mul" and len(call.reads) == 1 and not {"left", "right"} & set(call.settings)


def _halves(calls: Sequence[Call], whole: int, x: int) -> tuple[int, ...]:
    """Of two halves of x, of which one is negated, that were put together again: their calls."""
    if calls[whole].op != "cat" or len(calls[whole].reads) != 2:
        return ()
    inside = []
    for number in calls[whole].reads:
        if calls[number].op == "neg":
            inside.append(number)
            (number,) = calls[number].reads
        if calls[number].op != "getitem" or list(calls[number].reads) != [x]:
            return ()
        inside.append(number)
    return tuple(inside) if len(inside) == 3 else ()


def _is_as_large(a: Call, b: Call) -> bool:
    if a.activation is None or b.activation is None or a.size != b.size:
        return False
    return isclose(a.activation.mean_square(), b.activation.mean_square(), rel_tol=_ROUNDING)
