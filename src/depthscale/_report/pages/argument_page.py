"""The page of the growth argument: each layer's factor, what the networks look like, and every step
with its verdict."""

import shlex
from collections.abc import Sequence

import numpy as np

from depthscale._explain import DEFAULT, Argument, Row
from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.condensed import verdict_line
from depthscale._report.page import (
    Part,
    claims,
    figure,
    flags,
    headline,
    join,
    joined,
    options,
    readout,
    reproduced,
    section,
    sheet,
    table_of,
    tag,
)
from depthscale._report.pages.neuron_panels import neurons
from depthscale._report.phrases import described, sentence, with_error
from depthscale.run import Array, Quantity

_OPTIONS = (
    "activation",
    "norm",
    "position",
    "statistics",
    "depth",
    "width",
    "batch",
    "groups",
    "eps",
    "sigma_w2",
)
_READING = (
    "p is the mean square of the gradient. argument: as it is told, for an endless batch and a "
    "gradient of its own in every "
    "sample; theory: for these networks; measured: mean over seeds ± standard error of one layer."
)


def argument_page(argument: Argument) -> str:
    spec = argument.spec
    parts = [
        _first_screen(argument),
        section("steps", "Step by step", tag("p", _READING, class_="note"), claims(argument.rows)),
        _variances(argument),
        neurons(argument.preactivations, argument.shown),
        _layers(argument),
        reproduced(
            _command(argument), f"seeds {argument.seed} to {argument.seed + argument.seeds - 1}"
        ),
    ]
    return sheet(f"The growth argument: {described(spec.record())}", parts, last=spec.depth)


def _first_screen(argument: Argument) -> Part:
    (rate,) = argument.of("rate")
    head = join(
        headline(
            f"depthscale explain growth, {argument.seeds} networks, {argument.loss} loss",
            f"The growth argument: {described(argument.spec.record())}",
            *_verdict(rate),
        ),
        tag("p", tag("strong", sentence(verdict_line(argument.rows)))),
    )
    says = (
        "Points: mean over the networks ± 2 standard errors. Lines: theory. The first layer "
        "and the last obey laws of their own."
    )
    chart = along_depth(
        _series(argument, "layer", "vanilla"), "factor of the squared gradient", power=1.0
    )
    hero = figure("depth", chart, "What each layer makes of the squared gradient", says, axis="x")
    return joined(
        head, hero, readout("Click a point or a row (or use the arrow keys) to follow one layer.")
    )


def _verdict(rate: Row) -> Sequence[str]:
    if not np.isfinite(rate.measured):
        return [sentence(f"No rate of growth: {rate.why}")]
    number = tag("strong", f"×{with_error(rate.measured, rate.stderr)}")
    return [
        "Towards the input a layer multiplies the squared gradient by ",
        number,
        f"; the argument has ×{rate.argued:.4g} and theory, for these networks, "
        f"×{rate.predicted:.5g}: it {rate.verdict}.",
    ]


def _variances(argument: Argument) -> Part:
    says = (
        "What the norm divides by, squared; without one it falls as the samples of a batch "
        "become alike."
    )
    chart = along_depth(
        _series(argument, "sigma2", "vanilla_variance"), "variance of y", power=1.0, height=240
    )
    return section(
        "variances",
        "How much samples differ",
        figure("variance", chart, "Variance of y by layer", says, axis="x"),
    )


def _series(argument: Argument, normed: str, vanilla: str) -> list[Series]:
    """A step with the norm, and the one that stands for it without; what a network has not is left
    out."""
    named = {"with the norm": argument.of(normed), "without": argument.of(vanilla)}
    if argument.spec.norm == "none":
        named = {"without norm": argument.of(vanilla)}
    known = {name: rows for name, rows in named.items() if rows and rows[0].layer is not None}
    return [Series(name, *_quantities(rows)) for name, rows in known.items()]


def _quantities(rows: list[Row]) -> tuple[Quantity, Quantity]:
    """Measured and predicted; there is nothing at layer 0."""
    measured, stderr, predicted = (
        _column(rows, name) for name in ("measured", "stderr", "predicted")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return Quantity(np.log2(measured), stderr / measured), Quantity.exact(np.log2(predicted))


def _column(rows: list[Row], name: str) -> Array:
    return np.array([np.nan, *(getattr(row, name) for row in rows)])


def _layers(argument: Argument) -> Part:
    columns: dict[str, Array | list[str]] = {"layer": np.arange(argument.spec.depth + 1.0)}
    for step, name in (
        ("layer", "factor"),
        ("norm", "norm's factor"),
        ("sigma2", "σ²"),
        ("inverse", "1/σ²"),
    ):
        rows = argument.of(step)
        if rows and rows[0].layer is not None:
            columns |= {name: _column(rows, "measured"), f"{name}, ± s.e.": _column(rows, "stderr")}
            columns[f"{name}, theory"] = _column(rows, "predicted")
    return section("layers", "Layers", table_of(columns))


def _command(argument: Argument) -> str:
    """The command line that gives this argument; nothing for a network that it has no options
    for."""
    spec, usual = argument.spec.record(), DEFAULT.record()
    if any(spec[name] != usual[name] for name in usual if name not in _OPTIONS):
        return ""
    run = flags({"loss": argument.loss, "seeds": argument.seeds, "seed": argument.seed})
    return shlex.join(["depthscale", "explain", "growth", *options(spec, usual), *run])
