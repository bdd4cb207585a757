"""docs/claims.md, made from the tests under tests/claims: each claim is a test, each test's name its sentence."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "claims.md"


def claims_page() -> str:
    """The page as it should be."""
    parts = [
        "# Claims\n",
        "Every claim is a test whose name says it; its twin shows that the test can fail. Made by `python tests/docs.py`.",
    ]
    for path in sorted((HERE / "claims").glob("test_*.py")):
        tree = ast.parse(path.read_text())
        parts.append(f"\n## {ast.get_docstring(tree)}\n")
        parts += [
            _line(node, path) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
    return "\n".join(parts) + "\n"


def _line(test: ast.FunctionDef, path: Path) -> str:
    sentence = test.name.removeprefix("test_").replace("_", " ")
    return f"- {sentence} (`{path.name}`)"


if __name__ == "__main__":
    PAGE.write_text(claims_page())
