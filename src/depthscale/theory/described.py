"""A trace's operations as a Graph: what theory can say of a model that ran."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isclose, prod
from typing import Any

import depthscale.network as g
from depthscale.errors import DepthscaleError
from depthscale.network import activation
from depthscale.run import Trace, TracedOp

_RENAMED = {"hardtanh": "hard_tanh", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid"}
_SLOPED = {"leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha"}
_MANY = 64  # entries over which a layer norm's statistics no longer vary
_WRITTEN_ACTIVATIONS = {
    "NewGELUActivation": "gelu_tanh",
    "GELUTanh": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
}
_SPLITTING = ("chunk", "split", "unbind", "tensor_split")
_SAME = ("to", "float", "half", "bfloat16", "double", "type_as", "positive")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Described:
    """graph: of the operations between the inputs and the loss; last: trace id -> position of its
    output in the graph.

    first: trace id -> position of the operation that reads its inputs, where that is another one (a
    norm with gamma, beta).
    reads: trace id -> trace ids of what it reads there; of the last operation of a norm that a
    model writes out, the norm's input.
    inside: trace ids of the other operations of such norms, and of what all samples share, whose
    gradient is not predicted.
    """

    graph: g.Graph
    last: dict[int, int]
    first: dict[int, int]
    reads: dict[int, tuple[int, ...]]
    inside: frozenset[int]


@dataclass(frozen=True)
class _WrittenOut:
    """What a model computes by several operations. / reads: trace id of its input; chain: what it
    is; inside: its others."""

    reads: int
    chain: list[g.Operation]
    inside: frozenset[int]


def described(trace: Trace) -> Described:
    """The graph of a trace, with its measured weight variances, its inputs' variances and
    correlations, and its batch size.

    What theory has no operation for becomes an Unknown of its name. Weights are taken to be
    independent and centred.
    """
    ops: list[g.Op] = []
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    reads_of: dict[int, tuple[int, ...]] = {}
    samples, whole = float(trace.batch), _written_out(trace)
    shared = {
        op.id for op in trace.ops if op.settings.get("same_for_all")
    }  # added to every sample: it gets the sum of theirs
    for op in trace.ops:
        norm = whole.get(op.id)
        chain = _chain(trace, op) if norm is None else norm.chain
        reads_of[op.id] = op.reads if norm is None else (norm.reads,)
        reads = tuple(_whole_or_part(ops, last[i], trace.ops[i], op) for i in reads_of[op.id])
        extra = _parameter_input(op)
        if extra is not None and len(reads) == 1:
            ops.append(g.Op(f"{op.name} (parameter)", extra, (), op.id))
            reads = (*reads, len(ops) - 1)
        for k, what in enumerate(chain):
            inputs = _inputs(what, reads) if k == 0 else (len(ops) - 1,)
            spread = isinstance(what, g.Add) and any(
                trace.ops[i].size != op.size and i not in shared for i in reads_of[op.id]
            )
            if inputs is None or spread:
                what, inputs = g.Unknown(op.op), reads
            ops.append(g.Op(op.name, what, inputs, op.id))
            if k == 0:
                first[op.id] = len(ops) - 1
        last[op.id] = len(ops) - 1
    inside = frozenset(shared).union(*(norm.inside for norm in whole.values()))
    return Described(g.Graph(tuple(ops), samples), last, first, reads_of, inside)


def _written_out(trace: Trace) -> dict[int, _WrittenOut]:
    """By its last operation, every RMS norm or activation that a module writes out in elementary
    functions."""
    calls: dict[tuple[str, int], list[TracedOp]] = defaultdict(list)
    for op in trace.ops:
        if op.module_class.endswith("RMSNorm") or op.module_class in _WRITTEN_ACTIVATIONS:
            calls[op.module, op.call].append(op)
    found = {}
    for ops in calls.values():
        inside = {op.id for op in ops}
        outside = {i for op in ops for i in op.reads if i not in inside}
        if len(outside) != 1 or len(ops) == 1:
            continue
        if ops[0].module_class in _WRITTEN_ACTIVATIONS:
            chain: list[g.Operation] | None = [
                g.Elementwise(_WRITTEN_ACTIVATIONS[ops[0].module_class])
            ]
            found[ops[-1].id] = _WrittenOut(outside.pop(), chain, frozenset(inside - {ops[-1].id}))
        elif {"rsqrt", "mean"} <= {op.op for op in ops}:
            eps = next(
                (
                    float(op.settings[side])
                    for op in ops
                    for side in ("left", "right")
                    if side in op.settings
                ),
                0.0,
            )
            affine = [ms for op in ops for _, shape, ms in op.weights if len(shape) == 1]
            size = ops[-1].shape[-1]
            chain = _scaled(g.Norm("rms", inf if size >= _MANY else size, eps), affine)
            if chain is not None:
                found[ops[-1].id] = _WrittenOut(
                    outside.pop(), chain, frozenset(inside - {ops[-1].id})
                )
    return found


def _whole_or_part(ops: list[g.Op], position: int, made: TracedOp, reader: TracedOp) -> int:
    """What one reader takes of an operation with several outputs of one shape: its own share of the
    entries."""
    if made.op not in _SPLITTING or not made.size or prod(made.shape) == made.size:
        return position
    ops.append(
        g.Op(f"{made.name} (part)", g.Part(prod(made.shape) / made.size), (position,), reader.id)
    )
    return len(ops) - 1


def _chain(trace: Trace, op: TracedOp) -> list[g.Operation]:
    """The operations that one traced operation stands for, in order."""
    before = trace.ops[op.reads[0]] if op.reads else None
    rule = _RULES.get(op.op)
    found = rule(op, before) if rule is not None else _by_activation(op)
    return found or [g.Unknown(op.op)]


def _inputs(what: g.Operation, reads: tuple[int, ...]) -> tuple[int, ...] | None:
    """What a described operation reads, or None where the trace gives it another number of
    inputs."""
    wanted = {g.Input: 0, g.Embedding: 0, g.Add: 2, g.Attention: 3}.get(type(what), 1)
    if isinstance(what, g.Unknown):
        return reads
    if isinstance(what, g.Embedding | g.Input):
        return ()
    return reads[:3] if wanted == 3 and len(reads) > 3 else reads if len(reads) == wanted else None


def _parameter_input(op: TracedOp) -> g.Input | None:
    """A parameter that is added to the signal: the same for all samples."""
    if (
        op.op == "add"
        and op.weights
        and len(op.weights[0][1]) > 1
        and not {"left", "right"} & set(op.settings)
    ):
        return g.Input(op.weights[0][2], 1.0, _places(op.shape), 0.0)
    return None


# ---- one rule for each kind of operation: (operation, the one whose output it reads) -> what it
# is, None where that is not known


def _input(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    alike = min(1.0, max(0.0, op.likeness.samples)) if op.likeness is not None else 0.0
    if op.activation is None or not op.activation.mean_square() > 0:
        return None
    return [g.Input(op.activation.mean_square(), alike, _places(op.shape))]


def _embedding(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    if not op.weights:
        return None
    (_, shape, ms), *_ = op.weights
    # of the tokens that came
    ms = op.activation.mean_square() if op.activation is not None and op.activation.count else ms
    if op.settings.get("same_for_all"):  # as of positions
        return [g.Input(ms, 1.0, op.shape[-2:-1], 0.0)]
    return [g.Embedding(ms, shape[0], op.shape[1:-1])]


def _linear(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    matrix = next(((shape, ms) for _, shape, ms in op.weights if len(shape) == 2), None)
    if matrix is None:
        return None
    (rows, columns), ms = matrix
    fan_in, fan_out = (columns, rows) if op.op == "linear" else (rows, columns)
    if op.shape[-1] != fan_out:
        return None  # it stands on the left and mixes samples, as a graph's adjacency does
    map_ = g.Linear(fan_in, fan_out, fan_in * ms, _bias(op))
    flat = (
        before is not None
        and len(before.shape) > 2
        and before.shape[-1] != fan_in
        and prod(before.shape[1:]) == fan_in
    )
    return [g.Flatten(), map_] if flat else [map_]


def _bias(op: TracedOp) -> float:
    return next((ms for _, shape, ms in op.weights if len(shape) == 1), 0.0)


def _conv(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    kernel = next(((shape, ms) for _, shape, ms in op.weights if len(shape) > 2), None)
    if kernel is None or before is None or len(before.shape) != len(kernel[0]):
        return None
    (out, per_group, *size), ms = kernel
    groups = op.settings.get("groups", 1)
    window = _window(op, before, tuple(size))
    if window is None or window.size_out != op.shape[2:]:
        return None
    return [g.Conv(per_group * groups, out, window, per_group * prod(size) * ms, _bias(op), groups)]


def _window(op: TracedOp, before: TracedOp, kernel: Shape) -> g.Window | None:
    def each(key: str, default: int | Shape) -> Shape | None:
        value = op.settings.get(key, default)
        value = default if value is None or value == () else value
        return (
            (value,) * len(kernel)
            if isinstance(value, int)
            else value
            if isinstance(value, tuple)
            else None
        )

    stride, padding, dilation = each("stride", 1), each("padding", 0), each("dilation", 1)
    if stride is None or padding is None or dilation is None:
        return None
    return g.Window(before.shape[2:], kernel, stride, padding, dilation)


def _pool(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    if before is None or len(before.shape) < 3:
        return None
    kernel = op.settings.get("kernel_size")
    size = (kernel,) * (len(before.shape) - 2) if isinstance(kernel, int) else kernel
    if size is None:
        return None
    settings = {
        "stride": op.settings.get("stride") or size,
        "padding": op.settings.get("padding", 0),
    }
    window = _window(_with(op, settings), before, size)
    kind = "max" if op.op.startswith("max") else "average"
    return (
        [g.Pool(kind, window)] if window is not None and window.size_out == op.shape[2:] else None
    )


def _with(op: TracedOp, settings: dict[str, Any]) -> TracedOp:
    from dataclasses import replace

    return replace(op, settings=settings)


def _global_pool(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    """The mean over all positions of an image: an adaptive pool to one, or a mean over the axes."""
    if before is None or len(before.shape) != 4 or op.size * prod(before.shape[2:]) != before.size:
        return None
    return [g.Pool("average", g.Window.whole(before.shape[2:]))]


def _batch_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    size = op.size / op.shape[1]
    eps, training = op.settings.get("eps", 1e-5), op.settings.get("training")
    named = {name.rpartition(".")[2]: ms for name, _, ms in op.weights}
    if not training and not (
        named.get("running_mean") == 0 and _is_one(named.get("running_var", 0.0))
    ):
        return None
    affine = [
        ms for name, shape, ms in op.weights if not name.endswith(("running_mean", "running_var"))
    ]
    norm = g.Norm("batch", size, eps, "batch" if training else "running")
    return _scaled(norm, affine)


def _layer_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    size = prod(op.settings.get("normalized_shape") or op.shape[-1:])
    kind = "rms" if op.op == "rms_norm" else "layer"
    return _scaled(
        g.Norm(kind, inf if size >= _MANY else size, op.settings.get("eps") or 0.0),
        [ms for _, _, ms in op.weights],
    )


def _group_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    groups = op.settings.get("num_groups")
    if not groups:
        return None
    size = prod(op.shape[1:]) / groups
    return _scaled(
        g.Norm("group", size, op.settings.get("eps", 1e-5)), [ms for _, _, ms in op.weights]
    )


def _instance_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return _scaled(
        g.Norm("instance", prod(op.shape[2:]), op.settings.get("eps", 1e-5)),
        [ms for _, _, ms in op.weights],
    )


def _scaled(norm: g.Norm, affine: list[float]) -> list[g.Operation] | None:
    """A norm and its gamma, known by its mean square; a beta that is not 0 is not known well
    enough."""
    if len(affine) > 1 and affine[1] > 0:
        return None
    return [norm, g.Affine(affine[0] ** 0.5, 0.0)] if affine and not _is_one(affine[0]) else [norm]


def _is_one(mean_square: float) -> bool:
    """But for the rounding of a norm that was squared."""
    return isclose(mean_square, 1.0, rel_tol=1e-5)


def _add(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    alpha = float(op.settings.get("alpha", 1))  # of what stands on the right
    if "left" in op.settings:
        return [g.Affine(alpha, float(op.settings["left"]))]
    return [
        g.Affine(1.0, alpha * float(op.settings["right"]))
        if "right" in op.settings
        else g.Add(alpha)
    ]


def _multiplied(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    for side in ("left", "right"):
        if side in op.settings:
            return [g.Affine(float(op.settings[side]), 0.0)]
    return [g.Affine(op.weights[0][2] ** 0.5, 0.0)] if len(op.weights) == 1 else None


def _divided(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    by = op.settings.get("right")
    return [g.Affine(1 / float(by), 0.0)] if by and "rounding_mode" not in op.settings else None


def _dropout(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    p = op.settings.get("p", 0.5)
    if not op.settings.get("training", True):
        return [g.Affine(1.0, 0.0)]
    return [g.Dropout(1 - p)] if p < 1 else None


def _attention(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return [
        g.Attention(op.shape[1] if len(op.shape) == 4 else 1, bool(op.settings.get("is_causal")))
    ]


def _same(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return [g.Affine(1.0, 0.0)]


def _selected(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    """Some positions of a sequence, as the first one, or the last: every entry of those."""
    if (
        before is None
        or len(before.shape) != 3
        or not before.size
        or op.size * before.shape[1] % before.size
    ):
        return None
    share = op.size / before.size
    return [g.Part(share, "positions")] if op.shape[-1] == before.shape[-1] and share <= 1 else None


def _joined(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    """A signal and what no input changes, as a class token, or an empty cache: nearly the
    signal."""
    return (
        [g.Affine(1.0, 0.0)]
        if before is not None and len(op.reads) == 1 and op.size < 1.3 * before.size
        else None
    )


def _by_activation(op: TracedOp) -> list[g.Operation] | None:
    name = _RENAMED.get(op.op, op.op)
    if name == "gelu" and op.settings.get("approximate") == "tanh":
        name = "gelu_tanh"
    if op.op in _SLOPED:
        name = f"{name}({op.settings[_SLOPED[op.op]]})"
    if op.op == "softplus" and op.settings.get("beta", 1) != 1:
        return None
    if op.op == "hardtanh" and (op.settings.get("min_val"), op.settings.get("max_val")) != (
        -1.0,
        1.0,
    ):
        return None
    try:
        return (
            [g.Elementwise(activation(name).name)]
            if len(op.reads) == 1 and not op.weights
            else None
        )
    except DepthscaleError:
        return None


def _places(shape: Shape) -> Shape:
    """Positions of a sample: of an image [N, C, ...], or of a sequence [N, T, C]."""
    return shape[2:] if len(shape) > 3 else shape[1:2] if len(shape) == 3 else ()


_RULES: dict[str, Callable[[TracedOp, TracedOp | None], list[g.Operation] | None]] = {
    "input": _input,
    "embedding": _embedding,
    "linear": _linear,
    "addmm": _linear,
    "matmul": _linear,
    "mm": _linear,
    "conv1d": _conv,
    "conv2d": _conv,
    "conv3d": _conv,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "max_pool1d": _pool,
    "avg_pool1d": _pool,
    "adaptive_avg_pool2d": _global_pool,
    "mean": _global_pool,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "add": _add,
    "mul": _multiplied,
    "div": _divided,
    "dropout": _dropout,
    "scaled_dot_product_attention": _attention,
    "getitem": _selected,
    "select": _selected,
    "cat": _joined,
    **dict.fromkeys((*_SAME, *_SPLITTING), _same),
}
