"""codec: frozen dataclasses <-> JSON's types, by the annotations of their fields."""

import base64
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from depthscale.network import Activation
from depthscale.sketch import Sketch

_KIND = "is"  # the key under which a dataclass's name stands


def plain(value: Any) -> Any:
    """JSON's types: sketches as text, numbers that JSON lacks spelled out, a custom activation by
    its name alone."""
    match value:
        case Sketch():
            return base64.b64encode(value.to_bytes()).decode()
        case Activation():
            return f"function {value.name}"
        case np.ndarray():
            return plain(value.tolist())
        case float():
            return value if isfinite(value) else str(value)
        case Mapping():
            return {key: plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    if is_dataclass(value):
        parts = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        return {_KIND: type(value).__name__} | parts
    return value


def rebuilt(kind: Any, value: Any) -> Any:
    """The value of a type from what `plain` made of it.

    Raises:
        KeyError, TypeError, ValueError: where parts are missing, too many or of another kind.
    """
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if origin in (Union, UnionType):
        return _one_of(args, value)
    if kind is Sketch:
        return Sketch.from_bytes(base64.b64decode(value, validate=True))
    if is_dataclass(kind):
        return _record(kind, value)
    if origin is np.ndarray:
        return _array(args, value)
    if origin is tuple:
        return _tuple(args, value)
    if origin is Literal:
        return args[args.index(value)]
    if origin is Mapping:
        return {key: _untyped(one) for key, one in value.items()}
    if kind is float:
        return float(value)
    if kind in (int, str, bool) and not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return _untyped(value)


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    if isinstance(value, dict) and _KIND in value:
        return rebuilt(next(k for k in kinds if k.__name__ == value[_KIND]), value)
    return rebuilt(kinds[0], value) if len(kinds) == 1 else _untyped(value)


def _record(kind: Any, value: dict[str, Any]) -> Any:
    parts = dict(value)
    if parts.pop(_KIND) != kind.__name__:
        raise TypeError(f"{value[_KIND]} is no {kind.__name__}")
    hints = _hints(kind)
    return kind(**{name: rebuilt(hints[name], one) for name, one in parts.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _array(args: tuple[Any, ...], value: Any) -> np.ndarray:
    """Of the annotation's number type, of any shape; infinities and nan are spelled out."""
    (dtype,) = get_args(args[1])
    return np.array(_numbers(value), dtype)


def _numbers(value: Any) -> Any:
    return [_numbers(one) for one in value] if isinstance(value, list) else float(value)


def _tuple(args: tuple[Any, ...], value: list[Any]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(rebuilt(args[0], one) for one in value)
    return tuple(rebuilt(kind, one) for kind, one in zip(args, value, strict=True))


def _untyped(value: Any) -> Any:
    """Of no stated type: lists become tuples, spelled-out numbers numbers."""
    if isinstance(value, list):
        return tuple(_untyped(one) for one in value)
    if isinstance(value, dict):
        return {key: _untyped(one) for key, one in value.items()}
    return float(value) if value in ("inf", "-inf", "nan") else value
