"""Only network/ knows what a torch function is: elsewhere nobody asks for an operation's name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "depthscale"
KNOWS = ("network/", "_probe/internals.py")
STILL_ASK = {  # files that have yet to change; none may join
    "_probe/calls.py",
}
NAMING = {"op", "__name__"}  # attributes that hold the name of an operation or a function
NAMERS = {"name_of"}  # functions that give one


def asking(code: str) -> list[int]:
    """Lines where a name is compared with a text, matched, looked up or tested for membership."""
    tree = ast.parse(code)
    bound = {
        target.id
        for node in ast.walk(tree)
        for target, value in _assigned(node)
        if isinstance(target, ast.Name) and _is_name(value, set())
    }
    return sorted({node.lineno for node in _asking(tree, bound)})


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.NamedExpr | ast.AnnAssign) and node.value is not None:
        yield node.target, node.value


def _is_name(node: ast.expr, bound: set[str]) -> bool:
    """Whether an expression is an operation's or a function's name, or a text made of it."""
    match node:
        case ast.Attribute(attr=attr):
            return attr in NAMING
        case ast.Name(id=name):
            return name in bound
        case ast.Call(func=ast.Name(id=name)) if name in NAMERS:
            return True
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=attr), *_]):
            return attr in NAMING
        case (
            ast.Call(func=ast.Attribute(value=value))
            | ast.Subscript(value=value)
            | ast.NamedExpr(value=value)
        ):
            return _is_name(value, bound)
    return False


def _is_known(node: ast.expr) -> bool:
    """Whether an expression is knowledge: a text, several, or a constant of a module."""
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
            return any(map(_is_known, elts))
        case ast.Dict():
            return True
        case ast.Starred(value=value):
            return _is_known(value)
        case ast.Name(id=name):
            return name.isupper()
        case ast.Attribute(attr=name):
            return name.isupper()
    return False


def _asking(tree: ast.AST, bound: set[str]) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                if any(_is_name(s, bound) for s in sides) and any(map(_is_known, sides)):
                    yield node
            case ast.Subscript(value=table, slice=key) if _is_name(key, bound):
                if _is_known(table):
                    yield node
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[key, *_]):
                if _is_name(key, bound) and _is_known(table):
                    yield node
            case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith")):
                if _is_name(value, bound):
                    yield node
            case ast.Match(subject=subject) if _is_name(subject, bound):
                yield subject


def askers() -> dict[str, list[int]]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(KNOWS) and (lines := asking(path.read_text())):
            found[name] = lines
    return found


def test_nobody_asks_for_an_operations_name() -> None:
    found = askers()
    assert set(found) <= STILL_ASK, found
    assert STILL_ASK <= set(found), "take those out that no longer ask"


@pytest.mark.parametrize(
    "code",
    [
        'op.op == "linear"',
        '"add" != draft.op',
        "op.op in MAPS",
        'op.op.rstrip("_") in ("mm", "bmm")',
        'op.op not in ("input", *_EMBEDDINGS)',
        "_ENDS[op.op]",
        "RULES.get(op.op)",
        "{'a': 1}[op.op]",
        'op.op.startswith("conv")',
        "name = op.op\nname in _NORMS",
        'name = getattr(func, "__name__", "")\nname == "detach"',
        'name = name_of(func)\nname in ("embedding",)',
        'if (kind := func.__name__) == "x": pass',
        "match op.op:\n    case 'linear': pass",
    ],
)
def test_a_question_for_a_name_is_seen(code: str) -> None:
    assert asking(code)


@pytest.mark.parametrize(
    "code",
    [
        'f"{op.op} does it"',
        "parts[op.op] += 1",
        "op.op == other.op",
        "is_input(op.op)",
        'record = {"op": op.op}',
        'op.name == "output"',
    ],
)
def test_a_label_or_a_key_is_free(code: str) -> None:
    assert not asking(code)
