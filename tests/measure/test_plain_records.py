"""What was found, as plain values and as frames."""

import json

import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale._probe import probe
from depthscale.run import Run


@pytest.fixture(scope="module")
def run() -> Run:
    torch.manual_seed(0)
    parts = [p for _ in range(12) for p in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())]
    return probe(nn.Sequential(*parts), torch.randn(32, 16))


def test_a_diagnosis_is_plain_values_and_a_row_a_finding(run: Run) -> None:
    found = ds.diagnose(run)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["verdict"] == found.verdict
    assert [each["rule"] for each in plain["findings"]] == [each.rule for each in found]
    frame = found.to_pandas()
    assert list(frame.index) == [each.rule for each in found]
    assert list(frame["advice"]) == [each.advice for each in found]


def test_a_growth_is_plain_values_with_its_law(run: Run) -> None:
    found = ds.growth(run)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["rate"] == found.rate
    assert plain["law"]["kind"] == found.law.kind
    assert found.to_pandas()["rate"].tolist() == [found.rate]


def test_a_ledger_prints_a_line_a_kind_and_its_factor(run: Run) -> None:
    account = ds.ledger(run)
    lines = str(account).splitlines()
    assert lines[0].startswith("gradient x2^")
    assert [line.split()[0] for line in lines[1:]] == [kind for kind, _ in account.by_kind]
    for line, (_, value) in zip(lines[1:], account.by_kind, strict=True):
        assert float(line.split()[1]) == pytest.approx(value, abs=0.006)
        assert float(line.split()[2].removeprefix("x")) == pytest.approx(2.0**value, rel=0.01)
    assert account.to_dict()["total_log2_norm2"] == account.total_log2_norm2
    assert ds.chart(account).to_dict()["layer"]


def test_an_operation_s_row_has_its_block_its_ledger_and_theory(run: Run) -> None:
    frame = run.to_pandas()
    rows = {op: row.name for row in run.blocks() for op in range(row.first, row.last + 1)}
    assert list(frame["block"]) == [rows[op.id] for op in run]
    entry = ds.ledger(run)[5]
    assert frame.loc[5, "ledger_contribution"] == entry.contribution
    assert frame.loc[5, "theory_log2_gradient_ms"] == ds.predict(run).ops[5].log2_gradient_ms
    assert frame.loc[5, "module"] == run.ops[5].module
