"""The page of all normalizers against all activations: which explode, which preserve, and at what
price."""

import shlex
from math import isfinite, log2

import altair as alt
import numpy as np

from depthscale._explain import (
    ACTIVATIONS,
    KEEPS,
    NORMALIZERS,
    Cell,
    Normalizers,
    answers,
)
from depthscale._report.chart.along_depth import with_selection
from depthscale._report.chart.theme import AXIS, INK, NETWORK_COLOURS, Chart, chart_of
from depthscale._report.page import (
    Html,
    Part,
    figure,
    flags,
    headline,
    joined,
    readout,
    reproduced,
    section,
    sheet,
    table_of,
    tag,
)

_KINDS = {
    "explodes": NETWORK_COLOURS[1],
    "vanishes": NETWORK_COLOURS[0],
    "preserved": AXIS,
    "unknown": AXIS,
}
_DEEPEST = 0.6  # opacity of a cell whose rate is 2 or 1/2, or further from 1
_ROW = 26  # pixels


def normalizers_page(found: Normalizers) -> str:
    parts = [_first_screen(found), _answers(found), _cells(found)]
    facts = (
        f"{found.depth} layers of {found.width:,} neurons, {found.batch} samples; seeds "
        f"{found.seed} to "
    )
    facts += str(found.seed + found.seeds - 1)
    return sheet(
        "Normalizers and exploding gradients",
        [*parts, reproduced(_command(found), facts)],
        last=len(found.cells) - 1,
    )


def _first_screen(found: Normalizers) -> Part:
    normalizing = {each.name for each in NORMALIZERS if each.normalizes}
    known = [cell for cell in found.cells if cell.verdict != "unknown"]
    exploding = [
        cell for cell in known if cell.normalizer in normalizing and cell.verdict == "explodes"
    ]
    asked = [cell for cell in known if cell.normalizer in normalizing]
    kept = sum(cell.verdict == "preserved" for cell in known)
    verdict = (
        "Where preactivations are normalized the gradient explodes in ",
        tag("strong", f"{len(exploding)} of {len(asked)}"),
        f" cases; of all {len(known)} pairs of activation and normalizer, {kept} keep it within "
        f"{KEEPS:.0%} per layer.",
    )
    head = headline(
        f"depthscale explain normalizers, {found.seeds} networks each",
        "Do normalized preactivations imply exploding gradients?",
        *verdict,
    )
    says = (
        "Factor of the squared gradient per layer towards the input, by theory or, where it has "
        "none, as measured: orange "
        "grows, blue shrinks, the deeper the faster. *: networks depart from theory by more than "
        "2 % and 3 standard errors."
    )
    hero = figure(
        "cells", _chart(found), "Rate of growth by activation and normalizer", says, axis="y"
    )
    hint = "Click a cell or a row (or use the arrow keys) to follow one pair."
    return joined(head, hero, readout(hint))


def _chart(found: Normalizers) -> Chart:
    rows = [_drawn(at, cell) for at, cell in enumerate(found.cells)]
    columns, lines = (
        list(dict.fromkeys(str(row[name]) for row in rows)) for name in ("normalizer", "activation")
    )
    x = alt.X(
        "normalizer:N",
        title=None,
        sort=columns,
        axis=alt.Axis(orient="top", labelAngle=-60, ticks=False, domain=False),
    )
    y = alt.Y("activation:N", title=None, sort=lines, axis=alt.Axis(ticks=False, domain=False))
    base = chart_of(rows).encode(x=x, y=y)
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=list(_KINDS), range=list(_KINDS.values())), legend=None
    )
    opacity = alt.Opacity(
        "depth:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, _DEEPEST], clamp=True), legend=None
    )
    told = [
        alt.Tooltip(f"{name}:N")
        for name in ("activation", "normalizer", "rate", "measured", "kind")
    ]
    cells = base.mark_rect().encode(color=colour, opacity=opacity, tooltip=told)
    chosen = base.transform_filter("datum.at == selected").mark_rect(
        filled=False, stroke=INK, strokeWidth=2
    )
    text = base.mark_text(fontSize=9.5, color=INK).encode(text="text:N")
    stars = base.transform_filter("datum.departs").mark_text(dy=-7, fontSize=9, color=INK, text="*")
    return with_selection(
        alt.layer(cells, chosen, text, stars).properties(height=_ROW * len(lines))
    )


def _drawn(at: int, cell: Cell) -> dict[str, str | int | float]:
    known = isfinite(cell.best) and cell.best > 0
    measured = f"{cell.rate:.4f} ± {cell.stderr:.4f}" if isfinite(cell.rate) else "–"
    return {
        "at": at,
        "activation": cell.activation,
        "normalizer": cell.normalizer,
        "kind": cell.verdict,
        "rate": f"{cell.best:.4f}" if known else "–",
        "measured": measured,
        "depth": min(1.0, abs(log2(cell.best))) if known else 0.0,
        "text": f"{cell.best:.2f}" if known else "–",
        "departs": bool(cell.departs),
    }


def _answers(found: Normalizers) -> Part:
    """The two questions, each a list under its heading."""
    parts: list[Html] = []
    items: list[Html] = []
    for line in [*answers(found), ""]:
        if line.startswith(" "):
            items.append(tag("li", line.strip()))
            continue
        parts += [tag("ul", *items)] if items else []
        parts += [tag("h3", line)] if line else []
        items = []
    return section("answers", "In words", *parts)


def _cells(found: Normalizers) -> Part:
    def of(name: str) -> np.ndarray:
        return np.array([getattr(cell, name) for cell in found.cells], float)

    columns = {
        "pair": np.arange(float(len(found.cells))),
        "activation": [cell.activation for cell in found.cells],
        "normalizer": [cell.normalizer for cell in found.cells],
        "theory's rate": of("predicted"),
        "measured rate": of("rate"),
        "± standard error": of("stderr"),
        "layers per factor e": of("depth_scale"),
        "correlation of samples": of("correlation"),
        "theory's correlation": of("predicted_correlation"),
        "signal per layer": of("signal"),
        "departs": [cell.departs for cell in found.cells],
    }
    return section("pairs", "Every pair", table_of(columns))


def _command(found: Normalizers) -> str:
    names = tuple(dict.fromkeys(cell.activation for cell in found.cells))
    sizes = ("depth", "width", "batch", "group_size", "seeds", "seed")
    given = {"activation": () if names == ACTIVATIONS else names}
    given |= {name: getattr(found, name) for name in sizes}
    given |= {} if found.sigma_w2 is None else {"sigma_w2": f"{found.sigma_w2:g}"}
    return shlex.join(["depthscale", "explain", "normalizers", *flags(given)])
