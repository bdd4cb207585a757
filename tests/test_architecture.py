"""Who may import whom: arrows point to lower ranks or into the same folder."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "depthscale"

RANKS = {
    "errors": 0,
    "files": 1,
    "sketch": 1,
    "numerics": 1,
    "network": 2,
    "run": 3,
    "theory": 4,
    "norms": 4,
    "nets": 4,
    "_probe": 4,
    "measure": 5,
    "_diagnose": 6,
    "experiments": 7,
    "_explain": 7,
    "_report": 8,
    "store": 8,
    "cli": 9,
    "__main__": 10,
}
SIBLINGS = {("nets", "norms"), ("_probe", "norms")}  # the pairs of one rank that may meet
FACES = {  # how a notebook shows these is `report`'s
    "run/profile.py",
    "run/trace.py",
    "measure/compare.py",
    "measure/growth.py",
    "measure/ledger.py",
    "_diagnose/finding.py",
    "sketch/sketch.py",
}
TORCH_FREE = {
    "errors",
    "files",
    "numerics",
    "network",
    "theory",
    "cli",
}


def arrows() -> list[tuple[Path, str]]:
    """Every import inside the package but a face's: the importing file and the dotted name."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        late = faces(tree) if path.relative_to(SOURCE).as_posix() in FACES else set()
        for node in ast.walk(tree):
            if node in late:
                continue
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if node.module == "depthscale"
                    else [node.module]
                )
                found += [(path, name) for name in names]
            elif isinstance(node, ast.Import):
                found += [(path, alias.name) for alias in node.names]
            assert not (isinstance(node, ast.ImportFrom) and node.level), (
                f"{path} imports relatively"
            )
    return found


def faces(tree: ast.Module) -> set[ast.AST]:
    """Imports of `report` inside a `_repr_html_`: the only arrow that may point up."""
    inside = [node for face in ast.walk(tree) if _is_face(face) for node in ast.walk(face)]
    return {
        n
        for n in inside
        if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("depthscale._report.")
    }


def _is_face(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "_repr_html_"


def home(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def broken(found: list[tuple[Path, str]]) -> list[str]:
    """Arrows that point up or sideways, in words."""
    words = []
    for path, name in found:
        here = home(path)
        parts = name.split(".")
        if parts[0] != "depthscale" or here == "__init__" or parts[1:2] == [here]:
            continue
        there = parts[1] if len(parts) > 1 else "__init__"
        if RANKS.get(there, 99) >= RANKS[here] and (here, there) not in SIBLINGS:
            words.append(f"{path.relative_to(SOURCE)} imports {there}")
    return words


def test_every_part_has_a_rank() -> None:
    assert {home(path) for path in SOURCE.rglob("*.py")} - {"__init__"} <= set(RANKS)


def test_arrows_point_down() -> None:
    assert broken(arrows()) == []


def test_an_arrow_upwards_is_named() -> None:
    assert broken([(SOURCE / "sketch" / "cpu.py", "depthscale._report.chart.charts")]) == [
        "sketch/cpu.py imports _report"
    ]
    assert broken([(SOURCE / "theory" / "predict.py", "depthscale.nets")]) == [
        "theory/predict.py imports nets"
    ]
    assert broken([(SOURCE / "errors.py", "depthscale")]) == ["errors.py imports __init__"]


def test_a_face_may_import_report_and_nothing_else_upwards() -> None:
    code = "class A:\n def {}(self):\n  from depthscale.{} import x"
    assert len(faces(ast.parse(code.format("_repr_html_", "_report.notebook")))) == 1
    assert not faces(ast.parse(code.format("to_html", "_report.notebook")))
    assert not faces(ast.parse(code.format("_repr_html_", "cli.frame")))
    assert {path for path in FACES if not faces(ast.parse((SOURCE / path).read_text()))} == set()


def test_theory_and_the_command_line_load_no_torch_at_the_top() -> None:
    top_level = {
        (home(path), alias)
        for path in SOURCE.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        for alias in _imported(node)
    }
    assert {here for here, name in top_level if name.split(".")[0] == "torch"} & TORCH_FREE == set()


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
