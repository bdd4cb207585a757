"""Formulas as MathML, which browsers draw by themselves, from a notation as one would type it.

Letters, numbers and signs stand for themselves, `sigma` for its letter; `a_b`, `a^b`, `a²`, `frac{a}{b}`, `sqrt{a}`, and `<a>`,
written close, for a mean; braces group and are not drawn, parentheses after `_` and `^` group and are. Words keep the space
between them and what follows.
"""

import re
from itertools import pairwise

from depthscale.report.html import Html, tag

_TOKEN = re.compile(r"(\s*)(\d+(?:\.\d+)?|[A-Za-z]+|[^\W\d_]|\S)")
_MEAN = re.compile(r"<([^<>\s][^<>]*)>")
_GAP = " "
_LETTERS = {"sigma": "σ"}
_STRETCHED = "()[]|⟨⟩"


def formula(text: str, *, block: bool = False) -> Html:
    """The formula as one element. / block: on a line of its own."""
    tokens = _tokens(text)
    parts: list[Html] = []
    while tokens:
        parts.append(_scripted(tokens))
    drawn = tag("math", *parts, **({"display": "block"} if block else {}))
    return tag("div", drawn, class_="formula", tabindex=0) if block else drawn


def _tokens(text: str) -> list[str]:
    found = [match.groups() for match in _TOKEN.finditer(_MEAN.sub(r"⟨\1⟩", text).replace("²", "^2").rstrip())]
    tokens = [token for _, token in found[:1]]
    for (_, before), (space, token) in pairwise(found):
        words = (_is_word(before) and (token.isalnum() or token == "(")) or (_is_word(token) and before.isalnum())
        tokens += [_GAP, token] if space and words else [token]
    return tokens


def _is_word(token: str) -> bool:
    return len(token) > 1 and token.isalpha() and token not in ("frac", "sqrt", *_LETTERS)


def _scripted(tokens: list[str]) -> Html:
    """One thing with its sub- and superscript."""
    base, marks = _single(tokens), {}
    while tokens and tokens[0] in "_^" and tokens[0] not in marks:
        mark = tokens.pop(0)
        marks[mark] = _fenced(tokens) if tokens[:1] == ["("] else _single(tokens)
    name = {"_": "msub", "^": "msup", "_^": "msubsup"}.get("".join(sorted(marks, reverse=True)))
    return tag(name, base, *(marks[mark] for mark in "_^" if mark in marks)) if name else base


def _fenced(tokens: list[str]) -> Html:
    """From an opening parenthesis to the one that closes it."""
    inside = [_single(tokens)]
    while tokens and tokens[0] != ")":
        inside.append(_fenced(tokens) if tokens[0] == "(" else _scripted(tokens))
    if tokens:
        inside.append(_single(tokens))
    return tag("mrow", *inside)


def _single(tokens: list[str]) -> Html:
    if not tokens:
        return Html("<mrow></mrow>")
    token = tokens.pop(0)
    if token == _GAP:
        return tag("mspace", width="0.3em")
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
        return tag("mi", _LETTERS.get(token, token))
    return tag("mo", token, **({"stretchy": "false"} if token in _STRETCHED else {}))
