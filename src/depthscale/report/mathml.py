"""Formulas as MathML, which browsers draw by themselves, from a notation as one would type it.

Letters, numbers and signs stand for themselves; `a_b`, `a^b`, `frac{a}{b}`, `sqrt{a}`; braces group and are not drawn.
"""

import re

from depthscale.report.html import Html, tag

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|[A-Za-z]+|[^\W\d_]|.)", re.DOTALL)
_STRETCHED = "()[]|⟨⟩"


def formula(text: str, *, block: bool = False) -> Html:
    """The formula as one element. / block: on a line of its own."""
    tokens = [token for token in _TOKEN.findall(text) if token.strip()]
    parts: list[Html] = []
    while tokens:
        parts.append(_scripted(tokens))
    drawn = tag("math", *parts, **({"display": "block"} if block else {}))
    return tag("div", drawn, class_="formula", tabindex=0) if block else drawn


def _scripted(tokens: list[str]) -> Html:
    """One thing with its sub- and superscript."""
    base, marks = _single(tokens), {}
    while tokens and tokens[0] in "_^" and tokens[0] not in marks:
        mark = tokens.pop(0)
        marks[mark] = _single(tokens)
    name = {"_": "msub", "^": "msup", "_^": "msubsup"}.get("".join(sorted(marks, reverse=True)))
    return tag(name, base, *(marks[mark] for mark in "_^" if mark in marks)) if name else base


def _single(tokens: list[str]) -> Html:
    if not tokens:
        return Html("<mrow></mrow>")
    token = tokens.pop(0)
    if token == "{":
        inside: list[Html] = []
        while tokens and tokens[0] != "}":
            inside.append(_scripted(tokens))
        del tokens[:1]
        return tag("mrow", *inside)
    if token == "frac":
        return tag("mfrac", _single(tokens), _single(tokens))
    if token == "sqrt":
        return tag("msqrt", _single(tokens))
    if token[0].isdigit():
        return tag("mn", token)
    if token.isalpha():
        return tag("mi", token)
    return tag("mo", token, **({"stretchy": "false"} if token in _STRETCHED else {}))
