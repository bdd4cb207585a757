"""One name, one thing: no two modules and no two types of the package share a name."""

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "depthscale"

# Names that still mean two things. This list may only become shorter.
SHARED_MODULES = {
    "backward",
    "laws",
    "sphere",
}
SHARED_TYPES = {
    "Array",
    "Backward",
    "Call",
    "Chain",
    "Elementwise",
    "Flow",
    "Function",
    "Html",
    "Inputs",
    "Law",
    "Loss",
    "NormCall",
    "Over",
    "Part",
    "Phi",
    "Rule",
    "Scale",
    "Slopes",
    "Sphere",
    "Unknown",
    "Values",
}


def modules() -> list[str]:
    """Every module's name; a command's bears the name of the verb that it calls."""
    paths = [path for path in SOURCE.rglob("*.py") if path.parent.name != "cli"]
    return [path.stem for path in paths if path.stem != "__init__"]


def types(tree: ast.Module) -> list[str]:
    """The classes of a module and the types that it gives a name to."""
    aliases = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper()
    ]
    return aliases + [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def shared(names: list[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def test_no_two_modules_share_a_name() -> None:
    assert shared(modules()) == SHARED_MODULES


def test_no_two_types_share_a_name() -> None:
    names = [name for path in SOURCE.rglob("*.py") for name in types(ast.parse(path.read_text()))]
    assert shared(names) == SHARED_TYPES


def test_a_shared_name_is_seen() -> None:
    tree = ast.parse("class Row:\n  class Cell: ...\nRow = list[int]\nLIMIT = 3")
    assert sorted(types(tree)) == ["Cell", "Row", "Row"]
    assert shared(types(tree)) == {"Row"}
