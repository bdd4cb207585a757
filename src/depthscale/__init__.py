"""depthscale: whether signal and gradient survive a network's depth, which operation changes them,
what theory says, and why.

Names are imported when they are first used, so that the command line answers `--help` without
loading torch. A folder whose name is a public verb begins with an underscore.
"""

import ast
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

_TABLE = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOMES = {
    alias.name: node.module
    for node in _TABLE.body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("depthscale")
    if name not in _HOMES:
        raise AttributeError(f"depthscale has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
