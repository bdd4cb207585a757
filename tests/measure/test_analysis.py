"""Every reading of a trace is computed once, whoever asks for it."""

import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

import depthscale as ds
from depthscale._diagnose.diagnose import _judge
from depthscale.cli import app
from depthscale.measure import ledger
from depthscale.measure.growth import growth_along
from depthscale.network import dominators_between
from depthscale.theory import predict_run
from known_networks import KNOWN

READINGS = {
    _judge.__code__: "diagnosis",
    growth_along.__code__: "growth",
    ledger.__code__: "ledger",
    dominators_between.__code__: "dominators",
    predict_run.__code__: "theory",
}


@pytest.mark.parametrize("name", ["batch norm, 20 layers, batch 128"])
def test_a_probe_with_record_and_page_computes_each_reading_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Growth twice: of the gradient and of the activation."""
    (tmp_path / "m.py").write_text(
        f"from known_networks import KNOWN\nmake = KNOWN[{name!r}].make\n"
    )
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in READINGS:
            calls[READINGS[frame.f_code]] += 1

    outputs = ["--json", str(tmp_path / "o"), "--html", str(tmp_path / "h")]
    sys.setprofile(count)
    with suppress(SystemExit):
        app(["probe", f"{tmp_path / 'm.py'}:make", *outputs], exit_on_error=False)
    sys.setprofile(None)
    assert calls == {"diagnosis": 1, "growth": 2, "ledger": 1, "dominators": 1, "theory": 1}


def test_verbs_share_one_analysis_and_other_thresholds_have_their_own() -> None:
    trace = ds.probe(KNOWN["batch norm, 20 layers, batch 128"].make)
    analysis = ds.Analysis.of(trace)
    assert ds.Analysis.of(trace) is analysis
    assert ds.Analysis.of(analysis) is analysis
    assert ds.diagnose(trace) is ds.diagnose(analysis)
    strict = ds.Thresholds(error_change=500)
    assert ds.diagnose(trace, strict).findings[0].severity == "error"
    assert ds.diagnose(trace).findings[0].severity == "warn"
