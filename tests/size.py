"""How large the package is: `python tests/size.py [folder]` prints it.

Tokens of code are those of Python's tokenizer without docstrings, comments, annotations and line
breaks, after `ast.unparse` has written the code in one way: what has to be read to know what runs.
Laying code out anew does not change them.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[1] / "src" / "depthscale"
_LAYOUT = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Documented = ast.Module | ast.ClassDef | _Function


class _Bare(ast.NodeTransformer):
    """Code without what only its readers need."""

    def visit(self, node: ast.AST) -> ast.AST:
        node = self.generic_visit(node)
        if isinstance(node, _Documented):
            node.body = undocumented(node) or [ast.Pass()]
        if isinstance(node, ast.AnnAssign):
            kept = ast.Expr(node.target)
            node = ast.Assign([node.target], node.value) if node.value else kept
        if isinstance(node, ast.JoinedStr):  # whose parts not every Python's tokenizer sees
            parts = [getattr(part, "value", part) for part in node.values]
            node = ast.Tuple([ast.Constant(p) if isinstance(p, str) else p for p in parts])
        for annotation in ("annotation", "returns"):
            if hasattr(node, annotation):
                setattr(node, annotation, None)
        return node


def undocumented(node: _Documented) -> list[ast.stmt]:
    """The statements of a body but for its docstring."""
    return node.body[ast.get_docstring(node, clean=False) is not None :]


def tokens(text: str) -> int:
    """Tokens of code in one file."""
    bare = ast.unparse(ast.fix_missing_locations(_Bare().visit(ast.parse(text))))
    found = tokenize.generate_tokens(io.StringIO(bare).readline)
    return sum(token.type not in _LAYOUT for token in found)


def function_lengths(text: str) -> list[int]:
    """Lines of each function's body without its docstring."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, _Function)]
    return [_length(undocumented(function)) for function in functions]


def _length(body: list[ast.stmt]) -> int:
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def lines(text: str) -> int:
    return text.count("\n")


def files(folder: Path = SOURCE) -> dict[str, str]:
    """Path inside the folder -> text of each Python file."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.py")}


def summary(folder: Path = SOURCE) -> str:
    """Two lines: tokens, files and lines; the median function and the longest file."""
    texts = files(folder)
    lengths = [length for text in texts.values() for length in function_lengths(text)]
    longest = max(texts, key=lambda path: lines(texts[path]))
    return (
        f"{sum(map(tokens, texts.values())):,} tokens of code in {len(texts)} files of "
        f"{sum(map(lines, texts.values())):,} lines\n"
        f"median function: {median(lengths):g} lines; longest file: {longest}, "
        f"{lines(texts[longest])} lines"
    )


if __name__ == "__main__":
    print(summary(Path(sys.argv[1]) if sys.argv[1:] else SOURCE))
