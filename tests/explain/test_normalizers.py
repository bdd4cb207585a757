"""The table of normalizers: known rates, samples that grow alike, and departures that are said."""

import json
from dataclasses import replace
from functools import cache
from math import inf, pi

import pytest
import torch

from depthscale._explain.normalizer_answers import Normalizers, answers, normalizers
from depthscale._explain.normalizer_cells import NORMALIZERS, Cell, between_samples, keeping
from depthscale.errors import InvalidSpec
from depthscale.network.spec import NetSpec
from depthscale.store import dumps
from depthscale.theory import predict


@cache
def found() -> Normalizers:
    return normalizers(["relu", "tanh", "silu"], depth=10, width=128, batch=16)


def cell(activation: str, normalizer: str) -> Cell:
    return next(each for each in found().of(normalizer) if each.activation == activation)


@pytest.mark.parametrize(
    ("activation", "normalizer", "rate"),
    [
        ("relu", "none", 1.0),
        ("relu", "batch", 1.58995),  # arXiv:1902.08129, theorem 8, over 16 samples
        ("relu", "batch eval", 1.0),
        ("relu", "layer", 1.0),
        ("relu", "layer after", pi / (pi - 1)),
        ("relu", "rms", 1.0),
        ("relu", "group", 6 / 5),  # (m - 2) / (m - 3) for m = 8
        ("relu", "weight", 1.0),
        ("relu", "scaled w. std.", pi / (pi - 1)),
        ("tanh", "batch", 1.24626),
        ("tanh", "none", 1.17781),  # E phi'^2 / E phi^2 by quadrature
        ("silu", "layer", 1.06663),
    ],
)
def test_rates_are_theorys_and_networks_have_them(
    activation: str, normalizer: str, rate: float
) -> None:
    each = cell(activation, normalizer)
    assert each.predicted == pytest.approx(rate, abs=6e-6)
    if not each.departs:
        assert abs(each.rate - rate) <= 0.02 * rate + 3 * each.stderr


def test_most_of_the_table_agrees_with_theory() -> None:
    assert len(found().cells) == 3 * len(NORMALIZERS)
    assert sum(not each.departs for each in found().cells) > 0.75 * len(found().cells)


def test_a_departure_is_said_and_an_unstable_fixed_point_is_found() -> None:
    """SiLU with mean squares kept at 1 but by nothing held there: chi_q > 1, so a finite width
    moves away."""
    assert "an unstable fixed point" in cell("silu", "none").departs
    assert cell("silu", "layer").departs == ""


def test_the_prices_are_seen_samples_alike_or_a_signal_that_fades() -> None:
    assert cell("relu", "layer").correlation > 0.75 > 0.4 > cell("relu", "batch").correlation
    assert cell("relu", "weight std.").signal == pytest.approx(
        1 - 1 / pi, rel=0.05
    )  # Var relu(g) over E relu(g)^2
    assert cell("relu", "none").signal == pytest.approx(1.0, rel=0.1)


def test_the_answers_are_counted_from_the_cells() -> None:
    said = answers(found())
    assert any("batch: 3 of 3 explode" in line for line in said)
    assert any("layer: 2 of 3 explode" in line and "not relu" in line for line in said)
    harmless = replace(found(), cells=tuple(replace(each, predicted=1.0) for each in found().cells))
    assert any("batch: 0 of 3 explode" in line for line in answers(harmless))


def test_the_scale_is_1_over_the_log_of_the_rate() -> None:
    assert cell("relu", "batch").depth_scale == pytest.approx(
        2.1566, abs=1e-3
    )  # 34.5 / 16, arXiv:1902.08129's rule
    assert cell("relu", "layer").depth_scale == inf


def test_kaimings_2_is_what_keeps_relus_mean_square() -> None:
    assert keeping("relu") == pytest.approx(2.0, rel=1e-12)
    assert keeping("linear") == pytest.approx(1.0, rel=1e-12)


def test_correlation_between_samples_by_pairs() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = [float(x[i] @ x[j]) for i in range(5) for j in range(5) if i != j]
    assert between_samples(x) == pytest.approx(
        sum(pairs) / 20 / (float(x.square().sum()) / 5), rel=1e-12
    )


def test_the_record_is_strict_json_with_a_row_for_each_cell() -> None:
    record = json.loads(dumps(found().record()))
    assert len(record["rows"]) == len(found().cells)
    keys = "activation normalizer rate stderr predicted depth_scale correlation verdict".split()
    assert set(keys) <= set(record["rows"][0])


def test_what_gives_no_error_bar_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="at least 8, got 3"):
        normalizers(["relu"], seeds=3)
    with pytest.raises(InvalidSpec, match="unknown activation"):
        normalizers(["rlu"], seeds=8)


def test_networks_that_cannot_be_run_keep_theorys_rate_and_the_reason() -> None:
    """Over 4 white inputs one neuron in 16 gives ReLU nothing positive, and the norm after it has a
    variance of 0; above that layer inputs are centred, so that this cannot be."""
    few = normalizers(["relu"], depth=4, width=32, batch=4).of("batch after")[0]
    assert "NaN" in few.departs
    assert few.verdict == "explodes"
    assert few.rate != few.rate
    stopped = predict(NetSpec(depth=4, batch=4, norm="batch", position="after"))
    assert "the mean of 1/sigma^2 is infinite" in stopped.notes[0]
