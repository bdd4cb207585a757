"""The article's figures."""

from collections.abc import Mapping
from math import inf

import altair as alt
import numpy as np

from depthscale._report.chart.along_depth import Series, along_depth
from depthscale._report.chart.magnitudes import histogram_ridges
from depthscale._report.chart.theme import (
    NETWORK_COLOURS,
    SERIES_COLOURS,
    chart_of,
)
from depthscale._report.page import Part, figure, gathered
from depthscale.experiments import NAMES, Founding


def gradients(found: Founding) -> Part:
    """The experiment's picture: three networks, measured and predicted."""
    series = [
        Series(name, measured.gradient, predicted.gradient)
        for name, measured, predicted in zip(NAMES, found.measured, found.predicted, strict=True)
    ]
    over = f"mean over {found.measured[0].networks} networks ± 2 standard errors"
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
            found.measured[i].batch_variance,
            found.predicted[i].batch_variance,
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
    line = chart_of(rows).mark_line(point=alt.OverlayMarkDef(size=30), strokeWidth=1.8)
    limit = chart_of(limits).mark_rule(strokeDash=[4, 3], strokeWidth=1.3)
    chart = alt.layer(
        limit.encode(y=y, color=colour), line.encode(x=x, y=y, color=colour, tooltip=told)
    ).properties(height=260)
    says = (
        "λ, the factor of the squared gradient per layer, as predicted by batch size. Dashed: "
        "the limit of an endless batch."
    )
    return figure("batches", chart, "A smaller batch makes it worse", says)
