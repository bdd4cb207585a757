"""One HTML page that asks nothing of the network: what it shows, how it looks and what it runs are
all inside."""

import re
from html import escape

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src "
    "data:; font-src data:"
)


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page. / title: plain text; body: HTML, escaped by whoever wrote it; style, script:
    CSS and JavaScript."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY}">\n<style>{_STYLE}{style}</style>\n</head>\n'
        f"<body>\n<main>{body}</main>\n<script>{_closed(script)}</script>\n</body>\n</html>\n"
    )


def _closed(script: str) -> str:
    """JavaScript whose strings cannot end the element that holds it."""
    return re.sub(r"<(/script|!--)", r"<\\\1", script, flags=re.IGNORECASE)


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1e23; --paper: #ffffff; --faint: #5f6670; --line: #d9dde3; --panel: #f5f6f8;
  --measured: #0072b2; --theory: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #16181c; --faint: #9aa2ad; --line: #343942;
  --panel: #1f2228; --measured: #56b4e9; --theory: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
"""
