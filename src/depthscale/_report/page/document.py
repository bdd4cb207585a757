"""One HTML page that asks nothing of the network: what it shows, how it looks and what it runs are
all inside."""

import re
from functools import cache
from html import escape
from importlib.resources import files

from depthscale.network import visible

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src "
    "data:; font-src data:"
)


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page. / title: plain text; body: HTML, escaped by whoever wrote it; style, script:
    CSS and JavaScript."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{escape(visible(title))}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY}">\n<style>{asset("base.css")}{style}</style>\n</head>\n'
        f"<body>\n<main>{visible(body)}</main>\n<script>{_closed(script)}</script>\n</body>\n</html>\n"
    )


@cache
def asset(name: str) -> str:
    """A style sheet or script of ours."""
    return (files("depthscale._report.page") / "assets" / name).read_text(encoding="utf-8")


def _closed(script: str) -> str:
    """JavaScript whose strings cannot end the element that holds it."""
    return re.sub(r"<(/script|!--)", r"<\\\1", script, flags=re.IGNORECASE)
