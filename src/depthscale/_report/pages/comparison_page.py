"""The page of several profiles on the same axes, and how surely each differs from the first."""

from collections.abc import Mapping
from itertools import islice

import altair as alt
import numpy as np

from depthscale._report.chart.along_depth import (
    along_depth,
    layers,
    selected,
    thinned,
    with_selection,
)
from depthscale._report.chart.record_charts import run_series
from depthscale._report.chart.theme import AXIS, SERIES_COLOURS, Chart, chart_of
from depthscale._report.page import (
    Html,
    Part,
    figure,
    headline,
    joined,
    notes,
    provenance,
    readout,
    rms,
    section,
    sheet,
    table,
    table_of,
    tag,
)
from depthscale._report.phrases import between, rate, rounded, sentence
from depthscale.measure import AS_UNLIKELY, Growth, gradient_along_depth
from depthscale.run import Array, Run

_QUANTITIES = {"gradient": "RMS of dE/dx", "activation": "RMS of x"}
_FAR = 3.0  # as a normal deviate
_MOST_POINTS = 400


def comparison_page(profiles: Mapping[str, Run]) -> str:
    """profiles: two or more by name, the first being what the others are compared with."""
    parts = [
        _first_screen(profiles),
        *_differences(profiles),
        _layers(profiles),
        *notes(*profiles.values()),
    ]
    last = max(profile.depth for profile in profiles.values())
    return sheet(" against ".join(profiles), [*parts, provenance(*profiles.values())], last=last)


def _first_screen(profiles: Mapping[str, Run]) -> Part:
    head = headline("depthscale comparison", " against ".join(profiles), *_verdict(profiles))
    charts = [
        figure(
            name,
            along_depth(
                [run_series(each, profile, name) for each, profile in profiles.items()], title
            ),
            f"{name.capitalize()} along depth",
            _legend(profiles),
            axis="x",
        )
        for name, title in _QUANTITIES.items()
    ]
    return joined(head, charts[0], readout(), charts[1], _growths(profiles))


def _legend(profiles: Mapping[str, Run]) -> str:
    exact = {not profile.networks for profile in profiles.values()}
    known = {False: "points: measured ± 2 standard errors", True: "lines: theory"}
    return sentence("; ".join(says for theory, says in known.items() if theory in exact))


def _verdict(profiles: Mapping[str, Run]) -> list[str]:
    """Where the second lies farthest from the first."""
    (first, a), (second, b) = islice(profiles.items(), 2)
    if a.depth != b.depth:
        return [
            f"{first} has {a.depth:,} layers and {second} {b.depth:,}: drawn on the same axes, "
            "not compared layer by layer."
        ]
    found = gradient_along_depth(a, b)
    apart = np.nan_to_num(np.abs(found.z_score), nan=-1.0)
    if (apart < 0).all():
        return [
            f"The gradients of {second} and {first} cannot be told apart: there are no standard "
            "errors to go by."
        ]
    layer = int(apart.argmax())
    factor = rounded(float(2.0 ** np.clip(found.log2_ratio[layer] / 2, -1000, 1000)), digits=4)
    by = f"a normal deviate of {apart[layer]:.1f}" if apart[layer] < 1e3 else "beyond any doubt"
    if apart[layer] <= _FAR:
        return [
            f"The gradients of {second} and {first} agree: nowhere do they differ by a normal "
            "deviate of more than "
            f"{apart[layer]:.1f}."
        ]
    return [
        f"The gradients of {second} and {first} differ most at layer {layer}: ",
        tag("strong", f"×{factor} in RMS"),
        f", {by}.",
    ]


def _growths(profiles: Mapping[str, Run]) -> Html:
    rows = []
    for name, profile in profiles.items():
        found = rate(profile)
        if isinstance(found, Growth):
            sure = between(found) if found.stderr else "exact"
            layers = f"{found.first_layer}-{found.last_layer}"
            rows.append([name, rounded(found.rate, found.stderr), sure, layers])
        else:
            rows.append([name, "–", str(found), "–"])
    return table(["growth of the squared gradient", "per layer", "95 % interval", "layers"], rows)


def _differences(profiles: Mapping[str, Run]) -> list[Part]:
    """A chart of the gradient's difference as a normal deviate, for those of the first one's
    depth."""
    first, reference = next(iter(profiles.items()))
    apart = {
        name: gradient_along_depth(reference, profile).z_score
        for name, profile in islice(profiles.items(), 1, None)
        if profile.depth == reference.depth
    }
    rows = [
        {"series": name, "at": layer, "y": float(values[layer])}
        for name, values in apart.items()
        for layer in thinned(len(values) - 1, _MOST_POINTS)
        if np.isfinite(values[layer])
    ]
    if not rows:
        return []
    chart = _difference_chart(rows, list(profiles), reference.depth)
    says = (
        f"Gradient's mean square against that of {first}: the normal deviate that is "
        f"{AS_UNLIKELY}; beyond the dashed lines it is "
        "no chance."
    )
    return [
        section(
            "difference",
            "Difference as a normal deviate",
            figure("apart", chart, "How far apart", says, axis="x"),
        )
    ]


def _difference_chart(rows: list[dict], series: list[str], depth: int) -> Chart:
    reach = max(_FAR, *(abs(row["y"]) for row in rows)) * 1.1
    x = layers(depth)
    kind = "symlog" if reach > 30 else "linear"
    y = alt.Y(
        "y:Q",
        title="normal deviate",
        scale=alt.Scale(type=kind, domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=5, format="~g"),
    )
    colours = alt.Scale(domain=series[1:], range=SERIES_COLOURS[1 : len(series)])
    limits = (
        chart_of([{"y": -_FAR}, {"y": _FAR}]).mark_rule(strokeDash=[4, 3], color=AXIS).encode(y=y)
    )
    points = chart_of(rows).mark_point(filled=True, size=35, opacity=1)
    legend = (
        alt.Legend(title=None, orient="top", columns=2, labelLimit=220) if len(series) > 2 else None
    )
    drawn = points.encode(
        x=x,
        y=y,
        color=alt.Color("series:N", scale=colours, legend=legend),
        tooltip=[
            "series:N",
            alt.Tooltip("at:Q", title="layer"),
            alt.Tooltip("y:Q", format=".2f", title="normal deviate"),
        ],
    )
    return with_selection(alt.layer(selected(x), limits, drawn).properties(height=220))


def _layers(profiles: Mapping[str, Run]) -> Part:
    deepest = max(profile.depth for profile in profiles.values())
    columns: dict[str, Array] = {"layer": np.arange(deepest + 1.0)}
    reference = next(iter(profiles.values()))
    for name, profile in profiles.items():
        columns[f"gradient RMS, {name}"] = _padded(_shown(profile), deepest)
        if profile is not reference and profile.depth == reference.depth:
            apart = gradient_along_depth(reference, profile).z_score
            columns[f"difference from the first as a normal deviate, {name}"] = _padded(
                apart, deepest
            )
    return section("layers", "Layers", table_of(columns))


def _shown(profile: Run) -> Array:
    return rms(profile.gradient.log2_mean_square)


def _padded(values: Array, depth: int) -> Array:
    return np.concatenate([values, np.full(depth + 1 - len(values), np.nan)])
