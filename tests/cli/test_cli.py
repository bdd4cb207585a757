"""The command line as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import depthscale as ds
from commands import run

UNWRAPPED = (
    "written to",
    "the whole story",
    "growth",
    "note",
    "trainable",
    "classical",
    "depth scales",
    "advice",
)
SMALL = ["--depth", "4", "--width", "32", "--batch", "16"]


def test_simulate_and_predict_print_the_same_shape_of_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = {}
    for command in ("simulate", "predict"):
        seeds = ["--seeds", "2"] if command == "simulate" else []
        status, out, _ = run([command, *SMALL, "--norm", "batch", *seeds, "--json", "-"], capsys)
        assert status == 0
        records[command] = json.loads(out)
    assert records["simulate"]["layers"][0].keys() == records["predict"]["layers"][0].keys()
    assert records["predict"]["spec"]["norm"] == "batch"


def test_tables_fit_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for argv in (
        ["simulate", *SMALL, "--seeds", "2"],
        ["predict", *SMALL],
        ["demo", *SMALL, "--quick", "--out", str(tmp_path)],
    ):
        _, out, _ = run(argv, capsys)
        lines = [
            line
            for line in out.splitlines()
            if not line.startswith(
                (
                    "written to",
                    "the whole story",
                    "growth",
                    "note",
                    "trainable",
                    "classical",
                    "depth scales",
                    "advice",
                )
            )
        ]
        assert max(map(len, lines)) <= 80
        assert "…" not in out


def test_demo_writes_figures_and_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(
        ["demo", *SMALL, "--seeds", "2", "--out", str(tmp_path / "new" / "demo")], capsys
    )
    assert status == 0, err
    names = sorted(path.name for path in (tmp_path / "new" / "demo").iterdir())
    figures = ("gradient_by_layer", "gradient_histograms", "preactivations")
    assert names == sorted(
        [
            "demo.json",
            "index.html",
            *(f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")),
        ]
    )
    record = json.loads((tmp_path / "new" / "demo" / "demo.json").read_text())
    assert [network["name"] for network in record["networks"]] == [
        "vanilla",
        "batch norm",
        "frozen statistics",
    ]
    assert len(record["rows"]) == 3 * 5
    assert "written to" in out


@pytest.mark.parametrize(
    "command", [["simulate", "--seeds", "2"], ["predict"], ["demo", "--quick"]]
)
def test_html_writes_a_page(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "demo")] if command[0] == "demo" else []
    status, _, err = run([*command, *SMALL, *out, "--html", str(tmp_path / "page.html")], capsys)
    assert (status, err) == (0, "")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_report_draws_saved_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = []
    for norm in ("none", "batch"):
        records.append(str(tmp_path / f"{norm}.json"))
        run(["predict", *SMALL, "--norm", norm, "--save", records[-1]], capsys)
    for given, title in (
        (records[:1], "4 layers of 32 neurons"),
        (records, "norm none against norm batch"),
    ):
        status, out, err = run(["report", *given, "--html", str(tmp_path / "page.html")], capsys)
        assert (status, err) == (0, "")
        assert "written to" in out
        assert f"<h1>{title}" in (tmp_path / "page.html").read_text()


def test_report_compares_saved_traces_by_the_names_of_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from torch import nn

    x = torch.randn(8, 16)
    for name, between in (("plain", nn.Identity()), ("normed", nn.BatchNorm1d(16))):
        model = nn.Sequential(
            *(part for _ in range(5) for part in (nn.Linear(16, 16), between, nn.ReLU()))
        )
        ds.save(ds.probe(model, x), tmp_path / f"{name}.json")
    run(["predict", *SMALL, "--save", str(tmp_path / "theory.json")], capsys)
    paths = [str(tmp_path / f"{name}.json") for name in ("plain", "normed", "theory")]
    status, _, err = run(["report", *paths[:2], "--html", str(tmp_path / "page.html")], capsys)
    assert (status, err) == (0, "")
    assert "<h1>plain against normed</h1>" in (tmp_path / "page.html").read_text()
    status, _, err = run(["report", *paths, "--html", str(tmp_path / "three.html")], capsys)
    assert (status, err) == (0, "")
    title = "<h1>plain against normed against theory</h1>"
    assert title in (tmp_path / "three.html").read_text()


def test_report_refuses_what_is_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.json").write_text("{}")
    status, _, err = run(
        ["report", str(tmp_path / "no.json"), "--html", str(tmp_path / "page.html")], capsys
    )
    assert status == 2
    assert "is not a depthscale record" in err
    assert not (tmp_path / "page.html").exists()


def test_demo_says_where_there_is_no_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(
        ["demo", *SMALL[:4], "--batch", "3", "--seeds", "2", "--out", str(tmp_path)], capsys
    )
    assert status == 0
    assert "note: over 3 samples the mean of 1/sigma^2 is infinite" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["simulate", "--activation", "rlu"], "unknown activation 'rlu'"),
        (["simulate", "--depth", "0"], "depth must be a whole number of at least 1, got 0"),
        (["simulate", "--norm", "batch", "--batch", "1"], "take at least 2 samples"),
        (["simulate", "--width", "100000000"], "GiB are free"),
        (["simulate", "--sigma-w2", "nan"], "sigma_w2 must be a finite number"),
        (["simulate", "--depth", "ten"], "--depth"),
        (["simulate", "--depth", "5.7"], "'5.7' is not a whole number"),
        (["predict", "--batch", "12.9"], "batch must be a whole number of at least 1, got 12.9"),
        (["demo", "--norm", "batch"], "leave --norm and --statistics out"),
        (["demo", "--quick", "--seeds", "4"], "--quick means --seeds 3"),
        (["simulate", "--seed", "-1"], "seed must be a whole number from 0"),
        (["simulate", "--depht", "3"], "Did you mean --depth"),
        (["simulate", *SMALL, "--seeds", "0"], "seeds must be"),
        (["predict", "--loss", "mine"], "not 'mine'"),
        (["predict", *SMALL, "--json", "/dev/null/x"], "cannot write /dev/null/x"),
        (["demo", "--out", "/dev/null/demo"], "cannot write /dev/null/demo"),
        (["demo", "--depth", "0"], "depth must be"),
        (["phase", "--activation", "rlu"], "unknown activation 'rlu'"),
        (["phase", "--sigma-b2-max", "0"], "needs ranges above 0"),
        (["phase", "--sigma-w2-max", "-1"], "sigma_w2_max must be"),
        (["simulate", *SMALL, "--html", "/dev/null/x.html"], "cannot write /dev/null/x.html"),
        (["demo", "--html", "/dev/null/x.html"], "cannot write /dev/null/x.html"),
        (["nothing"], "nothing"),
    ],
)
def test_wrong_use_is_one_clear_line_and_status_2(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(argv, capsys)
    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_wrong_use_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in (
        ["--sigma-w2", "nan"],
        ["--activation", "rlu"],
        ["--width", "100000000"],
        ["--batch", "1"],
    ):
        assert run(["demo", *wrong], capsys)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from depthscale.cli import main; main(['simulate', '--help']); assert "
        "'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_field_of_a_network_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    from depthscale.network.spec import NetSpec

    _, out, _ = run(["simulate", "--help"], capsys)
    for name in NetSpec.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in out


@pytest.mark.parametrize("moment", ["simulating", "drawing"])
def test_an_interrupt_leaves_no_half_written_file(
    moment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place = {
        "simulating": "depthscale.nets.ensemble.draw_weights",
        "drawing": "pathlib.Path.replace",
    }[moment]
    monkeypatch.setattr(place, interrupt)
    status, _, err = run(["demo", *SMALL, "--seeds", "2", "--out", str(tmp_path / "demo")], capsys)
    assert status == 130
    assert "interrupted" in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_phase_writes_two_pictures_and_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "phase.json"
    argv = [
        "phase",
        "--activation",
        "leaky_relu(0.2)",
        "--out",
        str(tmp_path / "new"),
        "--json",
        str(record),
    ]
    status, out, err = run(argv, capsys)
    assert (status, err) == (0, "")
    assert "critical line of leaky_relu(0.2): (sigma_w2 1.9231, sigma_b2 0.0000)" in out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"phase_leaky_relu_0.2.{s}" for s in ("png", "svg")
    ]
    lines = json.loads(record.read_text())["lines"]
    assert [line["phase"] for line in lines] == ["critical", "edge", *["ordered"] * 5]
    assert lines[0]["xi_c"] == "inf"


def test_predict_prints_the_classical_numbers_without_norm_and_records_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tanh = [
        "predict",
        "--depth",
        "12",
        "--activation",
        "tanh",
        "--sigma-w2",
        "1.5",
        "--sigma-b2",
        "0.05",
    ]
    _, out, _ = run(tanh, capsys)
    assert "ordered; q_star = 0.418037, c_star = 1, chi_1 = 0.938636" in out
    assert "xi_q = 1.68283, xi_c = 15.791 layers; trainable up to about 6 xi_c = 94.7 layers" in out
    classical = json.loads(run([*tanh, "--json", "-"], capsys)[1])["classical"]
    assert classical["phase"] == "ordered"
    assert classical["xi_c"]["value"] == pytest.approx(15.79, abs=0.005)


def test_predict_says_how_deep_batch_norm_trains_and_nothing_classical(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(["predict", "--norm", "batch", "--batch", "8"], capsys)
    assert "16 / log(rate) = 27.5 layers" in out
    assert "classical" not in out
    assert (
        json.loads(run(["predict", "--norm", "batch", "--json", "-"], capsys)[1])["classical"]
        is None
    )
    assert "16 / log(rate)" not in run(["predict"], capsys)[1]


def test_widths_are_given_in_a_row_and_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        ["predict", "--depth", "2", "--widths", "64", "32", "16", "--json", "-"], capsys
    )
    assert (status, json.loads(out)["spec"]["widths"]) == (0, [64, 32, 16])
    status, _, err = run(["predict", "--depth", "2", "--widths", "64", "32.5", "16"], capsys)
    assert status == 2
    assert "'32.5' is not a whole number" in err
