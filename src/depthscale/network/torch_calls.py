"""What is kept of a call of a torch function, and what kind of function it is: read while a model
runs."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from depthscale.errors import InvalidSpec
from depthscale.network.activations import ACTIVATIONS, FAMILIES, Activation, Family
from depthscale.network.hazards import Hazard, own_hazard
from depthscale.network.normalizers import NORM_CALLS


class Judged(Enum):
    """What a loss takes for an output."""

    LOGITS = "logits"
    LOGARITHMS = "logarithms of shares"
    SHARES = "shares"
    NUMBERS = "numbers"


# function -> plain arguments that are kept: name -> (position, default or None)
_Kept = dict[str, tuple[int, Any]]
_ATTENTION = "scaled_dot_product_attention"
_WINDOW: _Kept = {"stride": (3, 1), "padding": (4, 0), "dilation": (5, 1), "groups": (6, 1)}
_POOL: _Kept = {"kernel_size": (1, None), "stride": (2, None), "padding": (3, None)}


def _kept_of_activations() -> dict[str, _Kept]:
    """Settings come behind the input, in the order of the row; a row's first function is its own,
    whose settings there are the defaults."""
    kept: dict[str, _Kept] = {}
    for row in ACTIVATIONS.values():
        for own, (function, settings) in enumerate(row.torch.items()):
            for place, (name, value) in enumerate(settings.items(), 1):
                default = None if own else value
                kept.setdefault(function, {}).setdefault(name, (place, default))
    return kept


_KEPT: dict[str, _Kept] = {
    **_kept_of_activations(),
    **{
        function: {
            name: (call.signature.index(name), default) for name, default in call.settings.items()
        }
        for function, (_, call) in NORM_CALLS.items()
    },
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _WINDOW),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"), _POOL),
    "adaptive_avg_pool2d": {"output_size": (1, None)},
    "dropout": {"p": (1, 0.5), "training": (2, True)},
    _ATTENTION: {
        "dropout_p": (4, None),
        "is_causal": (5, None),
        "scale": (6, None),
    },
    "softmax": {"dim": (1, None)},
    "pad": {"pad": (1, None), "mode": (2, "constant"), "value": (3, None)},
    "einsum": {"equation": (0, None)},
    "mean": {"dim": (1, None)},
    "var": {"dim": (1, None), "unbiased": (2, None), "correction": (9, None)},
    "sum": {"dim": (1, None)},
    "pow": {"exponent": (1, None)},
    "cat": {"dim": (1, None)},
    "transpose": {"dim0": (1, None), "dim1": (2, None)},
}
_DEFAULTS = {
    function: {name: default for name, (_, default) in kept.items() if default is not None}
    for function, kept in _KEPT.items()
}
_HIDDEN = -1e4  # what masks add to logits is less, what biases add is more
_ARITHMETIC = ("add", "sub", "mul", "div")
_PLAIN = (int, float, bool, str)

_EMBEDDINGS = ("embedding", "embedding_bag")
_POSITIONS_OF_MAPS = {
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "addmm", "einsum"), 0),
    **{f"conv{kind}{n}d": n for kind in ("", "_transpose") for n in (1, 2, 3)},
}  # axes of positions in one sample of what a map makes
_LIKE_ANOTHER = ("to", "type_as", "expand_as", "view_as", "reshape_as")
_SCATTERING = (
    "scatter_add",
    "scatter_reduce",
    "index_add",
    "index_reduce",
    "sparse_mm",
    "segment_reduce",
)
_PRODUCTS = ("matmul", "mm", "bmm")
_LOSSES = {  # what each takes for its first argument
    "cross_entropy": Judged.LOGITS,
    "binary_cross_entropy_with_logits": Judged.LOGITS,
    "multi_margin_loss": Judged.NUMBERS,
    "nll_loss": Judged.LOGARITHMS,
    "kl_div": Judged.LOGARITHMS,
    "binary_cross_entropy": Judged.SHARES,
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"), Judged.NUMBERS),
}
_OVERWRITING = ("where", "index_put", "scatter")  # in places, and hand on the others
_SCALING = ("mul", "addcmul")
# elementwise functions that no row is for
_UNNAMED = (
    "prelu",
    "rrelu",
    "threshold",
    "logsigmoid",
    "glu",
    "hardtanh",
    "softplus",
    "gelu",
    "elu",
    "celu",
)
_COMPARED = ("add", "input", "embedding", "layer_norm", "rms_norm")


def settings(function: str, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The plain arguments of a call that are kept, by name, with torch's defaults."""
    kept = dict(_DEFAULTS.get(function, {}))
    for key, (position, _) in _KEPT.get(function, {}).items():
        value = kwargs.get(key, args[position] if position < len(args) else None)
        if _is_plain(value):
            kept[key] = tuple(value) if isinstance(value, list | tuple) else value
    if function in _ARITHMETIC and len(args) > 1:
        for side, value in zip(("left", "right"), args, strict=False):
            if isinstance(value, int | float) and not isinstance(value, bool):
                kept[side] = value
        if isinstance(kwargs.get("alpha"), int | float):
            kept["alpha"] = kwargs["alpha"]
        if kwargs.get("rounding_mode") is not None:
            kept["rounding_mode"] = kwargs["rounding_mode"]
    if function == _ATTENTION:
        kept |= _heads(*args, **kwargs)
    return kept


def _heads(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    *others: Any,
    enable_gqa: bool = False,
    **named: Any,
) -> dict[str, Any]:
    """Entries of a head, how many heads of queries read one of keys, and what a mask leaves."""
    shared = query.shape[-3] // key.shape[-3] if enable_gqa else 1
    return {"head_size": query.shape[-1], "shared_by": shared, **_past(attn_mask)}


def _past(mask: Any) -> dict[str, Any]:
    """Of a mask [..., queries, keys], of truth values or of what is added to logits, biases
    included: whether it leaves each position its own past, or so many positions of it."""
    if mask is None or mask.dim() < 2 or mask.shape[-1] != mask.shape[-2]:
        return {}
    seen = mask if not mask.dtype.is_signed else mask > _HIDDEN
    window = int(seen[(0,) * (mask.dim() - 2)][-1].sum())
    past = seen.new_ones(seen.shape[-2:]).tril().triu(1 - window)
    if not window or not bool((seen == past).all()):
        return {}
    return {"is_causal": True, **({"window": window} if window < mask.shape[-1] else {})}


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(v, _PLAIN) for v in value)
    )


def _activations() -> dict[str, list[tuple[Mapping[str, Any], Activation]]]:
    found: dict[str, list[tuple[Mapping[str, Any], Activation]]] = {}
    for row in ACTIVATIONS.values():
        for function, wanted in row.torch.items():
            found.setdefault(function, []).append((wanted, row))
    return found


_ACTIVATIONS = _activations()


def activation_of(function: str, given: Mapping[str, Any]) -> Activation | None:
    """The activation that a function with those settings computes, if it is in the table."""
    family = FAMILIES.get(function)
    if family is not None:
        return _of_family(family, function, given.get(family.setting))
    for wanted, row in _ACTIVATIONS.get(function, ()):
        if all(given.get(name) == value for name, value in wanted.items()):
            return row
    return None


def _of_family(family: Family, name: str, value: float | None) -> Activation | None:
    try:
        return None if value is None else family.make(f"{name}({value})", value)
    except InvalidSpec:
        return None


def is_input(function: str) -> bool:
    """Whether this is what the model is given, and no call."""
    return function == "input"


def is_embedding(function: str) -> bool:
    return function in _EMBEDDINGS


def is_norm(function: str) -> bool:
    return function in NORM_CALLS


def is_elementwise(function: str, given: Mapping[str, Any]) -> bool:
    """Whether a function is an activation, of the table or not."""
    return function in _UNNAMED or activation_of(function, given) is not None


def may_be_elementwise(function: str) -> bool:
    """Whether a function is an activation under some settings."""
    return function in _UNNAMED or function in FAMILIES or function in _ACTIVATIONS


def may_be_compared(function: str) -> bool:
    """Whether the samples of its output are worth comparing under some settings."""
    return function in _COMPARED or may_be_elementwise(function)


def is_rectifier(function: str, given: Mapping[str, Any]) -> bool:
    row = activation_of(function, given)
    return row is not None and row.rectifier


def is_compared(function: str, given: Mapping[str, Any]) -> bool:
    """Whether the samples of its output are worth comparing: of activations, sums, norms over a
    sample's entries, and of what comes in."""
    return function in _COMPARED or is_elementwise(function, given)


def positions_of_map(function: str) -> int | None:
    """Axes of positions in one sample of what a linear map (0) or convolution makes; None for
    others."""
    return _POSITIONS_OF_MAPS.get(function)


def is_map(function: str) -> bool:
    """Whether it is a linear map or a convolution."""
    return function in _POSITIONS_OF_MAPS


def hazard_of(function: str) -> Hazard | None:
    """By what a function may spoil values; None for what is not known to."""
    return own_hazard(function) or (Hazard.MAP if is_map(function) else None)


def scales(function: str) -> bool:
    """Whether it multiplies entry by entry."""
    return function in _SCALING


def makes_shares(function: str) -> bool:
    """Whether it is a softmax, or has one inside that can be computed again."""
    return hazard_of(function) is Hazard.SHARES


def is_loss(function: str) -> bool:
    """Whether it judges an output by labels or targets."""
    return function in _LOSSES


def has_classes(function: str) -> bool:
    """Whether a loss takes one output for each class, of which one is right."""
    return function == "cross_entropy"


def judged_by(function: str) -> Judged | None:
    """What a loss takes for an output; None for what is no loss."""
    return _LOSSES.get(function)


def is_assembly(function: str) -> bool:
    """Whether it puts values beside each other, each in a part of its own."""
    return hazard_of(function) is Hazard.ASSEMBLY or function in _OVERWRITING


def is_derivative(function: str) -> bool:
    """Whether it is autograd's own, called inside a forward pass."""
    return function in ("grad", "jacobian", "hessian", "vjp", "jvp")


def is_step(node: str) -> bool:
    """Whether an autograd node, by its class, is that of a function that is constant but for
    jumps."""
    return hazard_of(node.partition("Backward")[0].lower()) is Hazard.STEP


def takes_shape_of_another(function: str) -> bool:
    """Whether its other tensor gives a type or a shape alone."""
    return function in _LIKE_ANOTHER


def is_scatter(function: str) -> bool:
    """Whether it adds up entries by index."""
    return function in _SCATTERING


def is_product(function: str) -> bool:
    """Whether it multiplies matrices, in either order."""
    return function in _PRODUCTS
