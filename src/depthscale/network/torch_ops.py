"""Calls of torch as operations: one rule for each function.

A rule takes the call and the one whose output it reads first, and gives the operations that it is,
or None where that is not known.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from depthscale.network.meaning import Call, Meaning, Shape, scale_of
from depthscale.network.normalizers import NORM_CALLS
from depthscale.network.operations import (
    Add,
    Affine,
    Attention,
    Conv,
    Dropout,
    Elementwise,
    Embedding,
    Flatten,
    Input,
    Linear,
    Norm,
    Operation,
    Part,
    Pool,
    Unknown,
)
from depthscale.network.torch_calls import activation_of
from depthscale.network.window import Window
from depthscale.network.written_out import written_out

Chain = list[Operation]
Rule = Callable[[Call, Call | None], Chain | None]


def meanings(calls: Sequence[Call]) -> list[Meaning]:
    """What each call is. / calls: of one run, in the order of running."""
    found = [Meaning(tuple(_chain(calls, call)), tuple(call.reads)) for call in calls]
    for last, whole in written_out(calls).items():
        found[last] = whole.meaning
        for i in whole.inside:
            found[i] = replace(found[i], part_of=last)
    return found


def is_split(function: str) -> bool:
    """Whether it has several outputs, each a part of the input."""
    return function in _SPLITTING


def parameter_input(call: Call) -> Input | None:
    """A parameter that is added to the signal: the same for all samples."""
    if (
        call.op == "add"
        and call.weights
        and len(call.weights[0][1]) > 1
        and not {"left", "right"} & set(call.settings)
    ):
        return Input(call.weights[0][2], 1.0, places(call.shape), 0.0)
    return None


def places(shape: Shape) -> Shape:
    """Positions of a sample: of an image [N, C, ...], or of a sequence [N, T, C]."""
    return shape[2:] if len(shape) > 3 else shape[1:2] if len(shape) == 3 else ()


def norm_of(function: str, given: Any, shape: Shape, size: int) -> Norm | None:
    """The norm that a function computes. / given: its settings; shape, size: of its output."""
    if function not in NORM_CALLS:
        return None
    kind, _ = NORM_CALLS[function]
    eps = given.get("eps") or 0.0
    match kind:
        case "batch":
            statistics = "batch" if given["training"] else "running"
            return Norm(kind, size / max(shape[1], 1), eps, statistics)
        case "instance" if given["use_input_stats"]:
            return Norm(kind, prod(shape[2:]), eps)
        case "instance":
            return Norm("batch", size / max(shape[1], 1), eps, "running")
        case "group":
            return Norm(kind, prod(shape[1:]) / given["num_groups"], eps)
    entries = given.get("normalized_shape") or shape[-1:]
    return Norm(kind, entries if isinstance(entries, int) else prod(entries), eps)


def gain_of(call: Call) -> float | None:
    """Mean square of a norm's gain, None without one."""
    return next((ms for _, _, ms in _affine(call)), None)


def _chain(calls: Sequence[Call], call: Call) -> Chain:
    before = calls[call.reads[0]] if call.reads else None
    rule = _RULES.get(call.op, _activation)
    return rule(call, before) or [Unknown(call.op)]


# ---- the rules


def _input(call: Call, before: Call | None) -> Chain | None:
    alike = min(1.0, max(0.0, call.likeness.samples)) if call.likeness is not None else 0.0
    if call.activation is None or not call.activation.mean_square() > 0:
        return None
    return [Input(call.activation.mean_square(), alike, places(call.shape))]


def _embedding(call: Call, before: Call | None) -> Chain | None:
    if not call.weights:
        return None
    (_, shape, ms), *_ = call.weights
    # of the tokens that came
    values = call.activation
    ms = values.mean_square() if values is not None and values.count else ms
    if call.settings.get("same_for_all"):  # as of positions
        return [Input(ms, 1.0, call.shape[-2:-1], 0.0)]
    return [Embedding(ms, shape[0], call.shape[1:-1])]


def _linear(call: Call, before: Call | None) -> Chain | None:
    """x W^T + b: the weight is [out, in]."""
    return _product(call, before, lambda rows, columns: (columns, rows))


def _matmul(call: Call, before: Call | None) -> Chain | None:
    """x W + b: the weight is [in, out]."""
    return _product(call, before, lambda rows, columns: (rows, columns))


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


def _einsum(call: Call, before: Call | None) -> Chain | None:
    """Of a signal and a weight whose last letters are summed over and come out."""
    terms, _, out = call.settings.get("equation", "").replace(" ", "").partition("->")
    operands = terms.split(",")
    if before is None or len(call.weights) != 1 or len(operands) != 2 or len(call.reads) != 1:
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


def _conv(call: Call, before: Call | None) -> Chain | None:
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
    stride, padding = each("stride", 1), each("padding", 0)
    if stride is None or padding is None or dilation is None:
        return None
    return Window(before.shape[2:], kernel, stride, padding, dilation)


def _max_pool(call: Call, before: Call | None) -> Chain | None:
    window = _pooled(call, before)
    return None if window is None else [Pool("max", window)]


def _average_pool(call: Call, before: Call | None) -> Chain | None:
    window = _pooled(call, before)
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


def _global_pool(call: Call, before: Call | None) -> Chain | None:
    """The mean over all positions of an image: an adaptive pool to one, or a mean over the axes."""
    if before is None or len(before.shape) != 4:
        return None
    if call.size * prod(before.shape[2:]) != before.size:
        return None
    return [Pool("average", Window.whole(before.shape[2:]))]


def _norm(call: Call, before: Call | None) -> Chain | None:
    """A norm and its gain, known by its mean square; a shift that is not 0 and statistics that have
    run are not known well enough."""
    norm = norm_of(call.op, call.settings, call.shape, call.size)
    if norm is None:
        return None
    affine = [ms for _, _, ms in _affine(call)]
    gain: Chain = scale_of(affine[0]) if affine else []
    lost: Chain = [Unknown(call.op)] if any(affine[1:]) or not _is_fresh(norm, call) else []
    return [norm, *gain, *lost]


_STATISTICS = ("running_mean", "running_var")


def _affine(call: Call) -> list[tuple[str, Shape, float]]:
    return [each for each in call.weights if not each[0].endswith(_STATISTICS)]


def _is_fresh(norm: Norm, call: Call) -> bool:
    """Whether its statistics are those of what it receives, or 0 and 1, as at initialization."""
    named = {name.rpartition(".")[2]: ms for name, _, ms in call.weights}
    return norm.statistics != "running" or (
        named.get("running_mean") == 0 and not scale_of(named.get("running_var", 0.0))
    )


def _add(call: Call, before: Call | None) -> Chain | None:
    alpha = float(call.settings.get("alpha", 1))  # of what stands on the right
    if "left" in call.settings:
        return [Affine(alpha, float(call.settings["left"]))]
    if "right" in call.settings:
        return [Affine(1.0, alpha * float(call.settings["right"]))]
    return [Add(alpha)]


def _multiplied(call: Call, before: Call | None) -> Chain | None:
    for side in ("left", "right"):
        if side in call.settings:
            return [Affine(float(call.settings[side]), 0.0)]
    return [Affine(call.weights[0][2] ** 0.5, 0.0)] if len(call.weights) == 1 else None


def _divided(call: Call, before: Call | None) -> Chain | None:
    by = call.settings.get("right")
    return [Affine(1 / float(by), 0.0)] if by and "rounding_mode" not in call.settings else None


def _dropout(call: Call, before: Call | None) -> Chain | None:
    p = call.settings.get("p", 0.5)
    if not call.settings.get("training", True):
        return [Affine(1.0, 0.0)]
    return [Dropout(1 - p)] if p < 1 else None


def _attention(call: Call, before: Call | None) -> Chain | None:
    heads = call.shape[1] if len(call.shape) == 4 else 1
    return [Attention(heads, bool(call.settings.get("is_causal")))]


def _same(call: Call, before: Call | None) -> Chain | None:
    return [Affine(1.0, 0.0)]


def _selected(call: Call, before: Call | None) -> Chain | None:
    """Some positions of a sequence, as the first one, or the last: every entry of those."""
    if before is None or len(before.shape) != 3 or not before.size:
        return None
    share = call.size / before.size
    if call.size * before.shape[1] % before.size or call.shape[-1] != before.shape[-1] or share > 1:
        return None
    return [Part(share, "positions")]


def _joined(call: Call, before: Call | None) -> Chain | None:
    """A signal and what no input changes, as a class token, or an empty cache: nearly the
    signal."""
    nearly = before is not None and len(call.reads) == 1 and call.size < 1.3 * before.size
    return [Affine(1.0, 0.0)] if nearly else None


def _activation(call: Call, before: Call | None) -> Chain | None:
    row = activation_of(call.op, call.settings)
    if row is None or len(call.reads) != 1 or call.weights:
        return None
    return [Elementwise(row.name)]


def _prelu(call: Call, before: Call | None) -> Chain | None:
    """With one slope for all, of which the sign is not known: neither mean square depends on it."""
    if len(call.weights) != 1 or prod(call.weights[0][1]) != 1:
        return None
    return [Elementwise(f"prelu({call.weights[0][2] ** 0.5})")]


_SPLITTING = ("chunk", "split", "unbind", "tensor_split")
_SAME = ("to", "float", "half", "bfloat16", "double", "type_as", "positive")
_RULES: dict[str, Rule] = {
    "input": _input,
    "embedding": _embedding,
    "linear": _linear,
    "einsum": _einsum,
    **dict.fromkeys(("addmm", "matmul", "mm"), _matmul),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _average_pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "mean"), _global_pool),
    **dict.fromkeys(NORM_CALLS, _norm),
    "add": _add,
    "mul": _multiplied,
    "div": _divided,
    "dropout": _dropout,
    "scaled_dot_product_attention": _attention,
    "getitem": _selected,
    "select": _selected,
    "cat": _joined,
    "prelu": _prelu,
    **dict.fromkeys((*_SAME, *_SPLITTING), _same),
}
