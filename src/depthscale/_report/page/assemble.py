"""A page put together from parts: markup, the charts in it, and the data that its script reads."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from math import isfinite
from typing import Any

import altair as alt
import vl_convert

from depthscale._report.chart.theme import PAGE_COLOURS, Chart, house
from depthscale._report.page.document import asset, document
from depthscale._report.page.html import Html, join, tag

# what `visible` makes visible, as JSON and JSON inside JSON write it
_STEERS = re.compile(r"\\+u(00[01][0-9a-f]|00[7-9][0-9a-f]|061c|200[ef]|202[89a-e]|206[6-9]|feff)")
_DIGITS = 7  # significant, of numbers in a page


@dataclass(frozen=True)
class Part:
    """body: markup; charts: by the id of their place in it; data: read by the script as
    page.<name>; script: run after all."""

    body: Html
    charts: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""


def sheet(title: str, parts: Sequence[Part], *, last: int) -> str:
    """The whole page. / last: the largest place (layer, operation) that can be selected."""
    whole = joined(*parts)
    charts = {name: _drawable(chart) for name, chart in whole.charts.items()}
    data = {**whole.data, "charts": charts, "last": last}
    values = json.dumps(_compact(data), separators=(",", ":"), allow_nan=False)
    values = values.replace("<", r"\u003c")  # or a name could end the script that holds it
    values = _STEERS.sub(lambda found: f"⟨U+{found[1].upper()}⟩", values)
    script = f"const page = {values};\n{asset('page.js')}{whole.script}"
    libraries = f"(() => {{{_bundle()}}})();\n" if charts else ""
    needs = tag("noscript", tag("p", "The charts and tables of this page need JavaScript."))
    body = join(whole.body, needs)
    return document(title, body, style=asset("page.css"), script=libraries + script)


def figure(name: str, chart: Chart, title: str, says: str, *, axis: str = "") -> Part:
    """A chart with its title and what it shows in words. / axis: "x" or "y" where places lie along
    it and can be selected."""
    place = tag(
        "div",
        id=name,
        class_="chart",
        role="img",
        aria_label=f"{title}. {says}".strip(),
        tabindex=0,
        data_axis=axis or False,
    )
    caption = [tag("figcaption", says)] if says else []
    return Part(tag("figure", tag("h3", title), place, *caption), {name: chart})


def section(name: str, title: str, *parts: Part | str) -> Part:
    """A heading and what stands under it."""
    body = tag("h2", title, id=name)
    return gathered(Part(body), *parts, around="section")


def gathered(*parts: Part | str, around: str = "div", **attributes: str) -> Part:
    """Parts in one element."""
    whole = joined(*parts)
    return replace(whole, body=tag(around, whole.body, **attributes))


def joined(*parts: Part | str) -> Part:
    """Parts one after the other."""
    whole = [part if isinstance(part, Part) else Part(join(part)) for part in parts]
    return Part(
        join(*(part.body for part in whole)),
        dict(chain.from_iterable(part.charts.items() for part in whole)),
        dict(chain.from_iterable(part.data.items() for part in whole)),
        "".join(part.script for part in whole),
    )


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed. / in a scope of their own: their short global names would
    meet a page's."""
    return vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]


def _drawable(chart: Any) -> Any:
    """The chart as Vega-Lite reads it, as wide as its place, in the page's colours."""
    dressed = house(chart).properties(
        background="transparent", autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    return _coloured(dressed.properties(width="container").to_dict(validate=False))


def _coloured(node: Any) -> Any:
    match node:
        case dict():
            return {key: _coloured(value) for key, value in node.items()}
        case list():
            return [_coloured(value) for value in node]
        case str():
            return PAGE_COLOURS.get(node, node)
    return node


def _compact(node: Any) -> Any:
    """Numbers to a few digits; what is no finite number is null."""
    match node:
        case dict():
            return {key: _compact(value) for key, value in node.items()}
        case list() | tuple():
            return [_compact(value) for value in node]
        case float():
            return float(f"{node:.{_DIGITS}g}") if isfinite(node) else None
    return node
