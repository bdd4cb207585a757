"""`depthscale monitor`: what it prints and writes of a file."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import commands
import depthscale as ds


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(*[part for _ in range(5) for part in (nn.Linear(8, 8), nn.Tanh())])
    path = tmp_path / "run.dsmon"
    with ds.Monitor(model, every=1, out=path) as monitor:
        for k in range(8):
            if k == 6:
                with torch.no_grad():
                    model.get_parameter("4.weight").mul_(1e3)
            with monitor.step():
                model(torch.randn(6, 8)).square().mean().backward()
        monitor.write()
    return path


def test_it_says_what_happened_and_where_it_began(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "run.html"
    status, out, _ = commands.run(["monitor", str(recording), "--html", str(page)], capsys)
    said = " ".join(out.split())
    assert status == 0
    assert "Sequential: 8 sampled steps, 0 to 7" in said
    assert "written at step 7: it was asked to" in said
    assert "It began at step 6: the weight of 4 was the first to leave its range" in said
    assert "It began at step 6" in page.read_text()


def test_one_step_is_shown_as_a_probe_is(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    argv = ["monitor", str(recording), "--step", "3", "--save", str(saved)]
    status, out, _ = commands.run(argv, capsys)
    assert status == 0
    assert "Sequential, train mode" in out
    assert [op.op for op in ds.load(saved)][:3] == ["input", "linear", "tanh"]
    status, _, err = commands.run(["monitor", str(recording), "--step", "99"], capsys)
    assert status == 2
    assert "the nearest that are: 4, 5, 6, 7" in err


def test_the_record_is_strict_json(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = commands.run(["monitor", str(recording), "--json", "-"], capsys)
    record = json.loads(out, parse_constant=pytest.fail)
    assert record["command"] == "monitor"
    assert [row["step"] for row in record["rows"]] == list(range(8))
    assert record["began"]["step"] == 6
    assert record["began"]["operation"] == "4"
