"""A trace's operations as a Graph: what theory can say of a model that ran."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod
from typing import Any

from depthscale import graph as g
from depthscale.activations import activation
from depthscale.errors import DepthscaleError
from depthscale.trace import Trace, TracedOp

_RENAMED = {"hardtanh": "hard_tanh", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid"}
_SLOPED = {"leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha"}
_MANY = 64  # entries over which a layer norm's statistics no longer vary
_SAME = ("to", "float", "half", "bfloat16", "double", "type_as", "positive")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Described:
    """graph: of the operations between the inputs and the loss; last: trace id -> position of its output in the graph.

    first: trace id -> position of the operation that reads its inputs, where that is another one (a norm with gamma, beta).
    """

    graph: g.Graph
    last: dict[int, int]
    first: dict[int, int]


def described(trace: Trace) -> Described:
    """The graph of a trace, with its measured weight variances, its inputs' variances and correlations, and its batch size.

    What theory has no operation for becomes an Unknown of its name. Weights are taken to be independent and centred.
    """
    ops: list[g.Op] = []
    last: dict[int, int] = {}
    first: dict[int, int] = {}
    samples = float(trace.batch)
    for op in trace.ops:
        chain = _chain(trace, op)
        reads = tuple(last[i] for i in op.reads)
        extra = _parameter_input(op)
        if extra is not None and len(reads) == 1:
            ops.append(g.Op(f"{op.name} (parameter)", extra, (), op.id))
            reads = (*reads, len(ops) - 1)
        for k, what in enumerate(chain):
            inputs = _inputs(what, reads) if k == 0 else (len(ops) - 1,)
            if inputs is None:
                what, inputs = g.Unknown(op.op), reads
            ops.append(g.Op(op.name, what, inputs, op.id))
            if k == 0:
                first[op.id] = len(ops) - 1
        last[op.id] = len(ops) - 1
    return Described(g.Graph(tuple(ops), samples), last, first)


def _chain(trace: Trace, op: TracedOp) -> list[g.Operation]:
    """The operations that one traced operation stands for, in order."""
    before = trace.ops[op.reads[0]] if op.reads else None
    rule = _RULES.get(op.op)
    found = rule(op, before) if rule is not None else _by_activation(op)
    return found or [g.Unknown(op.op)]


def _inputs(what: g.Operation, reads: tuple[int, ...]) -> tuple[int, ...] | None:
    """What a described operation reads, or None where the trace gives it another number of inputs."""
    wanted = {g.Input: 0, g.Embedding: 0, g.Add: 2, g.Attention: 3}.get(type(what), 1)
    if isinstance(what, g.Unknown):
        return reads
    if isinstance(what, g.Embedding | g.Input):
        return ()
    return reads[:3] if wanted == 3 and len(reads) > 3 else reads if len(reads) == wanted else None


def _parameter_input(op: TracedOp) -> g.Input | None:
    """A parameter that is added to the signal: the same for all samples."""
    if op.op == "add" and op.weights and len(op.weights[0][1]) > 1 and not {"left", "right"} & set(op.settings):
        return g.Input(op.weights[0][2], 1.0, _places(op.shape))
    return None


# ---- one rule for each kind of operation: (operation, the one whose output it reads) -> what it is, None where that is not known


def _input(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    alike = min(1.0, max(0.0, op.likeness.samples)) if op.likeness is not None else 0.0
    if op.activation is None or not op.activation.mean_square() > 0:
        return None
    return [g.Input(op.activation.mean_square(), alike, _places(op.shape))]


def _embedding(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    if not op.weights:
        return None
    (_, shape, ms), *_ = op.weights
    return [g.Embedding(ms, shape[0], op.shape[1:-1])]


def _linear(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    matrix = next(((shape, ms) for _, shape, ms in op.weights if len(shape) == 2), None)
    if matrix is None:
        return None
    (rows, columns), ms = matrix
    fan_in, fan_out = (columns, rows) if op.op == "linear" else (rows, columns)
    map_ = g.Linear(fan_in, fan_out, fan_in * ms, _bias(op))
    flat = before is not None and len(before.shape) > 2 and before.shape[-1] != fan_in and prod(before.shape[1:]) == fan_in
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
        return (value,) * len(kernel) if isinstance(value, int) else value if isinstance(value, tuple) else None

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
    settings = {"stride": op.settings.get("stride") or size, "padding": op.settings.get("padding", 0)}
    window = _window(_with(op, settings), before, size)
    kind = "max" if op.op.startswith("max") else "average"
    return [g.Pool(kind, window)] if window is not None and window.size_out == op.shape[2:] else None


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
    if not training and (named.get("running_mean"), named.get("running_var")) != (0.0, 1.0):
        return None
    affine = [ms for name, shape, ms in op.weights if not name.endswith(("running_mean", "running_var"))]
    norm = g.Norm("batch", size, eps, "batch" if training else "running")
    return _scaled(norm, affine)


def _layer_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    size = prod(op.settings.get("normalized_shape") or op.shape[-1:])
    kind = "rms" if op.op == "rms_norm" else "layer"
    return _scaled(g.Norm(kind, inf if size >= _MANY else size, op.settings.get("eps") or 0.0), [ms for _, _, ms in op.weights])


def _group_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    groups = op.settings.get("num_groups")
    if not groups:
        return None
    size = prod(op.shape[1:]) / groups
    return _scaled(g.Norm("group", size, op.settings.get("eps", 1e-5)), [ms for _, _, ms in op.weights])


def _instance_norm(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return _scaled(g.Norm("instance", prod(op.shape[2:]), op.settings.get("eps", 1e-5)), [ms for _, _, ms in op.weights])


def _scaled(norm: g.Norm, affine: list[float]) -> list[g.Operation] | None:
    """A norm and its gamma, known by its mean square; a beta that is not 0 is not known well enough."""
    if len(affine) > 1 and affine[1] > 0:
        return None
    return [norm, g.Affine(affine[0] ** 0.5, 0.0)] if affine and affine[0] != 1.0 else [norm]


def _add(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    for side in ("left", "right"):
        if side in op.settings:
            return [g.Affine(1.0, float(op.settings[side]) * op.settings.get("alpha", 1))]
    return [g.Add(float(op.settings.get("alpha", 1)))]


def _multiplied(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    for side in ("left", "right"):
        if side in op.settings:
            return [g.Affine(float(op.settings[side]), 0.0)]
    return [g.Affine(op.weights[0][2] ** 0.5, 0.0)] if len(op.weights) == 1 else None


def _divided(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    by = op.settings.get("right")
    return [g.Affine(1 / float(by), 0.0)] if by else None


def _dropout(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    p = op.settings.get("p", 0.5)
    if not op.settings.get("training", True):
        return [g.Affine(1.0, 0.0)]
    return [g.Dropout(1 - p)] if p < 1 else None


def _attention(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return [g.Attention(op.shape[1] if len(op.shape) == 4 else 1, bool(op.settings.get("is_causal")))]


def _same(op: TracedOp, before: TracedOp | None) -> list[g.Operation] | None:
    return [g.Affine(1.0, 0.0)]


def _by_activation(op: TracedOp) -> list[g.Operation] | None:
    name = _RENAMED.get(op.op, op.op)
    if name == "gelu" and op.settings.get("approximate") == "tanh":
        name = "gelu_tanh"
    if op.op in _SLOPED:
        name = f"{name}({op.settings[_SLOPED[op.op]]})"
    if op.op == "hardtanh" and (op.settings.get("min_val"), op.settings.get("max_val")) != (-1.0, 1.0):
        return None
    try:
        return [g.Elementwise(activation(name).name)] if len(op.reads) == 1 and not op.weights else None
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
    **dict.fromkeys(_SAME, _same),
}
