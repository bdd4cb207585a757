"""The page of one profile: verdict, depth, distributions, layers, and what it takes to have it
again."""

from collections.abc import Mapping
from math import log10

import numpy as np

from depthscale._report.chart.along_depth import LAYERS, Series, along_depth
from depthscale._report.chart.magnitudes import (
    SHORT_NAMES,
    VISIBLE,
    beyond,
    lost,
    lost_chart,
    ridgeline,
)
from depthscale._report.chart.theme import NETWORK_COLOURS
from depthscale._report.page.assemble import Part, figure, section, sheet
from depthscale._report.page.html import Html, headline, join, tag
from depthscale._report.page.provenance import provenance
from depthscale._report.phrases import described, verdict
from depthscale.measure import compare
from depthscale.run import Array, Profile
from depthscale.sketch import FORMATS, Sketch

HINT = (
    "Click a point, a ridge or a row (or use the arrow keys) to follow one layer through the page."
)
_LARGEST = 300.0  # log10 of what a table can show as a plain number


def profile_page(profile: Profile, theory: Profile | None) -> str:
    """theory: the prediction for the same network, drawn as lines; None where there is none."""
    parts = [
        _first_screen(profile, theory),
        *_distributions(profile),
        _layers(profile, theory),
        *notes(profile, theory),
    ]
    return sheet(described(profile.spec), [*parts, provenance(profile)], last=profile.depth)


def _first_screen(profile: Profile, theory: Profile | None) -> Part:
    before, number, after = verdict(profile, theory)
    head = headline(
        "depthscale report", described(profile.spec), before, tag("strong", number), after
    )
    says = ["Root mean square over the entries of each layer, on a logarithmic scale."]
    if profile.seeds:
        says.append(f"Points: mean over {profile.seeds} networks ± 2 standard errors.")
    if theory is not None:
        says.append("Lines: theory for infinite width, nothing fitted.")
    places = LAYERS if profile.axis == "layer" else f"{profile.axis}, from the input"
    chart = along_depth(depth_series(profile, theory), "RMS", places=places)
    hero = figure(
        "depth", chart, "Gradient dE/dx and activation x along depth", " ".join(says), axis="x"
    )
    return Part(join(head, hero.body, readout()), hero.charts)


def depth_series(profile: Profile, theory: Profile | None) -> list[Series]:
    """Gradient and activation, as measured and as predicted."""
    measured = profile if profile.source == "simulation" else None
    predicted = theory if measured else profile
    return [
        Series(name, measured and getattr(measured, name), predicted and getattr(predicted, name))
        for name in ("gradient", "activation")
    ]


def readout(hint: str = HINT) -> Html:
    """Where the script says what is selected."""
    return tag("output", hint, class_="readout", data_hint=hint, aria_live="polite")


def _distributions(profile: Profile) -> list[Part]:
    if not profile.gradient_sketches:
        return []
    return [
        section(
            "distributions",
            "Distributions over every magnitude",
            *_distribution("gradient", "dE/dx", profile.gradient_sketches, NETWORK_COLOURS[0]),
            *_distribution(
                "preactivation", "z", profile.preactivation_sketches, NETWORK_COLOURS[1]
            ),
        )
    ]


def _distribution(
    name: str, symbol: str, sketches: tuple[Sketch | None, ...], colour: str
) -> list[Part | str]:
    if not any(sketch is not None and sketch.tally.nonzero for sketch in sketches):
        return [tag("p", f"Every entry of the {name} is 0.", class_="note")]
    outside = beyond(sketches)
    off = f" Not on this axis: {', '.join(outside)}." if outside else ""
    ridges = figure(
        f"{name}-ridges",
        ridgeline(sketches, symbol, colour),
        f"Size of the {name}'s entries by layer"
        + (", what the activation receives" if name == "preactivation" else ""),
        "Each ridge is the distribution of |x| over all entries and networks, scaled to one "
        "height, its RMS marked; a Gaussian "
        "leans left, as its logarithm does. Dashed: below zero a format rounds to 0, beyond max "
        "it has no number." + off,
        axis="y",
    )
    rows = lost(sketches)
    if not rows:
        return [
            ridges,
            tag("p", f"No number format of these loses any of the {name}.", class_="note"),
        ]
    says = (
        f"Share of the {name}'s entries that rounding to each format turns into 0 (solid) or "
        "takes beyond its range (dashed), "
    )
    chart = lost_chart(rows, len(sketches) - 1)
    return [
        ridges,
        figure(
            f"{name}-lost",
            chart,
            f"What each number format would lose of the {name}",
            says + "without loss scaling.",
        ),
    ]


def _layers(profile: Profile, theory: Profile | None) -> Part:
    """The table of layers."""
    columns = {"layer": np.arange(profile.depth + 1.0), **_gradient_columns(profile, theory)}
    columns["activation RMS"] = rms(profile.activation.log2_mean_square)
    columns["batch variance of y"] = _plain(
        profile.preactivation_batch_variance.log2_mean_square * log10(2)
    )
    columns |= {
        f"gradient lost in {name} (%)": 100 * share
        for name, share in _lost_shares(profile.gradient_sketches).items()
    }
    return section("layers", "Layers", table_of(columns))


def _lost_shares(sketches: tuple[Sketch, ...]) -> dict[str, Array]:
    """Share of each layer's values outside a format, for those formats that lose any."""
    shares = {
        name: np.array([each.underflow(name) + each.overflow(name) for each in sketches])
        for name in FORMATS
    }
    return {SHORT_NAMES[name]: share for name, share in shares.items() if (share > VISIBLE).any()}


def _gradient_columns(profile: Profile, theory: Profile | None) -> dict[str, Array]:
    gradient = profile.gradient
    plain = rms(gradient.log2_mean_square)
    columns = {"gradient RMS": plain}
    if profile.seeds > 1:
        columns["± standard error"] = plain * gradient.relative_stderr / 2
    if np.isnan(plain[np.isfinite(gradient.log2_mean_square)]).any():
        columns["log2 of its mean square"] = gradient.log2_mean_square
    if theory is not None and theory is not profile:
        columns["theory"] = rms(theory.gradient.log2_mean_square)
        columns["difference as a normal deviate"] = compare(profile, theory)[
            "gradient"
        ].standard_errors
    return columns


def table_of(columns: Mapping[str, Array | list[str]], name: str = "table") -> Part:
    """A table that sorts and filters. / columns: by heading; the first holds the place that a row
    stands for."""
    rows = [
        [_cell(each[i]) for each in columns.values()]
        for i in range(len(next(iter(columns.values()))))
    ]
    search = tag(
        "input",
        type="search",
        placeholder=f"12, or {_first_number(columns)} > 2",
        aria_label="filter rows",
    )
    grid = tag("table", tag("thead", tag("tr")), tag("tbody"))
    body = tag(
        "div",
        tag(
            "p",
            tag("label", "Show rows with ", search),
            " ",
            tag("span", "", class_="count", aria_live="polite"),
        ),
        tag(
            "div",
            grid,
            class_="rows",
            tabindex=0,
            role="region",
            aria_label="table, arrow keys move the selection",
        ),
        class_="layers",
        data_table=name,
    )
    return Part(body, data={name: {"columns": list(columns), "rows": rows}})


def _first_number(columns: Mapping[str, Array | list[str]]) -> str:
    """Heading of the first column of numbers but the places'."""
    return next(
        (name for name, each in list(columns.items())[1:] if isinstance(each, np.ndarray)), "layer"
    )


def rms(log2_mean_square: Array) -> Array:
    """nan where float64 does not hold it."""
    return _plain(log2_mean_square * log10(2) / 2)


def _plain(log10_value: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        held = (log10_value < _LARGEST) & ((log10_value > -_LARGEST) | np.isneginf(log10_value))
        return np.where(held, 10.0 ** np.where(held, log10_value, 0.0), np.nan)


def _cell(value: float | str) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


def notes(*profiles: Profile | None) -> list[Part]:
    """What must be known to read the numbers, each once; nothing where there is nothing."""
    said = dict.fromkeys(
        note for profile in profiles if profile is not None for note in profile.notes
    )
    return (
        [section("notes", "Notes", tag("ul", *(tag("li", note) for note in said)))] if said else []
    )
