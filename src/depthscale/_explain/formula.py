"""Formulas, written once in Python's syntax and read three ways: on one line, in the notation that
pages draw, and as arithmetic (by `eval`, in the tests).

d(x) stands for dE/dx, slope(y, x) for dy/dx, and sum(x) for a sum over the batch; every other name
is a letter of the table.
"""

import ast
from dataclasses import dataclass

LETTERS = {
    "mu": "μ",
    "x_hat": "x̂",
    "sigma": "σ",
    "eps": "ε",
    "gamma": "γ",
    "beta": "β",
}
_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly a formula holds together
_OPERATORS = {
    ast.Add: ("+", _SUM),
    ast.Sub: ("−", _SUM),
    ast.Mult: ("·", _PRODUCT),
    ast.Div: ("/", _PRODUCT),
}


@dataclass(frozen=True)
class _Forms:
    """What a notation makes of its parts. / fraction: of dividend and divisor; nothing where there
    is but a stroke."""

    square: str
    root: str
    sum: str
    slope: str
    fraction: str = ""
    hat: str = ""

    def letter(self, name: str) -> str:
        if self.hat and name.endswith("_hat"):
            return self.hat.format(name.removesuffix("_hat"))
        return LETTERS.get(name, name)


_LINE = _Forms("{}²", "√({})", "Σ {}", "d{}/d{}")
_DRAWN = _Forms("{}^2", "sqrt{{{}}}", "∑ {}", "frac{{∂{}}}{{∂{}}}", "frac{{{}}}{{{}}}", "hat{{{}}}")


def formula_line(formula: str) -> str:
    """On one line: "d(r) / sigma**2" is dE/dr / σ²."""
    return _written(_parsed(formula), _LINE)[0]


def draw_formula(formula: str) -> str:
    """In the notation of `report.mathml`, with fractions as fractions: "1 / sigma" is
    frac{1}{σ}."""
    return _written(_parsed(formula), _DRAWN)[0]


def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


def _written(node: ast.expr, forms: _Forms) -> tuple[str, int]:
    """The formula and how tightly it holds."""

    def inside(part: ast.expr, least: int = _SUM) -> str:
        inner, holds = _written(part, forms)
        return inner if holds >= least else f"({inner})"

    match node:
        case ast.Name(name):
            return forms.letter(name), _ATOM
        case ast.Constant(number):
            return str(number), _ATOM
        case ast.Compare(left, [ast.Eq()], [right]):
            return f"{inside(left)} = {inside(right)}", _SUM
        case ast.UnaryOp(ast.USub(), of):
            return f"−{inside(of, _PRODUCT)}", _SUM
        case ast.BinOp(base, ast.Pow(), ast.Constant(2)):
            return forms.square.format(inside(base, _ATOM)), _POWER
        case ast.BinOp(dividend, ast.Div(), divisor) if forms.fraction:
            return forms.fraction.format(inside(dividend), inside(divisor)), _ATOM
        case ast.BinOp(ast.Constant(number), ast.Mult(), ast.Name(name)):
            return f"{number}{forms.letter(name)}", _PRODUCT
        case ast.BinOp(left, operator, right):
            sign, holds = _OPERATORS[type(operator)]
            return f"{inside(left, holds)} {sign} {inside(right, holds + (sign in '−/'))}", holds
        case ast.Call(ast.Name("d"), [of]):
            return forms.slope.format("E", inside(of)), _ATOM
        case ast.Call(ast.Name("slope"), [of, by]):
            return forms.slope.format(inside(of), inside(by)), _ATOM
        case ast.Call(ast.Name("sum"), [of]):
            return forms.sum.format(inside(of, _PRODUCT)), _PRODUCT
        case ast.Call(ast.Name("sqrt"), [of]):
            return forms.root.format(inside(of)), _ATOM
    raise ValueError(f"no way to write {ast.unparse(node)}")
