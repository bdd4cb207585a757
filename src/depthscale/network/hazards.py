"""Hazards: by what a function may spoil values or their gradients."""

from enum import Enum


class Hazard(Enum):
    """What advice on an operation goes by."""

    EXPONENTIAL = "exponential"  # grows beyond any format
    LOGARITHM = "logarithm"  # infinite at 0
    ROOT = "root"  # its slope is infinite at 0
    DIVISION = "division"  # infinite at 0
    POWER = "power"  # squares leave a format at the root of its end
    ARC = "arc sine"  # its slope is infinite at its ends
    STEP = "rounding"  # constant but for jumps, so that its gradient is 0
    SHARES = "softmax"  # of a softmax: they add up to 1
    LOG_SHARES = "log-softmax"  # their logarithms
    SELECTION = "selection"  # hands on some of its values; the others get a gradient of 0
    ASSEMBLY = "assembly"  # puts values beside each other, each in a part of its own
    RANDOM = "random"  # drawn, so that some values are 0 this time
    LIMIT = "clamp"  # constant beyond its ends
    MAP = "map"  # sums of products, with weights
    PRODUCT = "product"
    SUM = "sum"


_NORMS = ("linalg_norm", "linalg_vector_norm", "linalg_matrix_norm", "vector_norm")

_HAZARDS: dict[Hazard, tuple[str, ...]] = {
    Hazard.EXPONENTIAL: ("exp", "exp2", "expm1", "sinh", "cosh", "logsumexp"),
    Hazard.LOGARITHM: ("log", "log2", "log10", "log1p", "logit", "xlogy"),
    Hazard.ROOT: ("sqrt", "norm", "std", "cdist", "dist", *_NORMS),
    Hazard.DIVISION: ("div", "rdiv", "reciprocal", "true_divide", "rsqrt", "normalize", "addcdiv"),
    Hazard.POWER: ("pow", "square", "rpow", "float_power", "cumprod", "prod"),
    Hazard.ARC: ("acos", "arccos", "asin", "arcsin", "atanh", "arctanh", "acosh"),
    Hazard.STEP: (
        *("round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside"),
        *("floordiv", "floor_divide"),
    ),
    Hazard.SHARES: ("softmax", "softmin", "scaled_dot_product_attention"),
    Hazard.LOG_SHARES: ("log_softmax",),
    Hazard.SELECTION: (
        *("getitem", "select", "index_select", "gather", "where", "masked_fill", "masked_select"),
        *("narrow", "split", "chunk", "unbind", "max", "min", "amax", "amin", "maximum"),
        *("minimum", "topk", "sort", "take", "take_along_dim", "index_put", "setitem"),
        *("scatter", "max_pool1d", "max_pool2d", "adaptive_max_pool2d", "masked_scatter"),
    ),
    Hazard.ASSEMBLY: ("cat", "concat", "stack", "hstack", "vstack", "column_stack"),
    Hazard.RANDOM: (
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "bernoulli",
        "new_empty",
        "empty_like",
    ),
    Hazard.LIMIT: ("clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "hardsigmoid", "relu6"),
    Hazard.PRODUCT: ("mul", "matmul", "mm", "bmm", "einsum", "baddbmm"),
    Hazard.SUM: ("add", "sub", "rsub", "sum", "mean", "cumsum"),
}
_OF = {function: hazard for hazard, functions in _HAZARDS.items() for function in functions}


def own_hazard(function: str) -> Hazard | None:
    """By what a function that is no map may spoil values; None for what is not known to."""
    return _OF.get(function)
