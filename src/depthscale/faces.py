"""A package's face: the names that others may import from it, each imported when first used.

They stand in the table beside the package's `__init__.py`, its `__init__.pyi`, which editors read.
"""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def face(init: str) -> tuple[list[str], Callable[[str], object]]:
    """`__all__` and `__getattr__` of the package of an `__init__.py`."""
    table = ast.parse(Path(init).with_suffix(".pyi").read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for node in table.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }

    def imported(name: str) -> object:
        if name not in homes:
            there = ", ".join(sorted(homes))
            raise AttributeError(f"{Path(init).parent.name} has no {name!r}; it has {there}")
        return getattr(import_module(homes[name]), name)

    return sorted(homes), imported
