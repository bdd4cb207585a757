"""Products with weights and sliding windows: calls of torch as maps and pools."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from depthscale.network.meaning import Call, Shape
from depthscale.network.operations import Conv, Flatten, Linear, Operation, Pool
from depthscale.network.window import Window

Chain = list[Operation]


def first_of(read: Sequence[Call]) -> Call | None:
    """What a call reads first."""
    return read[0] if read else None


def linear(call: Call, read: Sequence[Call]) -> Chain | None:
    """x W^T + b: the weight is [out, in]."""
    return _product(call, first_of(read), lambda rows, columns: (columns, rows))


def matmul(call: Call, read: Sequence[Call]) -> Chain | None:
    """x W + b: the weight is [in, out]."""
    return _product(call, first_of(read), lambda rows, columns: (rows, columns))


def _product(
    call: Call, before: Call | None, fans: Callable[[int, int], tuple[int, int]]
) -> Chain | None:
    matrix = next(((shape, ms) for _, shape, ms in call.weights if len(shape) == 2), None)
    if matrix is None:
        return None
    (rows, columns), ms = matrix
    fan_in, fan_out = fans(rows, columns)
    if call.shape[-1] != fan_out:
        return None  # it stands on the left and mixes samples, as a graph's adjacency does
    map_ = Linear(fan_in, fan_out, fan_in * ms, _bias(call))
    flat = (
        before is not None
        and len(before.shape) > 2
        and before.shape[-1] != fan_in
        and prod(before.shape[1:]) == fan_in
    )
    return [Flatten(), map_] if flat else [map_]


def einsum(call: Call, read: Sequence[Call]) -> Chain | None:
    """Of a signal and a weight whose last letters are summed over and come out."""
    terms, _, out = call.settings.get("equation", "").replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(read) != 1 or len(call.weights) != 1 or len(operands) != 2:
        return None
    (_, shape, ms), *_ = call.weights
    for signal, weight in (operands, operands[::-1]):
        sizes = dict(zip(weight, shape, strict=False))
        summed = [letter for letter in weight if letter not in out]
        made = [letter for letter in weight if letter not in signal]
        if (
            len(weight) == len(shape)
            and len(summed) + len(made) == len(weight)
            and signal.endswith("".join(summed))
            and out.endswith("".join(made))
            and len(out.removeprefix("...")) >= len(made)
            and call.shape[len(call.shape) - len(made) :] == tuple(sizes[i] for i in made)
        ):
            fan_in = prod(sizes[letter] for letter in summed)
            return [Linear(fan_in, prod(sizes[letter] for letter in made), fan_in * ms, 0.0)]
    return None


def _bias(call: Call) -> float:
    return next((ms for _, shape, ms in call.weights if len(shape) == 1), 0.0)


def conv(call: Call, read: Sequence[Call]) -> Chain | None:
    before = first_of(read)
    kernel = next(((shape, ms) for _, shape, ms in call.weights if len(shape) > 2), None)
    if kernel is None or before is None or len(before.shape) != len(kernel[0]):
        return None
    (out, per_group, *size), ms = kernel
    groups = call.settings.get("groups", 1)
    window = _window(call.settings, before, tuple(size))
    if window is None or window.size_out != call.shape[2:]:
        return None
    return [Conv(per_group * groups, out, window, per_group * prod(size) * ms, _bias(call), groups)]


def _window(given: Any, before: Call, kernel: Shape) -> Window | None:
    def each(key: str, default: int | Shape) -> Shape | None:
        value = given.get(key, default)
        value = default if value is None or value == () else value
        if isinstance(value, int):
            return (value,) * len(kernel)
        return value if isinstance(value, tuple) else None

    dilation = each("dilation", 1)
    if dilation is not None and given.get("padding") == "same" and all(k % 2 for k in kernel):
        halves = tuple(d * (k // 2) for d, k in zip(dilation, kernel, strict=True))
        given = {**given, "padding": halves}
    if given.get("padding") == "valid":
        given = {**given, "padding": 0}
    stride, padding = each("stride", 1), each("padding", 0)
    if stride is None or padding is None or dilation is None:
        return None
    if len(before.shape) - 2 != len(kernel):  # it was given another shape
        return None
    return Window(before.shape[2:], kernel, stride, padding, dilation)


def max_pool(call: Call, read: Sequence[Call]) -> Chain | None:
    window = _pooled(call, first_of(read))
    return None if window is None else [Pool("max", window)]


def average_pool(call: Call, read: Sequence[Call]) -> Chain | None:
    window = _pooled(call, first_of(read))
    return None if window is None else [Pool("average", window)]


def _pooled(call: Call, before: Call | None) -> Window | None:
    if before is None or len(before.shape) < 3:
        return None
    kernel = call.settings.get("kernel_size")
    size = (kernel,) * (len(before.shape) - 2) if isinstance(kernel, int) else kernel
    if size is None:
        return None
    given = {
        "stride": call.settings.get("stride") or size,
        "padding": call.settings.get("padding", 0),
    }
    window = _window(given, before, size)
    return window if window is not None and window.size_out == call.shape[2:] else None


def global_pool(call: Call, read: Sequence[Call]) -> Chain | None:
    """The mean over all positions of an image: an adaptive pool to one, or a mean over the axes."""
    before = first_of(read)
    if before is None or len(before.shape) != 4:
        return None
    if call.size * prod(before.shape[2:]) != before.size:
        return None
    return [Pool("average", Window.whole(before.shape[2:]))]
