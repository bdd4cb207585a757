"""What an operation was called with, as far as theory, the ledger or a person asks."""

from typing import Any

# name of the function -> positions of the arguments that are kept
_ASKED: dict[str, dict[str, int]] = {
    "batch_norm": {"training": 5, "momentum": 6, "eps": 7},
    "instance_norm": {"use_input_stats": 5, "momentum": 6, "eps": 7},
    "layer_norm": {"normalized_shape": 1, "eps": 4},
    "rms_norm": {"normalized_shape": 1, "eps": 3},
    "group_norm": {"num_groups": 1, "eps": 4},
    "dropout": {"p": 1, "training": 2},
    "conv1d": {"stride": 3, "padding": 4, "dilation": 5, "groups": 6},
    "conv2d": {"stride": 3, "padding": 4, "dilation": 5, "groups": 6},
    "conv3d": {"stride": 3, "padding": 4, "dilation": 5, "groups": 6},
    "max_pool2d": {"kernel_size": 1, "stride": 2, "padding": 3},
    "avg_pool2d": {"kernel_size": 1, "stride": 2, "padding": 3},
    "adaptive_avg_pool2d": {"output_size": 1},
    "scaled_dot_product_attention": {"is_causal": 5, "scale": 6},
    "softmax": {"dim": 1},
    "leaky_relu": {"negative_slope": 1},
    "elu": {"alpha": 1},
    "celu": {"alpha": 1},
    "gelu": {"approximate": 1},
    "softplus": {"beta": 1, "threshold": 2},
    "hardtanh": {"min_val": 1, "max_val": 2},
    "clamp": {"min": 1, "max": 2},
    "mean": {"dim": 1},
    "sum": {"dim": 1},
    "pow": {"exponent": 1},
    "cat": {"dim": 1},
    "transpose": {"dim0": 1, "dim1": 2},
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "batch_norm": {"training": False, "eps": 1e-5},
    "instance_norm": {"use_input_stats": True, "eps": 1e-5},
    "layer_norm": {"eps": 1e-5},
    "group_norm": {"eps": 1e-5},
    "dropout": {"p": 0.5, "training": True},
    "leaky_relu": {"negative_slope": 0.01},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "conv1d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv2d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv3d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
}
_ARITHMETIC = ("add", "sub", "mul", "div")
_PLAIN = (int, float, bool, str)


def of(name: str, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that are asked for, plain values only."""
    found = dict(_DEFAULTS.get(name, {}))
    for key, position in _ASKED.get(name, {}).items():
        value = kwargs.get(key, args[position] if position < len(args) else None)
        if _is_plain(value):
            found[key] = tuple(value) if isinstance(value, list | tuple) else value
    if name in _ARITHMETIC and len(args) > 1:
        for side, value in zip(("left", "right"), args, strict=False):
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[side] = value
        if isinstance(kwargs.get("alpha"), int | float):
            found["alpha"] = kwargs["alpha"]
        if kwargs.get("rounding_mode") is not None:
            found["rounding_mode"] = kwargs["rounding_mode"]
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(v, _PLAIN) for v in value)
    )
