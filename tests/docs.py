"""docs/claims.md, made from the tests under tests/claims: each claim is a test, each test's name
its sentence; and the tables of rules of advice and of thresholds in docs/probe.md."""

import ast
from dataclasses import fields
from pathlib import Path

from depthscale._diagnose import ADVICE, RULES, Trouble
from depthscale.measure import Thresholds
from depthscale.network import Hazard

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "claims.md"
PROBE_PAGE = HERE.parent / "docs" / "probe.md"


def claims_page() -> str:
    """The page as it should be."""
    parts = [
        "# Claims\n",
        "Every claim is a test whose name says it; its twin shows that the test can fail. Made by "
        "`python tests/docs.py`.",
    ]
    for path in sorted((HERE / "claims").glob("test_*.py")):
        tree = ast.parse(path.read_text())
        heading, *text = (ast.get_docstring(tree) or "").split("\n\n")
        parts.append("\n\n".join(["\n## " + heading.replace("\n", " "), *text]) + "\n")
        parts += [
            _line(node, path)
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
    return "\n".join(parts) + "\n"


def _line(test: ast.FunctionDef, path: Path) -> str:
    sentence = test.name.removeprefix("test_").replace("_", " ")
    return f"- {sentence} (`{path.name}`)"


def probe_page() -> str:
    """docs/probe.md with its tables as they should be."""
    page = _with_table(PROBE_PAGE.read_text(), "| rule |", _rules())
    page = _with_table(page, "| trouble |", _advice())
    return _with_table(page, "| threshold |", _thresholds())


def _with_table(page: str, begins: str, table: str) -> str:
    """A page with the table that begins so replaced."""
    before, _, rest = page.partition(begins)
    _, gap, after = rest.partition("\n\n")
    return f"{before}{table}{gap}{after}"


def _rules() -> str:
    rows = [
        f"| {', '.join(f'`{name}`' for name in rule.names)} | {rule.about} | {rule.source} |"
        for rule in RULES
    ]
    return "\n".join(["| rule | speaks where | source |", "|---|---|---|", *rows])


def _advice() -> str:
    rows = [
        f"| {trouble.value} | {'any' if hazard is None else hazard.value} | {text} |"
        for (trouble, hazard), text in sorted(ADVICE.items(), key=_order)
    ]
    return "\n".join(["| trouble | operation | what to try |", "|---|---|---|", *rows])


def _order(row: tuple[tuple[Trouble, Hazard | None], str]) -> tuple[int, int]:
    (trouble, hazard), _ = row
    return list(Trouble).index(trouble), -1 if hazard is None else list(Hazard).index(hazard)


def _thresholds() -> str:
    rows = [
        f"| `{f.name}` | {f.default:g} | {f.metadata['unit']} | {f.metadata['why']} |"
        for f in fields(Thresholds)
    ]
    return "\n".join(["| threshold | value | unit | why |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    PAGE.write_text(claims_page())
    PROBE_PAGE.write_text(probe_page())
