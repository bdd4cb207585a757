"""Records are whole, strict JSON, and give the profile back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depthscale import store
from depthscale.errors import InvalidRecord, UnwritablePath
from depthscale.measure import growth
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.run import Run
from depthscale.theory import predict

SMALL = NetSpec(depth=12, width=16, batch=8, norm="batch")


def round_trip(profile: Run, folder: Path) -> Run:
    store.save(profile, folder / "record.json")
    again = store.load(folder / "record.json")
    assert isinstance(again, Run)
    return again


def test_a_measured_profile_comes_back_whole(tmp_path: Path) -> None:
    profile = simulate(SMALL, seeds=3)
    again = round_trip(profile, tmp_path)
    for name in ("gradient", "activation", "batch_variance"):
        assert np.array_equal(
            getattr(profile, name).log2_mean_square,
            getattr(again, name).log2_mean_square,
            equal_nan=True,
        )
        assert np.array_equal(
            getattr(profile, name).stderr, getattr(again, name).stderr, equal_nan=True
        )
    assert growth(again) == growth(profile)
    assert (again.spec, again.loss, again.networks) == (profile.spec, "independent", 3)
    assert type(again.origin) is type(profile.origin)
    assert [s.to_bytes() for s in again.gradient_sketches] == [
        s.to_bytes() for s in profile.gradient_sketches
    ]


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_exact_zeros_and_infinities_of_theory_come_back(batch: int, tmp_path: Path) -> None:
    profile = predict(replace(SMALL, batch=batch))
    again = round_trip(profile, tmp_path)
    assert np.array_equal(profile.gradient.log2_mean_square, again.gradient.log2_mean_square)
    assert again.notes == profile.notes


def test_the_keys_are_those_that_users_rely_on() -> None:
    record = store.record(simulate(SMALL, seeds=2))
    assert {"schema", "command", "spec", "loss", "seeds", "layers", "growth"} <= set(record)
    assert record["schema"] == "depthscale/1"
    assert {
        "layer",
        "gradient_log2_ms",
        "gradient_ms",
        "gradient_ms_stderr",
        "activation_ms",
        "preactivation_batch_variance",
    } <= set(record["layers"][0])
    assert {
        "rate",
        "stderr",
        "rms_rate",
        "depth_scale",
        "first_layer",
        "last_layer",
        "step",
    } <= set(record["growth"])


def test_what_is_no_finite_number_is_null() -> None:
    deep = predict(NetSpec(depth=3000, sigma_w2=8.0))
    layers = json.loads(store.dumps(store.record(deep)))["layers"]
    assert layers[0]["gradient_ms"] is None
    assert layers[0]["gradient_log2_ms"] == pytest.approx(6000)
    assert layers[0]["preactivation_batch_variance"] is None


def test_a_refused_growth_says_why_and_keeps_its_estimate() -> None:
    found = store.record(simulate(replace(SMALL, depth=3), seeds=1))["growth"]
    assert found["reliable"] is False
    assert "4 of them, or several networks, have one" in found["why"]
    assert found["rate"] > 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[1]", "has no schema"),
        ('{"schema": "other/1"}', "has no schema"),
        ('{"schema": "depthscale/3"}', "has schema depthscale/3, this version reads depthscale/2"),
        ('{"schema": "depthscale/2"}', "not a whole record"),
        ('{"schema": "depthscale/1", "command": "simulate"}', "a record of 'simulate' for reading"),
    ],
)
def test_what_is_no_record_is_refused(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InvalidRecord, match=says):
        store.load(tmp_path / "record.json")
    with pytest.raises(InvalidRecord, match="cannot read"):
        store.load(tmp_path / "absent.json")


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(UnwritablePath, match=r"cannot write /dev/null/x.json"):
        store.save(predict(SMALL), "/dev/null/x.json")
