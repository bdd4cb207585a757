"""Charts are drawn from profiles, whole, and in every case that a profile can be in."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthscale._report.article.founding_figures import founding_figures
from depthscale._report.chart import founding_charts as charts
from depthscale._report.chart import ridges
from depthscale._report.chart.magnitudes import ridgeline
from depthscale._report.chart.pictures import pictures
from depthscale.experiments import founding
from depthscale.network.spec import NetSpec
from depthscale.sketch import Sketch

SMALL = NetSpec(depth=4, width=32, batch=16)


def values(chart) -> list[dict]:
    """All rows that a chart is drawn from."""
    return (
        [row for rows in json.loads(chart.to_json())["datasets"].values() for row in rows]
        if "datasets" in chart.to_dict()
        else _inline(chart.to_dict())
    )


def _inline(node) -> list[dict]:
    if isinstance(node, dict):
        own = (
            node["values"]
            if isinstance(node.get("values"), list)
            and node["values"]
            and isinstance(node["values"][0], dict)
            else []
        )
        return own + [row for child in node.values() for row in _inline(child)]
    return [row for child in node for row in _inline(child)] if isinstance(node, list) else []


def test_the_depth_chart_shows_the_profiles_numbers() -> None:
    found = founding(SMALL, seeds=3)
    rows = values(charts.gradient_by_layer({"bn": found.measured[1]}, {"bn": found.predicted[1]}))
    measured = np.sqrt(found.measured[1].gradient.mean_square)
    shown = {(row["layer"], row["rms"]) for row in rows}
    assert all((layer, rms) in shown for layer, rms in enumerate(measured.tolist()))


CASES = [
    SMALL,
    replace(SMALL, depth=1),
    replace(SMALL, depth=60, width=8),
    replace(SMALL, batch=2),
    replace(SMALL, depth=120, sigma_w2=1e4),  # gradients beyond float64
    replace(SMALL, width=8, sigma_w2=1e-30),
]


@pytest.mark.parametrize("spec", CASES, ids=str)
def test_figures_are_pictures(spec: NetSpec) -> None:
    found = founding_figures(founding(spec, seeds=2))
    assert len(found) == 6
    for name, content in found.items():
        if name.endswith(".png"):
            assert isinstance(content, bytes)
            assert content[:8] == b"\x89PNG\r\n\x1a\n"
        else:
            assert isinstance(content, str)
            assert content.startswith("<svg")
            assert "NaN" not in content
        assert len(content) > 5000


def test_wide_gradients_make_wide_ridges() -> None:
    """On the founding experiment's ridges the spread at layer 1 is over four times that at layer 9,
    as the rms says."""
    found = founding(NetSpec(width=128, batch=64), seeds=2)
    rows = values(ridges.gradient_ridgelines({"bn": found.measured[1]}, ["bn"]))
    half = {}
    for layer in (1, 9):
        ridge = [row for row in rows if row.get("layer") == layer and "top" in row]
        half[layer] = sum(
            row["base"] - row["top"] > 0.85 for row in ridge
        )  # above half height: a ridge is 1.7 rows high
    assert 3.5 < half[1] / half[9] < 6.5


def test_a_chart_becomes_png_and_svg() -> None:
    found = founding(SMALL, seeds=2)
    chart = charts.neuron_histograms(found.neurons, ["vanilla"], found.shown)
    assert list(pictures(chart, "x")) == ["x.png", "x.svg"]


def test_of_few_values_a_ridge_has_its_rms_and_no_outline() -> None:
    """Bins of a few values each are a comb that says nothing."""
    generator = torch.Generator().manual_seed(0)
    rows = [
        values(ridgeline([Sketch.of(torch.randn(n, generator=generator))], "x", "#000000"))
        for n in (99, 2000)
    ]
    assert [sum("name" in row for row in drawn) for drawn in rows] == [
        2,
        2,
    ]  # the tick, and its shade when selected
    outlined = [[row for row in drawn if "at" in row and "name" not in row] for drawn in rows]
    assert outlined[0] == []
    assert len(outlined[1]) > 10
