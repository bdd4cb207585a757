"""Markup built from elements: whatever is not markup already is escaped and disarmed, so a name
shows as it is and never runs."""

from collections.abc import Iterable, Mapping
from html import escape

from depthscale.controls import disarm


class Html(str):
    """Markup fit for a page as it stands."""

    __slots__ = ()


def markup(content: str) -> Html:
    """The content itself if it is markup, else escaped."""
    return content if isinstance(content, Html) else Html(escape(disarm(content)))


def join(*contents: str) -> Html:
    """One after the other."""
    return Html("".join(map(markup, contents)))


def tag(name: str, /, *contents: str, **attributes: str | int | float | bool) -> Html:
    """An element. / contents: escaped unless markup; attributes: class_ stands for class,
    aria_label for aria-label."""
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(disarm(str(value)))}"')
        for key, value in attributes.items()
        if value is not False
    )
    return Html(f"<{name}{said}>{join(*contents)}</{name}>")


def link(text: str, address: str) -> Html:
    """A plain link, opened when it is clicked and not before; the page it leads to learns nothing
    of this one."""
    return tag("a", text, href=address, rel="noreferrer")


def paragraphs(*texts: str) -> Html:
    return join(*(tag("p", text) for text in texts))


def bullets(items: Iterable[str]) -> Html:
    return tag("ul", *(tag("li", item) for item in items))


def headline(kicker: str, title: str, *verdict: str) -> Html:
    """What every page begins with: what made it, what it is about, and what was found."""
    return join(
        tag("p", kicker, class_="kicker"), tag("h1", title), tag("p", *verdict, class_="verdict")
    )


def contents(titles: Mapping[str, str]) -> Html:
    """Links to the sections of a page, by their names."""
    links = (tag("a", title, href=f"#{name}") for name, title in titles.items())
    return tag("nav", *links, aria_label="contents")


def table(headings: list[str], rows: list[list[str]], **attributes: str) -> Html:
    """A plain table; its own container scrolls where a screen is narrow."""
    head = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in headings)))
    body = tag(
        "tbody",
        *(
            tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
            for row in rows
        ),
    )
    return tag("div", tag("table", head, body, **attributes), class_="scroll", tabindex=0)
