"""Who may import whom: arrows point to lower ranks or into the same folder, and never in a circle;
imports inside functions and under TYPE_CHECKING count."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "depthscale"

RANKS = {
    "controls": 0,
    "drawable": 0,
    "errors": 0,
    "faces": 0,
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
    "training": 6,
    "_explain": 7,
    "store": 7,
    "experiments": 8,
    "monitor": 8,
    "sweeps": 8,
    "_report": 9,
    "cli": 10,
    "__main__": 11,
}
ROOMS = {  # of report, from below; what is in no room is shared by all
    "chart": 1,
    "page": 2,
    "terminal": 2,
    "pages": 3,
    "article": 4,
    "notebook": 5,
    "render": 6,
}
SIBLINGS = {("nets", "norms"), ("_probe", "norms")}  # the pairs of one rank that may meet
TORCH_FREE = {
    "controls",
    "drawable",
    "errors",
    "files",
    "numerics",
    "network",
    "theory",
    "cli",
}


def arrows() -> list[tuple[Path, str]]:
    """Every import inside the package: the importing file and the dotted name."""
    return [
        (path, name)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    ]


def _imported(node: ast.AST) -> list[str]:
    """The dotted names that a statement imports, a name from a module behind the module's."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert not node.level, f"line {node.lineno} imports relatively"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


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
        there = parts[1] if len(parts) > 1 and parts[1] in RANKS else "__init__"
        if RANKS.get(there, 99) >= RANKS[here] and (here, there) not in SIBLINGS:
            words.append(f"{path.relative_to(SOURCE)} imports {there}")
    return words


def test_every_part_has_a_rank() -> None:
    assert {home(path) for path in SOURCE.rglob("*.py")} - {"__init__"} <= set(RANKS)


def test_arrows_point_down() -> None:
    assert broken(arrows()) == []


def between_rooms(imports: list[tuple[Path, str]]) -> list[str]:
    """Arrows of report that point up or sideways, in words."""
    return [
        f"{path.relative_to(SOURCE)} imports {there}"
        for path, name in imports
        if home(path) == "_report" and name.startswith("depthscale._report.")
        for here in [path.relative_to(SOURCE / "_report").parts[0].removesuffix(".py")]
        for there in [name.split(".")[2]]
        if here != there and ROOMS.get(there, 0) >= max(1, ROOMS.get(here, 0))
    ]


def test_arrows_point_down_between_the_rooms_of_report() -> None:
    assert between_rooms(arrows()) == []
    chart = SOURCE / "_report" / "chart" / "theme.py"
    assert between_rooms([(chart, "depthscale._report.page.html.tag")]) == [
        "_report/chart/theme.py imports page"
    ]
    shared = SOURCE / "_report" / "phrases.py"
    assert between_rooms([(shared, "depthscale._report.chart.theme.INK")]) == [
        "_report/phrases.py imports chart"
    ]


def test_an_arrow_upwards_is_named() -> None:
    assert broken([(SOURCE / "sketch" / "codec.py", "depthscale._report.charts")]) == [
        "sketch/codec.py imports _report"
    ]
    assert broken([(SOURCE / "theory" / "predict.py", "depthscale.nets")]) == [
        "theory/predict.py imports nets"
    ]
    for name in ("depthscale", "depthscale.Run"):
        assert broken([(SOURCE / "errors.py", name)]) == ["errors.py imports __init__"]


def past_a_face(imports: list[tuple[Path, str]]) -> list[str]:
    """Imports out of a file inside another part, in words; a part is used through its face."""
    files = {module(path) for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    return [
        f"{path.relative_to(SOURCE)} imports past the face of {name.split('.')[1]}"
        for path, name in imports
        if (there := name.rpartition(".")[0]) in files
        and there.count(".") > 1
        and there.split(".")[1] != home(path)
    ]


def test_a_part_is_used_through_its_face() -> None:
    assert past_a_face(arrows()) == []


def test_an_import_past_a_face_is_named() -> None:
    late = ast.parse("def late():\n from depthscale._explain.verdict import Row")
    (name,) = [name for node in ast.walk(late) for name in _imported(node)]
    assert past_a_face([(SOURCE / "cli" / "explain.py", name)]) == [
        "cli/explain.py imports past the face of _explain"
    ]
    beside = [(SOURCE / "_explain" / "argument.py", name)]
    faces = ("depthscale.errors.Undefined", "depthscale.numerics.gaussian")
    assert past_a_face(beside + [(SOURCE / "cli" / "explain.py", face) for face in faces]) == []


def hidden(table: str, files: set[str]) -> set[str]:
    """Names of a face that a file of its folder hides, once that is imported."""
    return files & {
        alias.asname
        for node in ast.parse(table).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_no_file_hides_a_name_of_a_face() -> None:
    tables = list(SOURCE.rglob("__init__.pyi"))
    assert len(tables) > 1
    for table in tables:
        files = {path.stem for path in table.parent.iterdir()}
        assert hidden(table.read_text(), files) == set(), table
    row = "from depthscale._explain.matter import matter as matter"
    assert hidden(row, {"matter", "verdict"}) == {"matter"}


def circle(imports: list[tuple[Path, str]]) -> list[str]:
    """The files of one circle of imports, or nothing; the package's own table of names is none."""
    names = {module(path): path for path in SOURCE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for path, name in imports:
        there = name if name in names else name.rpartition(".")[0]
        if there in names.keys() - {"depthscale", module(path)}:
            graph.setdefault(module(path), set()).add(there)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return found.args[1]
    return []


def module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_imports_run_in_a_circle() -> None:
    assert circle(arrows()) == []


def test_a_circle_is_named() -> None:
    late = (SOURCE / "sketch" / "sketch.py", "depthscale._report.render.chart")
    assert "depthscale.sketch.sketch" in circle([*arrows(), late])
    beside = (SOURCE / "_report" / "notebook.py", "depthscale._report.render.chart")
    assert set(circle([*arrows(), beside])) == {
        "depthscale._report.notebook",
        "depthscale._report.render",
    }


def test_late_imports_and_those_of_types_are_arrows() -> None:
    tree = ast.parse(
        "if TYPE_CHECKING:\n from depthscale.run import Run\ndef late():\n import depthscale.nets\n"
    )
    assert [name for node in ast.walk(tree) for name in _imported(node)] == [
        "depthscale.run.Run",
        "depthscale.nets",
    ]


def test_theory_and_the_command_line_load_no_torch_at_the_top() -> None:
    top_level = {
        (home(path), alias)
        for path in SOURCE.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        for alias in _imported(node)
    }
    assert {here for here, name in top_level if name.split(".")[0] == "torch"} & TORCH_FREE == set()


ORIGINS = {"Simulated", "Probed", "Predicted"}
MAKERS = {"run", "nets", "theory", "_probe"}  # who makes a run says where it came from
READERS = {"run", "_report", "store"}  # who may ask


def asks_for_the_origin(tree: ast.AST, made_here: bool) -> list[int]:
    """Lines that ask where a run came from: by its origin, or by the origin's type."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "origin" and not made_here:
            lines.append(node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            lines += [node.lineno] if names & ORIGINS else []
        elif isinstance(node, ast.MatchClass) and ast.unparse(node.cls) in ORIGINS:
            lines.append(node.lineno)
    return lines


def test_nobody_else_asks_where_a_run_came_from() -> None:
    found = {
        str(path.relative_to(SOURCE)): lines
        for path in SOURCE.rglob("*.py")
        if home(path) not in READERS
        and (lines := asks_for_the_origin(ast.parse(path.read_text()), home(path) in MAKERS))
    }
    assert found == {}


def test_a_question_for_the_origin_is_seen() -> None:
    asked = (
        "a = run.origin.mode\nb = isinstance(x, Probed | None)\nmatch x:\n case Predicted(): ..."
    )
    assert sorted(asks_for_the_origin(ast.parse(asked), False)) == [1, 2, 4]
    assert sorted(asks_for_the_origin(ast.parse(asked), True)) == [2, 4]
