"""Formulas, written once in Python's syntax and read three ways: as text, as MathML, and as arithmetic (by `eval`, in the tests).

d(x) stands for dE/dx, slope(y, x) for dy/dx, and sum(x) for a sum over the batch; every other name is a letter of the table.
"""

import ast
from xml.sax.saxutils import escape

LETTERS = {
    "mu": "μ",
    "x_hat": "x̂",
    "sigma": "σ",
    "eps": "ε",
    "gamma": "γ",
    "beta": "β",
}
_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly a formula holds together
_OPERATORS = {ast.Add: ("+", _SUM), ast.Sub: ("−", _SUM), ast.Mult: ("·", _PRODUCT), ast.Div: ("/", _PRODUCT)}


def text(formula: str) -> str:
    """On one line: "d(r) / sigma**2" is dE/dr / σ²."""
    return _text(_parsed(formula))[0]


def mathml(formula: str) -> str:
    """For a page, with fractions as fractions."""
    return f'<math displaystyle="true">{_mathml(_parsed(formula))[0]}</math>'


def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


def _text(node: ast.expr) -> tuple[str, int]:
    """The formula and how tightly it holds."""
    match node:
        case ast.Name(name):
            return LETTERS.get(name, name), _ATOM
        case ast.Constant(number):
            return str(number), _ATOM
        case ast.Compare(left, [ast.Eq()], [right]):
            return f"{_text(left)[0]} = {_text(right)[0]}", _SUM
        case ast.UnaryOp(ast.USub(), of):
            return f"−{_held(_text(of), _PRODUCT)}", _SUM
        case ast.BinOp(base, ast.Pow(), ast.Constant(2)):
            return f"{_held(_text(base), _ATOM)}²", _POWER
        case ast.BinOp(ast.Constant(number), ast.Mult(), ast.Name() as letter):
            return f"{number}{_text(letter)[0]}", _PRODUCT
        case ast.BinOp(left, operator, right):
            sign, holds = _OPERATORS[type(operator)]
            tighter = holds + (sign in "−/")
            return f"{_held(_text(left), holds)} {sign} {_held(_text(right), tighter)}", holds
        case ast.Call(ast.Name("d"), [of]):
            return f"dE/d{_text(of)[0]}", _ATOM
        case ast.Call(ast.Name("slope"), [of, by]):
            return f"d{_text(of)[0]}/d{_text(by)[0]}", _ATOM
        case ast.Call(ast.Name("sum"), [of]):
            return f"Σ {_held(_text(of), _PRODUCT)}", _PRODUCT
        case ast.Call(ast.Name("sqrt"), [of]):
            return f"√({_text(of)[0]})", _ATOM
    raise ValueError(f"no way to write {ast.unparse(node)}")


def _mathml(node: ast.expr) -> tuple[str, int]:
    match node:
        case ast.Name(name):
            return _letter(name), _ATOM
        case ast.Constant(number):
            return f"<mn>{number}</mn>", _ATOM
        case ast.Compare(left, [ast.Eq()], [right]):
            return f"{_mathml(left)[0]}<mo>=</mo>{_mathml(right)[0]}", _SUM
        case ast.UnaryOp(ast.USub(), of):
            return f"<mrow><mo>−</mo>{_held(_mathml(of), _PRODUCT, _fenced)}</mrow>", _SUM
        case ast.BinOp(base, ast.Pow(), ast.Constant(2)):
            return f"<msup>{_held(_mathml(base), _ATOM, _fenced)}<mn>2</mn></msup>", _POWER
        case ast.BinOp(left, ast.Div(), right):
            return f"<mfrac><mrow>{_mathml(left)[0]}</mrow><mrow>{_mathml(right)[0]}</mrow></mfrac>", _ATOM
        case ast.BinOp(ast.Constant(number), ast.Mult(), ast.Name(name)):
            return f"<mrow><mn>{number}</mn>{_letter(name)}</mrow>", _PRODUCT
        case ast.BinOp(left, operator, right):
            sign, holds = _OPERATORS[type(operator)]
            one, other = _held(_mathml(left), holds, _fenced), _held(_mathml(right), holds + (sign == "−"), _fenced)
            return f"<mrow>{one}<mo>{sign}</mo>{other}</mrow>", holds
        case ast.Call(ast.Name("d"), [of]):
            return _derivative("<mi>E</mi>", _mathml(of)[0]), _ATOM
        case ast.Call(ast.Name("slope"), [of, by]):
            return _derivative(_mathml(of)[0], _mathml(by)[0]), _ATOM
        case ast.Call(ast.Name("sum"), [of]):
            return f"<mrow><mo>∑</mo>{_held(_mathml(of), _PRODUCT, _fenced)}</mrow>", _PRODUCT
        case ast.Call(ast.Name("sqrt"), [of]):
            return f"<msqrt>{_mathml(of)[0]}</msqrt>", _ATOM
    raise ValueError(f"no way to write {ast.unparse(node)}")


def _derivative(of: str, by: str) -> str:
    return f"<mfrac><mrow><mi>∂</mi>{of}</mrow><mrow><mi>∂</mi>{by}</mrow></mfrac>"


def _letter(name: str) -> str:
    if name.endswith("_hat"):
        return f'<mover accent="true"><mi>{name.removesuffix("_hat")}</mi><mo>ˆ</mo></mover>'
    return f"<mi>{escape(LETTERS.get(name, name))}</mi>"


def _held(written: tuple[str, int], least: int, fence=lambda inner: f"({inner})") -> str:
    inner, holds = written
    return inner if holds >= least else fence(inner)


def _fenced(inner: str) -> str:
    return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"
