"""The page of the growth argument at the norms of a user's model: what each norm makes of the
gradient, and every step at each."""

import numpy as np

from depthscale._explain import BLOCK_STEPS, Explanation, NormRows, read_explanation
from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.page import (
    Html,
    Part,
    again,
    bullets,
    claims,
    figure,
    headline,
    join,
    joined,
    readout,
    section,
    sheet,
    table_of,
    tag,
)
from depthscale.run import Array, Quantity

_SHOWN = ("inverse", "through_mean", "through_sigma", "slopes_independent", "z_independent", "norm")
_PLACES = "norm, in order of running"


def explained_page(found: Explanation) -> str:
    parts = [_first_screen(found), _norms(found), *_in_full(found), *_left_out(found)]
    parts.append(again(tag("pre", _call(found))))
    return sheet(
        f"{found.model}: the growth argument at its norms", parts, last=len(found.norms) - 1
    )


def _first_screen(found: Explanation) -> Part:
    first, *failing = read_explanation(found)
    over = f"{found.networks} networks" if found.networks > 1 else "one network"
    head = join(
        headline(
            f"depthscale explain model, {found.mode} mode, batch of {found.batch:,}, {over}",
            f"{found.model}: the growth argument at its norms",
            first,
        ),
        *([bullets(failing)] if failing else []),
    )
    measured, errors, argued = (
        _column(found, "norm", name) for name in ("measured", "stderr", "argued")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        series = Series(
            "norm", Quantity(np.log2(measured), errors / measured), Quantity.exact(np.log2(argued))
        )
    names = [norm.name for norm in found.norms]
    chart = along_depth([series], "factor", power=1.0, places=_PLACES, line="argument", names=names)
    says = (
        "Factor of the squared gradient through each norm, its own gain apart: as measured, "
        "and as argued from its σ."
    )
    hero = figure("norms", chart, "What each norm makes of the squared gradient", says, axis="x")
    return joined(
        head, hero, readout("Click a point or a row (or use the arrow keys) to follow one norm.")
    )


def _norms(found: Explanation) -> Part:
    """A row a norm: the steps that differ most between models."""
    labels = {step.name: step.label for step in BLOCK_STEPS}
    columns: dict[str, Array | list[str]] = {
        "norm": np.arange(float(len(found.norms))),
        "name": [norm.name for norm in found.norms],
        "kind": [norm.op for norm in found.norms],
        "values of one σ": np.array([float(norm.values) for norm in found.norms]),
    }
    columns |= {labels[step]: _column(found, step, "measured") for step in _SHOWN}
    columns["theory"] = _column(found, "norm", "predicted")
    columns["fails"] = [", ".join(labels[row.step] for row in norm.failing) for norm in found.norms]
    return section("table", "Norms", table_of(columns))


def _column(found: Explanation, step: str, name: str) -> Array:
    return np.array([getattr(norm[step], name) for norm in found.norms], float)


def _in_full(found: Explanation) -> list[Part]:
    note = "A step holds within 2 % (a correlation within 0.05)"
    note += (
        " and 3 standard errors." if found.networks > 1 else "; one network has no standard error."
    )
    listed = [part for norm in found.norms for part in _norm(norm)]
    return [section("steps", "Every step at every norm", tag("p", note, class_="note"), *listed)]


def _norm(norm: NormRows) -> tuple[Html, Html]:
    return tag("h3", f"{norm.name}: {norm.title}, one σ over {norm.values:,} values"), claims(
        norm.rows
    )


def _left_out(found: Explanation) -> list[Part]:
    said = [f"{name}: no finite gradient reached it" for name in found.without]
    said += [f"theory has no rule: {rule}" for rule in found.missing]
    return [section("coverage", "Coverage", bullets(said))] if said else []


def _call(found: Explanation) -> str:
    repeats = f", repeats={found.networks}" if found.networks > 1 else ""
    return f"depthscale.explain(model, inputs, loss={found.loss!r}{repeats})"
