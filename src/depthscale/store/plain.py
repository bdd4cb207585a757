"""codec: frozen dataclasses <-> JSON's types, by the annotations of their fields."""

import base64
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from depthscale.errors import DepthscaleError
from depthscale.network import OWN, Activation
from depthscale.sketch import Sketch

_KIND = "is"  # the key under which a dataclass's name stands
_SPELLED = ("inf", "-inf", "nan")  # numbers that JSON lacks
_NESTED = 8  # lists in lists, where a field may hold anything
_LARGEST = 2**64  # integer: seeds take so much


class Misfit(ValueError):
    """A part of a record that does not fit its field; the text begins with where that is."""


def as_plain(value: Any) -> Any:
    """JSON's types: sketches as text, numbers that JSON lacks spelled out, a custom activation by
    its name alone."""
    match value:
        case Sketch():
            return base64.b64encode(value.to_bytes()).decode()
        case Activation():
            return f"{OWN}{value.name}"
        case np.ndarray():
            return as_plain(value.tolist())
        case float():
            return value if isfinite(value) else str(value)
        case Mapping():
            return {key: as_plain(one) for key, one in value.items()}
        case list() | tuple():
            return [as_plain(one) for one in value]
    if is_dataclass(value):
        parts = {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
        return {_KIND: type(value).__name__} | parts
    return value


def rebuilt(kind: Any, value: Any) -> Any:
    """The value of a type from what `as_plain` made of it.

    Raises:
        Misfit: where a part is missing, unknown, or of another kind than its annotation.
    """
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return _untyped(value)
    if origin is Annotated:
        return _bounded(args, value)
    if origin in (Union, UnionType):
        return _one_of(args, value)
    if kind is Sketch:
        return _sketch(value)
    if is_dataclass(kind):
        return _record(kind, value)
    if origin is np.ndarray:
        (dtype,) = get_args(args[1])
        return np.array(_numbers(dtype, value), dtype)
    if origin is tuple:
        return _tuple(args, value)
    if origin is Mapping:
        entries = _of_type(dict, "mapping", value).items()
        return {key: _part(f"[{key!r}]", args[1], one) for key, one in entries}
    if origin is Literal or issubclass(kind, Enum):
        return _choice(args or tuple(kind), value)
    return _scalar(kind, value)


def _part(name: str, kind: Any, value: Any) -> Any:
    """A part of a record or a list. / raises: Misfit that begins with its name."""
    try:
        return rebuilt(kind, value)
    except Misfit as inner:
        raise Misfit(f"{name}{inner}") from None


def _of_type(kind: type, word: str, value: Any) -> Any:
    if not isinstance(value, kind):
        raise Misfit(f" is {_shown(value)}, not a {word}")
    return value


def _scalar(kind: type, value: Any) -> Any:
    """A number, a text or a truth, and no other of them in its place."""
    if kind is float:
        return _float(value)
    if type(value) is not kind or (kind is int and not -_LARGEST < value < _LARGEST):
        words = {int: "a whole number that 64 bits hold", str: "a text", bool: "true or false"}
        raise Misfit(f" is {_shown(value)}, not {words.get(kind, f'a {kind.__name__}')}")
    return value


def _float(value: Any) -> float:
    whole = type(value) is int and -_LARGEST < value < _LARGEST
    if not (whole or type(value) is float or value in _SPELLED):
        raise Misfit(f" is {_shown(value)}, not a number")
    return float(value)


def _bounded(args: tuple[Any, ...], value: Any) -> Any:
    kind, least = args
    found = rebuilt(kind, value)
    if found < least.value:
        raise Misfit(f" is {_shown(value)}, not at least {least.value}")
    return found


def _choice(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if choice == value and isinstance(value, str):
            return choice
    raise Misfit(f" is {_shown(value)}, not one of {', '.join(map(str, choices))}")


def _sketch(value: Any) -> Sketch:
    try:
        return Sketch.from_bytes(base64.b64decode(value, validate=True))
    except (DepthscaleError, ValueError, TypeError) as damaged:
        raise Misfit(f" is no sketch: {damaged}") from None


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    if len(kinds) == 1:
        return rebuilt(kinds[0], value)
    name = value.get(_KIND) if isinstance(value, dict) else None
    named = [kind for kind in kinds if kind.__name__ == name]
    if not named:
        words = ", ".join(kind.__name__ for kind in kinds)
        raise Misfit(f" is {_shown(name or value)}, not one of {words}")
    return _record(named[0], value)


def _record(kind: Any, value: Any) -> Any:
    parts = dict(_of_type(dict, kind.__name__, value))
    hints = _hints(kind)
    if (name := parts.pop(_KIND, None)) != kind.__name__:
        raise Misfit(f" is {_shown(name)}, not a {kind.__name__}")
    for name in parts.keys() - hints.keys():
        raise Misfit(f" holds {_shown(name)}, which a {kind.__name__} has not")
    for name in hints.keys() - parts.keys() - _optional(kind):
        raise Misfit(f" lacks {name}")
    return kind(**{name: _part(f".{name}", hints[name], one) for name, one in parts.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind)}


@cache
def _optional(kind: Any) -> frozenset[str]:
    def has_default(f: Field[Any]) -> bool:
        return f.default is not MISSING or f.default_factory is not MISSING

    return frozenset(f.name for f in fields(kind) if has_default(f))


def _numbers(dtype: type, value: Any, axes: int = 2) -> Any:
    """Lists of numbers of a type, along so many axes at most. / raises: Misfit."""
    one = _float if issubclass(dtype, np.floating) else lambda value: _scalar(int, value)
    rows = _of_type(list, "list of numbers", value)
    if axes > 1 and rows and all(isinstance(row, list) for row in rows):
        if len({len(row) for row in rows}) > 1:
            raise Misfit(" has rows of several lengths")
        return [_numbers(dtype, row, axes - 1) for row in rows]
    return [one(number) for number in rows]


def _tuple(args: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    given = _of_type(list, "list", value)
    kinds = (args[0],) * len(given) if args[1:] == (Ellipsis,) else args
    if len(kinds) != len(given):
        raise Misfit(f" has {len(given)} parts, not {len(kinds)}")
    pairs = zip(kinds, given, strict=True)
    return tuple(_part(f"[{k}]", kind, one) for k, (kind, one) in enumerate(pairs))


def _untyped(value: Any, depth: int = 0) -> Any:
    """Of no stated type: lists become tuples, spelled-out numbers numbers."""
    if depth > _NESTED:
        raise Misfit(f" nests more than {_NESTED} lists")
    if isinstance(value, list):
        return tuple(_untyped(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return {key: _untyped(one, depth + 1) for key, one in value.items()}
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        raise Misfit(f" is {_shown(value)}, which 64 bits do not hold")
    return float(value) if value in _SPELLED else value


def _shown(value: Any) -> str:
    """The beginning of a value's text."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
