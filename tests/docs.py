"""docs/claims.md, made from the tests under tests/claims: each claim is a test, each test's name
its sentence; and the table of thresholds in docs/probe.md."""

import ast
from dataclasses import fields
from pathlib import Path

from depthscale.measure.thresholds import Thresholds

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
    """docs/probe.md with its table as it should be."""
    before, after = (
        PROBE_PAGE.read_text().split("| threshold |")[0],
        PROBE_PAGE.read_text().partition("\n\n## What is not seen"),
    )
    return f"{before}{_thresholds()}{after[1]}{after[2]}"


def _thresholds() -> str:
    rows = [
        f"| `{f.name}` | {f.default:g} | {f.metadata['unit']} | {f.metadata['why']} |"
        for f in fields(Thresholds)
    ]
    return "\n".join(["| threshold | value | unit | why |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    PAGE.write_text(claims_page())
    PROBE_PAGE.write_text(probe_page())
