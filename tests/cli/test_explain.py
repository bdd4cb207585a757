"""The explain commands as a user types them."""

import json
from pathlib import Path

import pytest

from commands import run

GROWTH = ["explain", "growth", "--depth", "4", "--width", "64", "--batch", "16", "--seeds", "3"]
NORMALIZERS = [
    "explain",
    "normalizers",
    "--depth",
    "5",
    "--width",
    "64",
    "--batch",
    "8",
    "--activation",
    "relu",
    "--activation",
]
MATTER = [
    "explain",
    "matter",
    "--depth",
    "4",
    "--depth",
    "6",
    "--width",
    "16",
    "--batch",
    "16",
    "--steps",
    "8",
    "--seeds",
    "2",
]


@pytest.mark.parametrize(
    "argv", [GROWTH, [*NORMALIZERS, "leaky_relu(0.2)"], MATTER], ids=lambda argv: argv[1]
)
def test_tables_fit_80_columns_and_nothing_is_cut(
    argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run(argv, capsys)
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "nan" not in out


def test_growth_records_every_step_at_every_layer_and_draws_three_charts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run([*GROWTH, "--out", str(tmp_path / "new"), "--json", "-"], capsys)
    assert (status, err) == (0, "")
    rows = json.loads(out)["rows"]
    assert sum(row["step"] == "sigma2" for row in rows) == 4
    assert {
        "statement",
        "formula",
        "argued",
        "predicted",
        "measured",
        "stderr",
        "verdict",
        "why",
    } <= set(rows[0])
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == sorted(
        f"{name}.{kind}"
        for name in ("neurons", "preactivations", "batch_variance")
        for kind in ("png", "svg")
    )
    for path in (tmp_path / "new").glob("*.svg"):
        assert "NaN" not in path.read_text()


@pytest.mark.parametrize(
    "more",
    [
        ["--norm", "none"],
        ["--norm", "rms", "--activation", "gelu"],
        ["--statistics", "running"],
        ["--depth", "1"],
    ],
)
def test_every_network_has_a_table_and_charts(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = (
        [word for i, word in enumerate(GROWTH) if "--depth" not in (word, GROWTH[i - 1])]
        if "--depth" in more
        else GROWTH
    )
    status, out, _ = run([*fewer, *more, "--out", str(tmp_path)], capsys)
    assert status == 0
    assert "no such step" in out
    assert len(list(tmp_path.iterdir())) == 6


def test_matter_writes_its_chart_and_says_how_to_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(
        [*MATTER, "--out", str(tmp_path), "--json", str(tmp_path / "m.json")], capsys
    )
    assert status == 0
    assert "It cannot tell" in out
    record = json.loads((tmp_path / "m.json").read_text())
    assert len(record["rows"]) == 4
    assert len(record["runs"]) == 2 * 2 * 3 * 2
    assert len(record["reading"]) == 5
    assert (tmp_path / "matter.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*GROWTH[:-1], "2"], "at least 3 seeds, got 2"),
        ([*GROWTH, "--norm", "bach"], "unknown norm 'bach'"),
        ([*GROWTH, "--loss", "mine"], "unknown loss 'mine'"),
        ([*GROWTH, "--position", "after"], "take --loss independent"),
        ([*GROWTH, "--out", "/dev/null/x"], "cannot write"),
        ([*NORMALIZERS, "rlu"], "unknown activation 'rlu'"),
        ([*NORMALIZERS, "relu", "--seeds", "2"], "at least 8, got 2"),
        ([*MATTER, "--data", "/dev/null"], "four idx files"),
        ([*MATTER, "--lr", "0"], "between 0 and 100"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_status_2(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(argv, capsys)
    assert status == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [GROWTH, [*NORMALIZERS, "linear"], MATTER], ids=lambda argv: argv[1]
)
def test_html_writes_a_page_and_says_so(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "page.html"
    status, out, err = run([*argv, "--html", str(place)], capsys)
    assert (status, err) == (0, "")
    assert f"written to {place}" in out
    assert place.read_text().startswith("<!doctype html>")
    status, out, err = run([*argv, "--html", "/dev/null/x.html"], capsys)
    assert (status, out) == (2, "")
    assert "cannot write /dev/null/x.html" in err
