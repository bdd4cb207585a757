"""Formulas read on one line and in the notation that pages draw mean what they say in Python."""

import pytest

from depthscale._explain.formula import draw_formula, formula_line


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("y == u + beta", "y = u + β"),
        ("-(d(r) / sigma**2)", "−dE/dr / σ²"),
        ("d(sigma) / (2 * sigma)", "dE/dσ / (2σ)"),
        ("a - (b - c)", "a − (b − c)"),
        ("a - b - c", "a − b − c"),
        ("(a + b) * c", "(a + b) · c"),
        ("a / (b / c)", "a / (b / c)"),
        ("(a + b)**2", "(a + b)²"),
        ("-(a + b)", "−(a + b)"),
        ("sum(a + b)", "Σ (a + b)"),
        ("sqrt(v + eps)", "√(v + ε)"),
        ("slope(u, x_hat)", "du/dx̂"),
    ],
)
def test_text_keeps_the_parentheses_that_matter(formula: str, written: str) -> None:
    assert formula_line(formula) == written


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("1 / sigma", "frac{1}{σ}"),
        ("c**2", "c^2"),
        ("(a + b)**2 * x_hat", "(a + b)^2 · hat{x}"),
        ("sqrt(v)", "sqrt{v}"),
        ("d(v)", "frac{∂E}{∂v}"),
        ("a - (b / c)", "a − frac{b}{c}"),
        ("sum(a + b)", "∑ (a + b)"),
    ],
)
def test_the_notation_that_pages_draw_has_fractions(formula: str, written: str) -> None:
    assert draw_formula(formula) == written


@pytest.mark.parametrize("formula", ["a**3", "sin(a)", "a % b", "[a]"])
def test_what_has_no_notation_is_refused(formula: str) -> None:
    for reader in (formula_line, draw_formula):
        with pytest.raises((ValueError, KeyError)):
            reader(formula)
