"""depthscale explain batchnorm, as a user types it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import commands


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    return commands.run(["explain", "batchnorm", *argv], capsys)


def saved(tmp_path: Path, name: str, array: Any) -> str:
    np.save(tmp_path / name, array)
    return str(tmp_path / name)


def test_the_readers_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two samples 1 and 3 of the second neuron: mean 2, variance 1, x_hat -1 and 1, and only dgamma
    and dbeta to learn."""
    x = saved(tmp_path, "x.npy", np.array([[0, 1], [5, 3]]))
    dout = saved(tmp_path, "d.npy", np.array([[0.0, 2.0], [0.0, 5.0]]))
    settings = ["--gamma", "1,2", "--beta=-1,-3", "--eps", "0", "--neuron", "1", "--json", "-"]
    status, out, _ = run(["--input", x, "--dout", dout, *settings], capsys)
    assert status == 0
    record = json.loads(out)
    assert (record["schema"], record["command"]) == ("depthscale/1", "explain batchnorm")
    assert record["steps"][0]["numbers"] == [-5, -1]
    assert record["gradients"] == {"x": [0, 0], "gamma": [3], "beta": [7]}
    assert [check["holds"] for check in record["checks"]] == [True] * 4


def test_a_page_and_a_record_beside_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, record = tmp_path / "walk.html", tmp_path / "walk.json"
    status, out, err = run(
        ["--batch", "5", "--width", "2", "--html", str(page), "--json", str(record)], capsys
    )
    assert (status, err) == (0, "")
    assert "input 5 x 2, neuron 0 over 5 values" in out
    assert f"written to {page}" in out
    assert page.read_text().startswith("<!doctype html>")
    assert json.loads(record.read_text())["shape"] == [5, 2]


def test_the_seed_chooses_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], capsys) == run(["--seed", "0"], capsys)
    assert run([], capsys) != run(["--seed", "1"], capsys)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--input", "nowhere.npy"], "cannot read nowhere.npy: No such file or directory"),
        (["--input", "."], "cannot read .: Is a directory"),
        (["--input", "text.npy"], "it is not a .npy file"),
        (["--input", "cut.npy"], "cannot read cut.npy"),
        (["--input", "objects.npy"], "cannot read objects.npy: Object arrays cannot be loaded"),
        (["--input", "words.npy"], "x must hold real numbers, got <U3"),
        (["--input", "complex.npy"], "x must hold real numbers, got complex128"),
        (["--input", "line.npy"], "got (3,); add the missing dimension"),
        (["--input", "empty.npy"], "none of them 0, got (0, 3)"),
        (["--input", "constant.npy", "--eps", "0"], "its values are equal"),
        (["--input", "constant.npy", "--dout", "line.npy"], "dout must be of shape (4, 3)"),
        (["--input", "constant.npy", "--batch", "3"], "leave them out beside --input"),
        (
            ["--gamma", "big"],
            "--gamma takes a number, or one for each neuron with commas between, got 'big'",
        ),
        (["--beta", "1,2"], "one for each of the 3 neurons, got 2"),
        (["--neuron", "3"], "neurons 0 to 2, none numbered 3"),
        (["--batch", "0"], "batch and width must be at least 1"),
        (["--batch", "1000000000"], "100,000 values at most"),
        (["--seed", "-1"], "seed must be a whole number from 0"),
        (["--eps", "-1"], "eps must be a finite number of at least 0"),
        (["--html", "/dev/null/x"], "cannot write /dev/null/x"),
    ],
)
def test_wrong_use_is_one_clear_line_and_status_2(
    argv: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, array in (
        ("line", np.ones(3)),
        ("empty", np.ones((0, 3))),
        ("constant", np.ones((4, 3))),
    ):
        saved(tmp_path, f"{name}.npy", array)
    saved(tmp_path, "words.npy", np.array(["one"]))
    saved(tmp_path, "complex.npy", np.ones((2, 2), complex))
    saved(tmp_path, "objects.npy", np.array([{}, {}]))
    Path("text.npy").write_text("1 2 3\n")
    Path("cut.npy").write_bytes(Path("constant.npy").read_bytes()[:-9])
    status, out, err = run(argv, capsys)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert says in err
