"""depthscale explain model as a user types it."""

import json
from pathlib import Path

import pytest

from commands import run

MODELS = """
import torch
from torch import nn

def mlp():
    block = lambda: (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())
    return nn.Sequential(*block(), *block(), *block()), torch.randn(64, 64)

class Stage(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_block_with_a_long_name = nn.TransformerEncoderLayer(16, 2, 32)
    def forward(self, x):
        return self.attention_block_with_a_long_name(x)

def transformer():
    return Stage(), torch.randn(4, 8, 16)

def few():
    return mlp()[0], torch.randn(4, 64)

def broken():
    return mlp()[0], torch.randn(4, 65)

def plain():
    return nn.Linear(3, 3), torch.randn(4, 3)
"""


@pytest.fixture
def models(tmp_path: Path) -> str:
    (tmp_path / "models.py").write_text(MODELS)
    return str(tmp_path / "models.py")


@pytest.mark.parametrize("name", ["mlp", "transformer", "few"])
@pytest.mark.parametrize("more", [[], ["--all"], ["--repeats", "3", "--mode", "eval"]])
def test_tables_fit_80_columns(
    name: str,
    more: list[str],
    models: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run(["explain", "model", f"{models}:{name}", *more], capsys)
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "nan" not in out


def test_one_line_a_norm_and_one_norm_in_full(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, short, _ = run(["explain", "model", f"{models}:few"], capsys)
    assert "Some step of the argument fails at all 3 norms" in short
    assert sum(line.split()[:1] in (["1"], ["4"], ["7"]) for line in short.splitlines()) == 3
    _, full, _ = run(["explain", "model", f"{models}:few", "--norm", "4"], capsys)
    assert "4: Batch Norm, one σ over 4 values" in full
    assert "7: Batch Norm" not in full
    assert all(f"\n{at:2}  " in full for at in range(1, 15))


def test_the_record_has_every_row_and_the_reading(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(["explain", "model", f"{models}:mlp", "--json", "-"], capsys)
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert (record["schema"], record["command"], record["networks"]) == (
        "depthscale/1",
        "explain model",
        1,
    )
    assert [norm["name"] for norm in record["norms"]] == ["1", "4", "7"]
    assert {
        "step",
        "statement",
        "formula",
        "argued",
        "predicted",
        "measured",
        "stderr",
        "verdict",
        "why",
    } <= set(record["norms"][0]["rows"][0])
    assert len(record["norms"][0]["rows"]) == 14
    assert record["reading"][0].startswith("Every step")


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("mlp", ["--norm", "9"], "no norm '9' was explained; there is 1, 4, 7"),
        ("plain", [], "Linear has no norm to explain"),
        ("broken", [], "raised RuntimeError"),
        ("nothing", [], "has no 'nothing'"),
        ("mlp", ["--repeats", "0"], "repeats must be a whole number"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_status_2(
    name: str, more: list[str], says: str, models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(["explain", "model", f"{models}:{name}", *more], capsys)
    assert status == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_model_may_be_named_without_the_command(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, short, _ = run(["explain", f"{models}:mlp"], capsys)
    assert (status, short) == run(["explain", "model", f"{models}:mlp"], capsys)[:2]
    assert status == 0


def test_html_writes_a_page_of_every_norm(
    models: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "page.html"
    status, out, err = run(["explain", f"{models}:mlp", "--html", str(place)], capsys)
    assert (status, err) == (0, "")
    assert f"written to {place}" in out
    assert place.read_text().count("Batch Norm, one σ over 64 values") == 3
