"""The page of several traces on the same axes: their gradients by step of depth, their verdicts,
and which operations differ."""

from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite, nan

import numpy as np

from depthscale._diagnose import Finding, diagnose
from depthscale._report.chart.along_steps import QUANTITIES, along_steps, levels, places
from depthscale._report.page import (
    Html,
    Part,
    bullets,
    figure,
    gathered,
    headline,
    joined,
    readout,
    rms,
    section,
    sheet,
    table,
    table_of,
    tag,
    trace_provenance,
)
from depthscale._report.phrases import between, rounded, sentence
from depthscale.errors import InvalidProbe, UnreliableGrowth
from depthscale.measure import AS_UNLIKELY, Analysis, Comparison, Difference, Growth, compare
from depthscale.run import Array, Run

_FAR = 3.0  # as a normal deviate
_MOST_SHOWN = 20  # operations that differ
_MOST_FINDINGS = 6
_MOST_NAMES = 8
_ALIKE = 1e-3  # log2 of a mean square below which nothing has changed
_HELD = 1000.0  # log2 of what is shown as a plain factor


def traces_page(traces: Mapping[str, Run]) -> str:
    """traces: two or more by name, the first being what the others are compared with."""
    along = places(list(traces.values()))
    found = _compared(traces)
    rest = list(islice(traces, 1, None))
    parts = [
        _first_screen(traces, found, along),
        _verdicts(traces),
        *(_operations(i, name, traces, found) for i, name in enumerate(rest, start=1)),
        _steps(traces, along),
        trace_provenance(traces),
    ]
    return sheet(" against ".join(traces), parts, last=max(len(ids) for ids in along[1]) - 1)


def _compared(traces: Mapping[str, Run]) -> Comparison | InvalidProbe:
    try:
        return compare(traces)
    except InvalidProbe as refused:
        return refused


def _first_screen(
    traces: Mapping[str, Run],
    found: Comparison | InvalidProbe,
    along: tuple[str, list[list[int]]],
) -> Part:
    (first, _), (second, _) = islice(traces.items(), 2)
    head = headline(
        "depthscale comparison of runs",
        " against ".join(traces),
        *_verdict(first, second, found),
    )
    says = {
        "gradient": "Root mean square where each step of depth ends, of the gradient that arrives "
        "there"
        + (
            " ± 2 standard errors over cotangents."
            if any(trace.passes > 1 for trace in traces.values())
            else "."
        ),
        "activation": "Root mean square of what the same operations give.",
    }
    charts = [
        figure(
            name,
            along_steps(traces, along, name),
            f"{name.capitalize()} along depth",
            says[name],
            axis="x",
        )
        for name in QUANTITIES
    ]
    hint = "Click a point or a row (or use the arrow keys) to follow one step of depth."
    return joined(head, charts[0], readout(hint), _growths(traces, found), charts[1])


def _verdict(first: str, second: str, found: Comparison | InvalidProbe) -> list[str]:
    """How the rates of growth differ; without rates, which operation differs most."""
    if isinstance(found, InvalidProbe):
        return [
            f"{second} and {first} have no operation's name in common: only their depths are "
            "compared."
        ]
    b, a = found.growths[first], found.growths[second]
    if a is not None and b is not None and isfinite(found[second].z_score):
        apart = abs(found[second].z_score)
        rates = [
            f"Per {a.step} the squared gradient of {second} changes by ",
            tag("strong", f"×{rounded(a.rate, a.stderr)}"),
            f", that of {first} by ",
            tag("strong", f"×{rounded(b.rate, b.stderr)}"),
        ]
        if a.step != b.step:
            rates[2] = f", per {b.step} that of {first} by "
        return [
            *rates,
            f": apart by a normal deviate of {apart:.1f}, {AS_UNLIKELY}."
            if apart > _FAR
            else f". They cannot be told apart (a normal deviate of {apart:.1f}, {AS_UNLIKELY}).",
        ]
    most = found.largest(second)[0]
    if found[second].size[most] < _ALIKE:
        return [
            f"Every operation of {second} has the gradient and the activation that it has in "
            f"{first}."
        ]
    return [
        f"{second} and {first} differ most at {found.label(second, most)}: ",
        tag("strong", _factors(found[second], most)),
        ".",
    ]


def _factors(difference: Difference, row: int) -> str:
    ratios = {name: getattr(difference, name).log2_ratio[row] for name in QUANTITIES}
    told = [f"{name} {_times(ratio)}" for name, ratio in ratios.items() if isfinite(ratio)]
    return f"{' and '.join(told)} in RMS"


def _times(log2_ms: float) -> str:
    """As a factor of the RMS."""
    if not isfinite(log2_ms):
        return "–" if np.isnan(log2_ms) else "×0" if log2_ms < 0 else "×∞"
    return f"×{2.0 ** (log2_ms / 2):.4g}" if abs(log2_ms) < _HELD else f"×2^{log2_ms / 2:.0f}"


def _growths(traces: Mapping[str, Run], found: Comparison | InvalidProbe) -> Html:
    rows = []
    for name, trace in traces.items():
        other = None if isinstance(found, InvalidProbe) else found.differences.get(name)
        apart = nan if other is None else other.z_score
        rows.append([name, *_growth_cells(trace), f"{apart:+z.1f}" if isfinite(apart) else "–"])
    apart = "difference from the first as a normal deviate"
    return table(
        ["growth of the squared gradient", "per step", "95 % interval", "a step", apart], rows
    )


def _growth_cells(trace: Run) -> list[str]:
    analysis = Analysis.of(trace)
    found = analysis.gradient
    if isinstance(found, UnreliableGrowth):
        estimate = found.estimate
        return [
            f"(×{estimate.rate:.4g})" if isinstance(estimate, Growth) else "–",
            "too few steps for one" if analysis.depth else "nothing repeats three times",
            "–",
        ]
    return [rounded(found.rate, found.stderr), between(found), found.step]


def _verdicts(traces: Mapping[str, Run]) -> Part:
    """Each trace's diagnosis, side by side."""
    cards = [_card(name, trace) for name, trace in traces.items()]
    return section("verdicts", "Verdicts", gathered(*cards, class_="pair"))


def _card(name: str, trace: Run) -> Html:
    found = diagnose(trace)
    worst = [each for each in found.findings if each.severity != "info"]
    listed = (
        bullets(map(_told, worst[:_MOST_FINDINGS]))
        if worst
        else tag("p", "No warnings.", class_="note")
    )
    more = (
        [tag("p", f"and {len(worst) - _MOST_FINDINGS} more", class_="note")]
        if len(worst) > _MOST_FINDINGS
        else []
    )
    seen = (
        f"{trace.model}, {trace.mode} mode, {len(trace.ops):,} operations, batch of {trace.batch}"
    )
    return tag(
        "div",
        tag("h3", name),
        tag("p", sentence(found.verdict)),
        listed,
        *more,
        tag("p", seen, class_="note"),
    )


def _told(found: Finding) -> str:
    return f"{found.severity}: {found.rule}{f' at {found.where}' if found.where else ''}"


def _operations(
    i: int, name: str, traces: Mapping[str, Run], found: Comparison | InvalidProbe
) -> Part:
    """Those that differ most from the first trace's, and the names of those that only one has."""
    first = next(iter(traces))
    title = f"Operations of {name} that differ most from those of {first}"
    if isinstance(found, InvalidProbe):
        return section(f"operations-{i}", title, tag("p", sentence(str(found))))
    difference = found[name]
    shown = [row for row in found.largest(name) if difference.size[row] > _ALIKE][:_MOST_SHOWN]
    rows = [
        [
            found.label(name, row),
            " against ".join(
                dict.fromkeys(traces[run].ops[found.at[run][row]].op for run in (name, first))
            ),
            _times(difference.gradient.log2_ratio[row]),
            _times(difference.activation.log2_ratio[row]),
        ]
        for row in shown
    ]
    said = (
        f"{len(found.rows):,} operations have the same name in both"
        if found.by == "operation"
        else f"{len(found.rows):,} places of depth are compared"
    ) + (
        f"; the {len(shown)} that differ most, {name} over {first}:"
        if shown
        else " and none differs."
    )
    alone = [
        tag("p", f"Only in {which}: {_listed(names)}.", class_="note")
        for which, names in ((name, difference.only_this), (first, difference.only_first))
        if names
    ]
    drawn = (
        [table(["operation", "kind", "gradient RMS", "activation RMS"], rows, class_="named")]
        if rows
        else []
    )
    return section(f"operations-{i}", title, tag("p", said), *drawn, *alone)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _steps(traces: Mapping[str, Run], along: tuple[str, list[list[int]]]) -> Part:
    title, ids = along
    longest = max(map(len, ids))
    columns: dict[str, Array | list[str]] = {title.split(",")[0]: np.arange(float(longest))}
    for (name, trace), at in zip(traces.items(), ids, strict=True):
        columns[f"operation, {name}"] = [
            *(trace.ops[i].name for i in at),
            *[""] * (longest - len(at)),
        ]
        for quantity in QUANTITIES:
            values = rms(levels(trace, at, quantity).log2_mean_square)
            columns[f"{quantity} RMS, {name}"] = np.concatenate(
                [values, np.full(longest - len(at), nan)]
            )
    return section("steps", "Steps of depth", table_of(columns))
