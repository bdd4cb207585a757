"""Every reading of a trace is computed once, whoever asks for it."""

import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from depthscale._diagnose.diagnose import _judge
from depthscale.cli import app
from depthscale.measure import ledger
from depthscale.measure.growth import growth_along
from depthscale.measure.paths import _flow
from depthscale.network import dominators_between
from depthscale.theory import predict_run
from known_networks import KNOWN

READINGS = {
    _judge.__code__: "diagnosis",
    growth_along.__code__: "growth",
    ledger.__code__: "ledger",
    dominators_between.__code__: "dominators",
    predict_run.__code__: "theory",
    _flow.__code__: "flow",
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
    others = dict.fromkeys(("diagnosis", "ledger", "flow", "dominators", "theory"), 1)
    assert calls == {"growth": 2, **others}


def test_verbs_share_one_analysis_and_other_thresholds_have_their_own() -> None:
    trace = ds.probe(KNOWN["batch norm, 20 layers, batch 128"].make)
    analysis = ds.Analysis.of(trace)
    assert ds.Analysis.of(trace) is analysis
    assert ds.Analysis.of(analysis) is analysis
    assert ds.diagnose(trace) is ds.diagnose(analysis)
    strict = ds.Thresholds(error_change=500)
    assert ds.diagnose(trace, strict).findings[0].severity == "error"
    assert ds.diagnose(trace).findings[0].severity == "warn"


class Cell(nn.Module):
    """One operation of two autograd nodes, of which one reads the other, once a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(5):
            state = self.cell(x, state)
        return state[0]


def test_an_edge_inside_an_operation_is_none_of_the_account(tmp_path: Path) -> None:
    trace = ds.probe(Cell(), torch.randn(4, 8))
    account = ledger(trace)
    assert all(edge.source < op.id for op in trace.ops for edge in op.edges)
    assert account.closure_error < 1e-5
    ds.save(trace, tmp_path / "cell.json")
    assert ledger(ds.load(tmp_path / "cell.json")).by_kind == account.by_kind
