"""What makes a cell, as a text: a function by its compiled code, its defaults, what it closes over
and what of its own folder it refers to; comments and formatting do not count."""

from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from hashlib import blake2b
from pathlib import Path
from sys import modules
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


def fingerprint(thing: Any) -> str:
    """The same text for what is made of the same code and values, also in another process."""
    whole = blake2b(digest_size=16)
    for part in _parts(thing, set(), _folder(thing)):
        whole.update(part.encode(errors="surrogatepass") + b"\0")
    return whole.hexdigest()


def own_modules(function: Any) -> list[ModuleType]:
    """The modules of a function's folder, which other machines lack."""
    folder = _folder(function)
    return [m for m in list(modules.values()) if folder is not None and _place(m) == folder]


def _folder(thing: Any) -> Path | None:
    """Where a function's file lies; of an installed package's, nowhere."""
    thing = thing.func if isinstance(thing, partial) else thing
    place = _place(modules.get(getattr(thing, "__module__", None) or ""))
    installed = place is None or "site-packages" in place.parts or "depthscale" in place.parts[-2:]
    return None if installed else place


def _place(module: Any) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if isinstance(file, str) else None


def _parts(thing: Any, inside: set[int], folder: Path | None) -> Iterator[str]:
    """Texts that tell a thing from another. / inside: what the thing is a part of, and functions
    and classes that were met, each of which is told once."""
    if isinstance(thing, _PLAIN):
        yield f"{type(thing).__name__} {thing!r}"
        return
    yield type(thing).__name__
    if id(thing) in inside:
        return
    inside.add(id(thing))
    for part in _inside(thing, folder):
        yield from _parts(part, inside, folder)
    if not isinstance(thing, FunctionType | type):
        inside.remove(id(thing))


def _inside(thing: Any, folder: Path | None) -> Iterator[Any]:
    """What a thing is made of."""
    match thing:
        case Set():
            yield from sorted(map(repr, thing))
        case Mapping():
            yield from (each for pair in thing.items() for each in pair)
        case list() | tuple():
            yield from thing
        case partial():
            yield from (thing.func, thing.args, thing.keywords)
        case MethodType():
            yield from (thing.__func__, thing.__self__)
        case CodeType():
            yield from (thing.co_code, thing.co_names, thing.co_varnames, thing.co_consts)
        case FunctionType() if _is_own(thing, folder):
            yield from (thing.__code__, thing.__defaults__, thing.__kwdefaults__)
            yield from (cell.cell_contents for cell in thing.__closure__ or () if _is_full(cell))
            yield from _globals(thing)
        case type() if _is_own(thing, folder):
            yield from (thing.__bases__, _written(thing))
        case ModuleType():
            yield thing.__name__
        case property():
            yield from (thing.fget, thing.fset, thing.fdel)
        case np.ndarray():
            yield from (str(thing.dtype), thing.shape, thing.tobytes())
        case _ if hasattr(thing, "__qualname__"):
            yield f"{thing.__module__}.{thing.__qualname__}"
        case _ if hasattr(thing, "detach"):  # a tensor
            yield thing.detach().cpu().numpy()
        case _:
            yield from (type(thing), getattr(thing, "__dict__", None))


def _is_own(thing: Any, folder: Path | None) -> bool:
    """Whether a function or class may change under the user's hands: it has no file, or one in the
    folder."""
    place = _place(modules.get(thing.__module__ or ""))
    return thing.__module__ == "__main__" or place is None or place == folder


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # not yet assigned
        return False


def _globals(function: Callable[..., Any]) -> Iterator[Any]:
    """The globals that a function's code names, nested functions included."""
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__ and not name.startswith("__"):
            yield from (name, function.__globals__[name])


def _names(code: CodeType) -> set[str]:
    nested = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*nested)


def _written(own: type) -> dict[str, Any]:
    """What the body of a class says, without what Python adds."""
    added = ("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__")
    return {
        name: getattr(value, "__func__", value)
        for name, value in sorted(vars(own).items())
        if name not in added
    }
