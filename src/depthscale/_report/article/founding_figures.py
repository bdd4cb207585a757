"""The founding experiment's figures."""

from depthscale._report.chart import founding_charts as charts
from depthscale._report.chart import ridges
from depthscale._report.chart.pictures import pictures
from depthscale.experiments import NAMES, Founding


def founding_figures(found: Founding) -> dict[str, bytes | str]:
    """The three figures as PNG and SVG, by file name."""
    measured = dict(zip(NAMES, found.measured, strict=True))
    predicted = dict(zip(NAMES, found.predicted, strict=False))
    return {
        **pictures(charts.gradient_by_layer(measured, predicted), "gradient_by_layer"),
        **pictures(ridges.gradient_ridgelines(measured, NAMES[:2]), "gradient_histograms"),
        **pictures(
            charts.neuron_histograms(found.neurons, NAMES[:2], found.shown), "preactivations"
        ),
    }
