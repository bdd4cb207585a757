"""Formulas as MathML, which browsers draw by themselves, from a notation as one would type it.

Letters, numbers and signs stand for themselves, `sigma` for its letter; `a_b`, `a^b`, `a²`,
`frac{a}{b}`, `sqrt{a}`, `hat{a}`, and `<a>`, written close, for a mean; braces group and are not
drawn, brackets group and are. Words keep the space between them and what follows.
"""

import re
from itertools import pairwise

from depthscale._report.page.html import Html, tag

_TOKEN = re.compile(r"(\s*)(\d+(?:\.\d+)?|[A-Za-z]+|[^\W\d_]|\S)")
_MEAN = re.compile(r"<([^<>\s][^<>]*)>")
_GAP = " "
_LETTERS = {"sigma": "σ"}
_NAMED = ("frac", "sqrt", "hat")
_SIGNS_OF_LETTERS = "∂"
_CLOSED_BY = {"(": ")", "[": "]", "⟨": "⟩"}


def formula(text: str, *, block: bool = False, large: bool = False) -> Html:
    """The formula as one element. / block: on a line of its own; large: as large as if it were."""
    tokens = _tokens(text)
    parts: list[Html] = []
    while tokens:
        parts.append(_scripted(tokens))
    drawn = tag(
        "math", *parts, display="block" if block else False, displaystyle="true" if large else False
    )
    return tag("div", drawn, class_="formula", tabindex=0) if block else drawn


def _tokens(text: str) -> list[str]:
    found = [
        match.groups()
        for match in _TOKEN.finditer(_MEAN.sub(r"⟨\1⟩", text).replace("²", "^2").rstrip())
    ]
    tokens = [token for _, token in found[:1]]
    for (_, before), (space, token) in pairwise(found):
        words = (_is_word(before) and (token.isalnum() or token == "(")) or (
            _is_word(token) and before.isalnum()
        )
        tokens += [_GAP, token] if space and words else [token]
    return tokens


def _is_word(token: str) -> bool:
    return len(token) > 1 and token.isalpha() and token not in (*_NAMED, *_LETTERS)


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
    if token == _GAP:
        return tag("mspace", width="0.3em")
    if token == "{":
        return tag("mrow", *_until("}", tokens))
    if (
        token in _CLOSED_BY
    ):  # in a row of their own they are as high as what they hold, and no higher
        close = _CLOSED_BY[token]
        return tag("mrow", tag("mo", token), *_until(close, tokens), tag("mo", close))
    if token == "frac":
        return tag("mfrac", _single(tokens), _single(tokens))
    if token == "sqrt":
        return tag("msqrt", _single(tokens))
    if token == "hat":
        return tag("mover", _single(tokens), tag("mo", "ˆ"), accent="true")
    if token[0].isdigit():
        return tag("mn", token)
    if token.isalpha() or token in _SIGNS_OF_LETTERS:
        return tag("mi", _LETTERS.get(token, token))
    return tag("mo", token)


def _until(close: str, tokens: list[str]) -> list[Html]:
    """Everything before the sign that closes, which is taken away."""
    inside: list[Html] = []
    while tokens and tokens[0] != close:
        inside.append(_scripted(tokens))
    del tokens[:1]
    return inside
