"""A trace read from its file says everything that the trace itself says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale.sketch import Sketch
from depthscale.store import record
from known_networks import KNOWN, LogInside, Residuals, layer_norm, mlp


def small(**probing: Any) -> ds.Run:
    return ds.probe(narrow, **probing)


def narrow() -> tuple[nn.Sequential, torch.Tensor]:
    return mlp(6, lambda: nn.BatchNorm1d(32), nn.ReLU, width=32, batch=16)


TRACES = {
    "batch norm": lambda: small(),
    "several networks, with parameters": lambda: small(repeats=3, params=True, verify=True),
    "shared loss, deleted gradient": lambda: ds.probe(
        lambda: (nn.Sequential(*list(narrow()[0])[:-1]), torch.randn(16, 32)), loss="shared"
    ),
    "residual": lambda: ds.probe(lambda: (Residuals(5, "pre", layer_norm), torch.randn(4, 256))),
    "eval mode": lambda: small(mode="eval"),
    "not finite": lambda: ds.probe(lambda: (LogInside(), torch.randn(4, 256))),
    "float16": lambda: ds.probe(KNOWN["float16 underflows"].make),
}


def same(a: Any, b: Any) -> bool:
    """Equal, sketches by their bytes, nan equal to nan."""
    if isinstance(a, Sketch) or isinstance(b, Sketch):
        return isinstance(a, Sketch) and isinstance(b, Sketch) and a.to_bytes() == b.to_bytes()
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(
            same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__
        )
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, tuple):
        return (
            isinstance(b, tuple)
            and len(a) == len(b)
            and all(same(x, y) for x, y in zip(a, b, strict=True))
        )
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        )
    return (a == b and isinstance(a, type(b))) or (a != a and b != b)


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_comes_back_whole(name: str, tmp_path: Path) -> None:
    trace = TRACES[name]()
    ds.save(trace, tmp_path / "trace.json")
    back = ds.load(tmp_path / "trace.json")
    assert isinstance(back, ds.Run)
    assert same(trace.graph, back.graph)
    assert same(trace.readings, back.readings)
    assert same(trace.origin, back.origin)
    assert (trace.loss, trace.networks, trace.notes) == (back.loss, back.networks, back.notes)
    assert same(tuple(ds.diagnose(trace)), tuple(ds.diagnose(back)))
    assert ds.diagnose(trace).verdict == ds.diagnose(back).verdict
    assert json.dumps(record(trace), sort_keys=True, default=str) == json.dumps(
        record(back), sort_keys=True, default=str
    )
    if "deleted" not in name and name not in ("not finite", "float16"):
        assert same(ds.ledger(trace), ds.ledger(back))
        found, again = ds.growth(trace), ds.growth(back)
        assert same(found, again)


def test_a_changed_trace_is_not_the_same() -> None:
    trace = small()
    assert not same(trace.readings, small(seed=1).readings)
    assert same(trace.readings, small().readings)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda r: r | {"schema": "depthscale/3"},
            "has schema depthscale/3, this version reads depthscale/2",
        ),
        (
            lambda r: {key: value for key, value in r.items() if key != "schema"},
            "is not a depthscale record",
        ),
        (
            lambda r: {key: value for key, value in r.items() if key != "run"},
            "is not a whole record",
        ),
        (lambda r: r | {"run": {}}, "is not a whole record"),
        (lambda r: with_part(r, "graph", "ops", [{}]), "is not a whole record"),
        (lambda r: with_part(r, "origin", "coverage", {}), "is not a whole record"),
        (lambda r: with_part(r, "origin", "coverage", None), "is not a whole record"),
        (lambda r: with_part(r, "origin", "colour", 1), "is not a whole record"),
        (
            lambda r: with_part(r, "readings", "activation_sketches", ["AAAA"]),
            "is not a whole record",
        ),
        (
            lambda r: with_part(r, "readings", "activation_sketches", [7]),
            "is not a whole record",
        ),
        (lambda r: with_part(r, "readings", "edge_sizes", [1]), "is not a whole record"),
        (
            lambda r: with_part(
                r, "readings", "activation", shorter(r["run"]["readings"]["activation"])
            ),
            "is not a whole record",
        ),
        (lambda r: with_op(r, "inputs", [999]), "is not a whole record"),
        (lambda r: with_op(r, "call", {"is": "RecordedCall"}), "is not a whole record"),
        (lambda r: with_call(r, "paths", [999]), "is not a whole record"),
        (lambda r: with_call(r, "shape", 4), "is not a whole record"),
    ],
)
def test_damaged_and_newer_records_are_refused(damage: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    ds.save(small(), path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ds.InvalidRecord, match=said):
        ds.load(path)


def shorter(quantity: dict[str, Any]) -> dict[str, Any]:
    """The quantity without the samples of its first network."""
    return quantity | {"log2_samples": quantity["log2_samples"][1:]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda spec: {key: value for key, value in spec.items() if key != "norm"},
        lambda spec: spec | {"norm": {}},
        lambda spec: spec | {"depth": 0},
        lambda spec: spec | {"colour": "red"},
    ],
)
def test_a_record_whose_description_is_none_is_refused(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "theory.json"
    ds.save(ds.predict(ds.NetSpec(depth=4, width=8, norm="batch", batch=8)), path)
    loaded = json.loads(path.read_text())
    loaded["run"]["origin"]["spec"] = damage(loaded["run"]["origin"]["spec"])
    path.write_text(json.dumps(loaded))
    with pytest.raises(ds.InvalidRecord, match="is not a whole record"):
        ds.load(path)


def test_descriptions_of_every_kind_come_back(tmp_path: Path) -> None:
    for spec in (
        ds.NetSpec(depth=4, width=8, batch=float("inf"), activation="gelu"),
        ds.NetSpec(depth=4, width=8, residual=ds.Residual(), norm="layer"),
        ds.NetSpec(depth=3, widths=(8, 4, 4, 6), batch=8),
    ):
        ds.save(ds.predict(spec), tmp_path / "theory.json")
        assert ds.NetSpec.from_record(ds.load(tmp_path / "theory.json").spec) == spec


def with_part(loaded: dict[str, Any], part: str, key: str, value: Any) -> dict[str, Any]:
    loaded["run"][part][key] = value
    return loaded


def with_op(loaded: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    loaded["run"]["graph"]["ops"][1][key] = value
    return loaded


def with_call(loaded: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    loaded["run"]["graph"]["ops"][1]["call"][key] = value
    return loaded


def test_half_a_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    ds.save(small(), path)
    path.write_text(path.read_text()[:5000])
    with pytest.raises(ds.InvalidRecord, match=r"trace\.json is not JSON"):
        ds.load(path)


def test_names_that_utf_8_does_not_hold_are_saved_and_drawn(tmp_path: Path) -> None:
    """A lone surrogate is a string in Python, and so a module's name; JSON spells it out, a page
    shows a question mark."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("bad\ud800name", nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return next(self.children())(x)

    trace = ds.probe(Named(), torch.randn(3, 4))
    ds.save(trace, tmp_path / "trace.json")
    back = ds.load(tmp_path / "trace.json")
    assert isinstance(back, ds.Run)
    assert back.ops[1].name == trace.ops[1].name == "bad\ud800name"
    ds.report(trace, tmp_path / "page.html")
    assert "bad?name" in (tmp_path / "page.html").read_text()
