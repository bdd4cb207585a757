"""Calls of torch as operations: one rule for each function.

A rule takes the call and those whose outputs it reads, and gives the operations that it is, or None
where that is not known.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from depthscale.network import torch_maps as maps
from depthscale.network.meaning import Call, Meaning, Shape, scale_of
from depthscale.network.normalizers import NORM_CALLS
from depthscale.network.operations import (
    Add,
    Affine,
    Attention,
    Dropout,
    Elementwise,
    Embedding,
    Input,
    Multiply,
    Norm,
    Operation,
    Pad,
    Part,
    Prepend,
    Repeat,
    Unknown,
)
from depthscale.network.torch_calls import activation_of
from depthscale.network.written_out import written_out

Chain = list[Operation]
Rule = Callable[[Call, Sequence[Call]], Chain | None]


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
    eps = float(given.get("eps") or 0.0)
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
    rule = _RULES.get(call.op, _activation)
    try:
        return rule(call, [calls[i] for i in call.reads]) or [Unknown(call.op)]
    except (ArithmeticError, TypeError, ValueError):  # of settings that no call of torch takes
        return [Unknown(call.op)]


# ---- the rules


def _input(call: Call, read: Sequence[Call]) -> Chain | None:
    alike = min(1.0, max(0.0, call.likeness.samples)) if call.likeness is not None else 0.0
    if call.activation is None or not call.activation.mean_square() > 0:
        return None
    return [Input(call.activation.mean_square(), alike, places(call.shape))]


def _embedding(call: Call, read: Sequence[Call]) -> Chain | None:
    if not call.weights:
        return None
    (_, shape, ms), *_ = call.weights
    # of the tokens that came
    values = call.activation
    ms = values.mean_square() if values is not None and values.count else ms
    if call.settings.get("same_for_all"):  # as of positions, which differ, or of a sentence's type
        near = 0.0 if call.likeness is None else call.likeness.positions
        return [Input(ms, 1.0, call.shape[-2:-1], min(1.0, max(0.0, near)))]
    return [Embedding(ms, shape[0], call.shape[1:-1])]


def _norm(call: Call, read: Sequence[Call]) -> Chain | None:
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


def _add(call: Call, read: Sequence[Call]) -> Chain | None:
    alpha = float(call.settings.get("alpha", 1))  # of what stands on the right
    if "left" in call.settings:
        return [Affine(alpha, float(call.settings["left"]))]
    if "right" in call.settings:
        return [Affine(1.0, alpha * float(call.settings["right"]))]
    return [Add(alpha)]


def _multiplied(call: Call, read: Sequence[Call]) -> Chain | None:
    for side in ("left", "right"):
        if side in call.settings:
            return [Affine(float(call.settings[side]), 0.0)]
    if len(call.reads) == 2 and call.reads[0] != call.reads[1] and not call.weights:
        return [Multiply()] if all(each.size == call.size for each in read) else None
    return [Affine(call.weights[0][2] ** 0.5, 0.0)] if len(call.weights) == 1 else None


def _divided(call: Call, read: Sequence[Call]) -> Chain | None:
    by = call.settings.get("right")
    return [Affine(1 / float(by), 0.0)] if by and "rounding_mode" not in call.settings else None


def _dropout(call: Call, read: Sequence[Call]) -> Chain | None:
    p = call.settings.get("p", 0.5)
    if not call.settings.get("training", True):
        return [Affine(1.0, 0.0)]
    return [Dropout(1 - p)] if p < 1 else None


def _attention(call: Call, read: Sequence[Call]) -> Chain | None:
    """Its scale in units of the one that it takes by itself."""
    given, heads = call.settings, call.shape[1] if len(call.shape) == 4 else 1
    scale = (given.get("scale") or 0.0) * given.get("head_size", 1) ** 0.5 or 1.0
    keep = 1 - given.get("dropout_p", 0.0)
    causal, shared_by = bool(given.get("is_causal")), given.get("shared_by", 1)
    window = given.get("window")
    return [Attention(heads, causal, window, scale, shared_by, keep)] if keep > 0 else None


def _same(call: Call, read: Sequence[Call]) -> Chain | None:
    return [Affine(1.0, 0.0)]


def _selected(call: Call, read: Sequence[Call]) -> Chain | None:
    """Some positions of a sequence, as the first one, or the last: every entry of those; or one of
    several parts that lie beside each other in the entries."""
    before = maps.first_of(read)
    if before is None or len(before.shape) != 3 or not before.size or len(read) > 1:
        return None
    share = call.size / before.size
    if share < 1 and call.shape and call.shape[-1] == before.shape[-1] * share:
        return [Part(share)]
    if call.size * before.shape[1] % before.size or call.shape[-1] != before.shape[-1] or share > 1:
        return None
    return [Part(share, "positions")]


def _joined(call: Call, read: Sequence[Call]) -> Chain | None:
    """A sequence behind what no input changes, as a class token; or a signal and so little, as an
    empty cache, that it is nearly the signal."""
    before = maps.first_of(read)
    if before is not None and len(read) == len(call.weights) == 1 and len(call.shape) == 3:
        samples, length, entries = call.shape
        own = before.size // (samples * entries)
        if own < length and before.size == samples * own * entries:
            return [Prepend(length - own, call.weights[0][2])]
    nearly = before is not None and len(call.reads) == 1 and call.size < 1.3 * before.size
    return [Affine(1.0, 0.0)] if nearly else None


def _padded(call: Call, read: Sequence[Call]) -> Chain | None:
    """Zeros around images or sequences, [samples, channels, *size]; of width 0, nothing."""
    widths, before = call.settings.get("pad"), maps.first_of(read)
    if not isinstance(widths, tuple) or before is None or len(widths) % 2:
        return None
    if not any(widths):
        return [Affine(1.0, 0.0)]
    size, axes = before.shape[2:], len(widths) // 2
    zeros = call.settings.get("mode") == "constant" and not call.settings.get("value")
    if not zeros or axes > len(size) or min(widths) < 0 or call.size == before.size:
        return None
    less = (0,) * (len(size) - axes)  # torch names the last axis first
    return [Pad(size, (*less, *widths[-2::-2]), (*less, *widths[::-2]))]


def _repeated(call: Call, read: Sequence[Call]) -> Chain | None:
    """Heads, [samples, heads, ..., positions, entries], each several times."""
    before = maps.first_of(read)
    if before is None or not before.size or call.size % before.size or len(call.shape) < 4:
        return None
    if call.shape[0] != before.shape[0] or call.shape[-2] != before.shape[-2]:
        return None
    if len(before.shape) != 3 and call.shape[-1] != before.shape[-1]:
        return None
    return [Repeat(call.size // before.size)]


def _activation(call: Call, read: Sequence[Call]) -> Chain | None:
    row = activation_of(call.op, call.settings)
    if row is None or len(call.reads) != 1 or call.weights:
        return None
    return [Elementwise(row.name)]


def _prelu(call: Call, read: Sequence[Call]) -> Chain | None:
    """With one slope for all, of which the sign is not known: neither mean square depends on it."""
    if len(call.weights) != 1 or prod(call.weights[0][1]) != 1:
        return None
    return [Elementwise(f"prelu({call.weights[0][2] ** 0.5})")]


_SPLITTING = ("chunk", "split", "unbind", "tensor_split")


def _negative(call: Call, read: Sequence[Call]) -> Chain | None:
    return [Affine(-1.0, 0.0)]


_SAME = ("to", "float", "half", "bfloat16", "double", "type_as", "positive")
_RULES: dict[str, Rule] = {
    "input": _input,
    "embedding": _embedding,
    "linear": maps.linear,
    "einsum": maps.einsum,
    **dict.fromkeys(("addmm", "matmul", "mm"), maps.matmul),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), maps.conv),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), maps.max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), maps.average_pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "mean"), maps.global_pool),
    **dict.fromkeys(NORM_CALLS, _norm),
    "add": _add,
    "mul": _multiplied,
    "neg": _negative,
    "div": _divided,
    "dropout": _dropout,
    "scaled_dot_product_attention": _attention,
    "getitem": _selected,
    "select": _selected,
    "cat": _joined,
    "pad": _padded,
    **dict.fromkeys(("expand", "repeat_interleave"), _repeated),
    "prelu": _prelu,
    **dict.fromkeys((*_SAME, *_SPLITTING), _same),
}
