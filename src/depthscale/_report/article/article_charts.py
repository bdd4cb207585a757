"""The article's figures."""

from collections.abc import Mapping, Sequence
from math import inf

import altair as alt
import numpy as np

from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.magnitudes import histogram_ridges
from depthscale._report.chart.theme import (
    INK,
    NETWORK_COLOURS,
    NEURON_COLOURS,
    SERIES_COLOURS,
    Chart,
)
from depthscale._report.page.assemble import Part, figure, gathered
from depthscale._report.page.html import tag
from depthscale.experiments.founding import NAMES, Founding
from depthscale.run import Array

_NEURON_BINS = 33


def gradients(found: Founding) -> Part:
    """The experiment's picture: three networks, measured and predicted."""
    series = [
        Series(name, measured.gradient, predicted.gradient)
        for name, measured, predicted in zip(NAMES, found.measured, found.predicted, strict=True)
    ]
    over = f"mean over {found.measured[0].seeds} networks ± 2 standard errors"
    says = f"Points: {over}. Lines: theory for infinite width, nothing fitted."
    return figure(
        "gradients", along_depth(series, "RMS of dE/dx"), "Gradients along depth", says, axis="x"
    )


def histograms(found: Founding) -> Part:
    """The gradient's entries, layer by layer, without norm and with it."""
    reach = 3.2 * max(
        float(np.sqrt(profile.gradient.mean_square.max())) for profile in found.measured[:2]
    )
    says = (
        "All entries of dE/dx in all networks; each ridge is as high as any other, so its "
        "width is the spread."
    )
    return gathered(
        *(
            figure(
                f"histogram-{i}",
                histogram_ridges(
                    found.measured[i].gradient_sketches, "dE/dx", NETWORK_COLOURS[i], reach
                ),
                NAMES[i].capitalize(),
                says,
            )
            for i in range(2)
        ),
        class_="pair",
    )


def variances(found: Founding) -> Part:
    """The batch variance of a preactivation, layer by layer."""
    series = [
        Series(
            NAMES[i],
            found.measured[i].preactivation_batch_variance,
            found.predicted[i].preactivation_batch_variance,
        )
        for i in range(2)
    ]
    says = (
        "Variance over the batch of a preactivation before any norm, mean over neurons. With "
        "Batch Norm it settles at once; "
        "without, it falls: the samples of a batch become alike."
    )
    chart = along_depth(series, "batch variance of y", power=1.0, height=240)
    return figure("variances", chart, "How much samples differ", says, axis="x")


def neurons(received: Mapping[tuple[str, int], Array], shown: Sequence[int]) -> Part:
    """What three neurons' activations receive over the batch, in a few layers of one network or
    two.

    received: (network, layer) -> [batch, 3].
    """
    reach = max(float(np.quantile(np.abs(each), 0.99)) for each in received.values()) or 1.0
    networks = list(dict.fromkeys(name for name, _ in received))[:2]
    panels = [
        figure(
            f"neurons-{i}-{layer}",
            _neurons(received[name, layer], reach),
            f"{name.capitalize()}, layer {layer}",
            "",
        )
        for layer in shown
        for i, name in enumerate(networks)
    ]
    caption = (
        "What three neurons' activations receive over the batch, in the first network, a "
        "colour a neuron; dashed: 0."
    )
    return gathered(gathered(*panels, class_="pair"), tag("p", caption, class_="note"))


def batches(rates: Mapping[str, Mapping[float, float]]) -> Part:
    """Rate against batch size, a line an activation. / rates: activation -> batch -> factor of the
    mean square; inf: the limit."""
    rows = [
        {"activation": name, "batch": batch, "rate": value}
        for name, known in rates.items()
        for batch, value in known.items()
        if batch < inf
    ]
    limits = [{"activation": name, "rate": known[inf]} for name, known in rates.items()]
    colours = alt.Scale(domain=list(rates), range=SERIES_COLOURS[: len(rates)])
    top = max(row["rate"] for row in rows)
    x = alt.X(
        "batch:Q",
        title="samples in a batch",
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(grid=False),
    )
    y = alt.Y(
        "rate:Q",
        title="λ, per layer",
        scale=alt.Scale(domain=[0.95, top * 1.03], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    colour = alt.Color("activation:N", scale=colours, legend=alt.Legend(title=None, orient="top"))
    told = ["activation:N", "batch:Q", alt.Tooltip("rate:Q", format=".4f")]
    line = alt.Chart(alt.Data(values=rows)).mark_line(
        point=alt.OverlayMarkDef(size=30), strokeWidth=1.8
    )
    limit = alt.Chart(alt.Data(values=limits)).mark_rule(strokeDash=[4, 3], strokeWidth=1.3)
    chart = alt.layer(
        limit.encode(y=y, color=colour), line.encode(x=x, y=y, color=colour, tooltip=told)
    ).properties(height=260)
    says = (
        "λ, the factor of the squared gradient per layer, as predicted by batch size. Dashed: "
        "the limit of an endless batch."
    )
    return figure("batches", chart, "A smaller batch makes it worse", says)


def _neurons(values: Array, reach: float) -> Chart:
    edges = np.linspace(-reach, reach, _NEURON_BINS)
    rows = [
        {"x": float(x), "samples": int(n), "neuron": f"neuron {i + 1}"}
        for i, each in enumerate(values.T)
        for x, n in zip(edges, [*np.histogram(each, edges)[0], 0], strict=True)
    ]
    x = alt.X(
        "x:Q",
        title=None,
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(grid=False, tickCount=5),
    )
    colour = alt.Color("neuron:N", scale=alt.Scale(range=NEURON_COLOURS), legend=None)
    bars = alt.Chart(alt.Data(values=rows)).mark_area(
        opacity=0.4, interpolate="step-after", line={"strokeWidth": 1}
    )
    drawn = bars.encode(
        x=x,
        y=alt.Y("samples:Q", stack=None, title="samples", axis=alt.Axis(grid=False, tickCount=3)),
        color=colour,
    )
    kink = (
        alt.Chart(alt.Data(values=[{"x": 0.0}]))
        .mark_rule(color=INK, strokeDash=[3, 3])
        .encode(x="x:Q")
    )
    return alt.layer(drawn, kink).properties(height=90)
