"""What the documents show is what the program does."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import commands
from depthscale._diagnose import RULE_NAMES as RULES
from docs import PAGE, PROBE_PAGE, claims_page, probe_page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```console\n\$ (.*?)\n(.*?)```", README, re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def same_but_for_rounding(printed: str, shown: str) -> None:
    """Words equal, numbers equal to 0.5 % or to one unit of the last digit that either shows (sums
    round differently on other processors)."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    for pair in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        ours, theirs = (float(each.replace(",", "")) for each in pair)
        assert ours == pytest.approx(theirs, rel=0.005, abs=1.01 * min(map(last_digit, pair)))


def last_digit(number: str) -> float:
    """The unit of a printed number's last digit."""
    mantissa, _, exponent = number.replace(",", "").partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def test_the_examples_print_what_the_readme_shows() -> None:
    assert len(EXAMPLES) == 2
    scope: dict = {}
    for code, shown in EXAMPLES:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, scope)
        same_but_for_rounding(out.getvalue(), shown)


def test_the_readme_stays_short() -> None:
    assert len(README.split()) < 700


def test_a_wrong_number_in_the_readme_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        same_but_for_rounding("x1.4862 ± 0.0033", "x1.5862 ± 0.0033")
    with pytest.raises(AssertionError):
        same_but_for_rounding("x1.4862 per layer", "x1.4862 per step")


def test_the_commands_print_what_the_readme_shows() -> None:
    assert COMMANDS
    for command, shown in COMMANDS:
        line = command.replace("depthscale", f"{sys.executable} -m depthscale", 1)
        found = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert found.stdout == shown


def test_report_draws_what_the_readme_says_it_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = README.partition("`depthscale report FILE` draws what ")[2].partition(" wrote")[0]
    writers = re.findall(r"`(\w+) (--save) FILE`", sentence)
    assert {name for name, _ in writers} == {"simulate", "predict", "probe"}
    assert "Of several tensors, `--output logits`" in README
    for name, option in writers:
        what = (
            ["torch.nn.Tanh", "--input", "float32[4,8]"]
            if name == "probe"
            else ["--depth", "3", "--width", "8"]
        )
        path, page = tmp_path / f"{name}.json", tmp_path / f"{name}.html"
        assert commands.run([name, *what, option, str(path)], capsys)[0] == 0
        assert commands.run(["report", str(path), "--html", str(page)], capsys)[0] == 0
        assert page.stat().st_size > 0


def test_the_page_of_claims_is_up_to_date() -> None:
    assert PAGE.read_text() == claims_page(), "make it again: python tests/docs.py"


def test_the_thresholds_on_the_page_are_the_programs() -> None:
    assert PROBE_PAGE.read_text() == probe_page(), "make it again: python tests/docs.py"


def test_the_page_on_the_probe_names_every_rule() -> None:
    page = PROBE_PAGE.read_text()
    assert [rule for rule in RULES if rule not in page] == []


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_project_names_no_place_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    for name in tracked:
        content = (ROOT / name).read_bytes() if (ROOT / name).exists() else b""
        assert len(content) < 1_000_000, f"{name} is over 1 MB"
        assert b"/root" + b"/" not in content, name


def test_the_tutorial_runs_and_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text())["cells"]
    scope: dict = {"__name__": "tutorial"}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec("".join(cell["source"]), scope)
        same_but_for_rounding(
            out.getvalue(), "".join(text for output in cell["outputs"] for text in output["text"])
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch_norm.html", "model.html"]
