"""Formulas read as text and as MathML mean what they say in Python."""

import re
from xml.etree import ElementTree

import pytest

from depthscale.explain.formula import mathml, text
from depthscale.explain.words import WORDS


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
    assert text(formula) == written


@pytest.mark.parametrize(
    ("formula", "inside"),
    [
        ("1 / sigma", "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>σ</mi></mrow></mfrac>"),
        ("c**2", "<msup><mi>c</mi><mn>2</mn></msup>"),
        ("sqrt(v)", "<msqrt><mi>v</mi></msqrt>"),
        ("d(v)", "<mfrac><mrow><mi>∂</mi><mi>E</mi></mrow><mrow><mi>∂</mi><mi>v</mi></mrow></mfrac>"),
        ("a - (b - c)", "<mo>(</mo><mrow><mi>b</mi><mo>−</mo><mi>c</mi></mrow><mo>)</mo>"),
    ],
)
def test_mathml_is_written_as_on_paper(formula: str, inside: str) -> None:
    assert inside in mathml(formula)


def test_every_formula_of_the_walk_can_be_written_and_is_well_formed() -> None:
    for words in WORDS.values():
        for formula in (words.symbol, words.value, *words.local, *words.flows):
            assert text(formula)
            ElementTree.fromstring(re.sub(r"&\w+;", "", mathml(formula)))


@pytest.mark.parametrize("formula", ["a**3", "sin(a)", "a % b", "[a]"])
def test_what_has_no_notation_is_refused(formula: str) -> None:
    for reader in (text, mathml):
        with pytest.raises((ValueError, KeyError)):
            reader(formula)
