"""The founding experiment's figures."""

from pathlib import Path

from depthscale import files
from depthscale.experiments import Founding
from depthscale.experiments.founding import NAMES
from depthscale.report import charts
from depthscale.report.figures import save_figure


def save_figures(found: Founding, folder: Path) -> list[Path]:
    """Write the three figures as PNG and SVG. / returns: their paths. / raises: UnwritablePath."""
    measured = dict(zip(NAMES, found.measured, strict=True))
    predicted = dict(zip(NAMES, found.predicted, strict=False))
    figures = {
        "gradient_by_layer": charts.gradient_by_layer(measured, predicted),
        "gradient_histograms": charts.gradient_ridgelines(measured, NAMES[:2]),
        "preactivations": charts.neuron_histograms(found.neurons, NAMES[:2], found.shown),
    }
    files.make_folder(folder)
    return [path for name, chart in figures.items() for path in save_figure(chart, folder, name)]
