"""The page of one profile: verdict, depth, distributions, layers, and what it takes to have it
again."""

import numpy as np

from depthscale._report.chart.along_depth import LAYERS, along_depth
from depthscale._report.chart.magnitudes import (
    SHORT_NAMES,
    VISIBLE,
    lost,
    ridgeline,
)
from depthscale._report.chart.record_charts import depth_series
from depthscale._report.chart.theme import ACTIVATION_COLOUR, GRADIENT_COLOUR
from depthscale._report.page import (
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
    table_of,
    tag,
)
from depthscale._report.pages.magnitude_figures import losses, ridges
from depthscale._report.phrases import described, verdict
from depthscale.measure import gradient_along_depth
from depthscale.run import Array, Run
from depthscale.sketch import FORMATS, Sketch


def profile_page(profile: Run, theory: Run | None) -> str:
    """theory: the prediction for the same network, drawn as lines; None where there is none."""
    parts = [
        _first_screen(profile, theory),
        *_distributions(profile),
        _layers(profile, theory),
        *notes(profile, theory),
    ]
    return sheet(described(profile.spec), [*parts, provenance(profile)], last=profile.depth)


def _first_screen(profile: Run, theory: Run | None) -> Part:
    before, number, after = verdict(profile, theory)
    head = headline(
        "depthscale report", described(profile.spec), before, tag("strong", number), after
    )
    says = ["Root mean square over the entries of each layer, on a logarithmic scale."]
    if profile.networks:
        says.append(f"Points: mean over {profile.networks} networks ± 2 standard errors.")
    if theory is not None:
        says.append("Lines: theory for infinite width, nothing fitted.")
    places = LAYERS
    chart = along_depth(depth_series(profile, theory), "RMS", places=places)
    hero = figure(
        "depth", chart, "Gradient dE/dx and activation x along depth", " ".join(says), axis="x"
    )
    return joined(head, hero, readout())


def _distributions(profile: Run) -> list[Part]:
    if not profile.gradient_sketches:
        return []
    return [
        section(
            "distributions",
            "Distributions over every magnitude",
            *_distribution("gradient", "dE/dx", profile.gradient_sketches, GRADIENT_COLOUR),
            *_distribution("preactivation", "z", profile.received_sketches, ACTIVATION_COLOUR),
        )
    ]


def _distribution(
    name: str, symbol: str, sketches: tuple[Sketch | None, ...], colour: str
) -> list[Part | str]:
    if not any(sketch is not None and sketch.tally.nonzero for sketch in sketches):
        return [tag("p", f"Every entry of the {name} is 0.", class_="note")]
    received = ", what the activation receives" if name == "preactivation" else ""
    title = f"Size of the {name}'s entries by layer{received}"
    says = (
        f"Each ridge is the distribution of |{symbol}| over all entries and networks, scaled to "
        "one height, its RMS marked; a Gaussian leans left, as its logarithm does. "
    )
    lost_says = (
        f"Share of the {name}'s entries that rounding to each format turns into 0 (solid) or "
        "takes beyond its range (dashed), without loss scaling."
    )
    return [
        ridges(name, ridgeline(sketches, symbol, colour), title, says, sketches),
        losses(name, lost(sketches), len(sketches) - 1, lost_says),
    ]


def _layers(profile: Run, theory: Run | None) -> Part:
    """The table of layers."""
    columns = {"layer": np.arange(profile.depth + 1.0), **_gradient_columns(profile, theory)}
    columns["activation RMS"] = rms(profile.activation.log2_mean_square)
    columns["batch variance of y"] = rms(2 * profile.batch_variance.log2_mean_square)
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


def _gradient_columns(profile: Run, theory: Run | None) -> dict[str, Array]:
    gradient = profile.gradient
    plain = rms(gradient.log2_mean_square)
    columns = {"gradient RMS": plain}
    if profile.networks > 1:
        columns["± standard error"] = plain * gradient.relative_stderr / 2
    if np.isnan(plain[np.isfinite(gradient.log2_mean_square)]).any():
        columns["log2 of its mean square"] = gradient.log2_mean_square
    if theory is not None and theory is not profile:
        columns["theory"] = rms(theory.gradient.log2_mean_square)
        columns["difference as a normal deviate"] = gradient_along_depth(theory, profile).z_score
    return columns
