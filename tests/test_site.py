"""The documentation site: every block of its pages runs, every public name has an entry."""

import re
from pathlib import Path

import pytest

import depthscale as ds

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("index", "not-training", "how-to", "theory")


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict = {"__name__": page}
    for code in blocks(page):
        exec(compile(code, page, "exec"), scope)
    assert blocks(page)


def test_every_public_name_has_an_entry() -> None:
    entries = re.findall(r"^::: depthscale\.(\w+)$", (DOCS / "api.md").read_text(), re.M)
    assert sorted(entries) == sorted(ds.__all__)


def test_every_page_of_the_menu_is_there() -> None:
    menu = (DOCS.parent / "mkdocs.yml").read_text()
    listed = set(re.findall(r": ([\w-]+\.md)$", menu, re.M))
    assert {f"{page}.md" for page in PAGES} <= listed
    assert listed <= {path.name for path in DOCS.glob("*.md")}


def test_commands_of_a_page_name_options_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    import commands

    _, shown, _ = commands.run(["probe", "--help"], capsys)
    known = set(re.findall(r"--[a-z-]+", shown))
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text()
        for line in re.findall(r"^\$ depthscale probe (.*)$", text, re.M):
            assert set(re.findall(r"--[a-z-]+", line)) <= known, line
