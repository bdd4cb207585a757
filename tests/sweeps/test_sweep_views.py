"""A sweep as people see it: on the terminal, as JSON, as maps and as a page."""

import json
import math
from pathlib import Path

import pytest

import commands
import depthscale as ds
from depthscale._report.render import to_html
from depthscale.errors import InvalidSpec
from depthscale.sweeps import Field, SweepMap
from report.conftest import Open, browser, show

__all__ = ["browser", "show"]
MADE = """
def make(a, b=0, kind="x"):
    if a == 3 and b == 1:
        raise ValueError("<script>3 and 1</script>")
    return a, b, kind
def measure(made, seed):
    a, b, kind = made
    return {"rate": 2.0 ** (a - 2) * (1 + seed / 10), "word": kind * (1 + b)}
"""


@pytest.fixture(scope="module")
def found() -> ds.Sweep:
    scope: dict = {"__name__": "__main__"}
    exec(MADE, scope)
    grid = {"a": [1, 2, 3], "b": [1, 0], "kind": ["x", "y"]}
    return ds.sweep(scope["make"], grid, seeds=2, measure=scope["measure"], workers=1)


def test_a_map_has_the_means_of_its_fields(found: ds.Sweep) -> None:
    drawn = found.map("a", "b", "rate", kind="y")
    assert drawn.over == {"seed": 2}
    fields = {field.where: field for field in drawn.fields}
    for a in (1, 2, 3):
        low, high = 2.0 ** (a - 2), 1.1 * 2.0 ** (a - 2)
        field = fields[a, 0]
        assert field.mean == pytest.approx((low + high) / 2)
        # two numbers: their standard error is half of their distance
        assert field.stderr == pytest.approx((high - low) / 2)
        assert (field.count, field.failed) == (2, 0)
    assert fields[3, 1] == Field((3, 1), None, 0.0, 0, 2)
    assert found.map("a", color="word").fields[0].mean in ("x", "y", "xx", "yy")
    assert found.map("a", color="rate").over == {"b": 2, "kind": 2, "seed": 2}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("a", "c", "rate"), "the grid has no 'c'; it has a, b, kind"),
        (("a", "a", "rate"), "two different arguments"),
        (("a", "b", "rates"), "no column 'rates' was measured; there is rate, word"),
        (("a", "b", "seed"), "no column 'seed'"),
    ],
)
def test_a_map_of_what_is_not_there_is_refused(found: ds.Sweep, asked: tuple, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        found.map(*asked)


def test_a_value_that_the_grid_lacks_is_refused(found: ds.Sweep) -> None:
    with pytest.raises(InvalidSpec, match="no kind = 'z'"):
        found.map("a", "b", "rate", kind="z")


def test_a_chart_has_a_field_a_combination(found: ds.Sweep) -> None:
    rows = ds.chart(found.map("a", "b", "rate", kind="x")).to_dict()["data"]["values"]
    assert {(row["a"], row["b"]): row["value"] for row in rows} == {
        ("1", "1"): "0.525",
        ("1", "0"): "0.525",
        ("2", "1"): "1.05",
        ("2", "0"): "1.05",
        ("3", "1"): "failed",
        ("3", "0"): "2.1",
    }
    shades = {row["value"]: row["shade"] for row in rows}
    assert shades["2.1"] == pytest.approx(math.log2(2.1))


def test_many_values_and_one_axis_are_drawn_too() -> None:
    fields = tuple(Field((n, m), float(n * m - 50), 0.0, 1, 0) for n in range(30) for m in range(2))
    drawn = SweepMap({"n": range(30), "m": range(2)}, "value", fields, {}, {})
    assert len(ds.chart(drawn).to_dict()["layer"]) == 1
    line = SweepMap({"n": range(30)}, "value", fields[:30], {"seed": 2}, {})
    assert "2 standard errors" in json.dumps(ds.chart(line).to_dict())


def test_the_page_shows_maps_errors_and_cells(found: ds.Sweep, tmp_path: Path, show: Open) -> None:
    ds.report(found, tmp_path / "page.html")
    page = show(tmp_path / "page.html")
    text = page.inner_text("main")
    assert "24 of 24 cells are done; 4 failed. rate lies between 0.5 and 2.2." in text
    assert "4 × ValueError: <script>3 and 1</script>" in text
    assert page.locator("figure svg").count() == 2
    assert "rate over a and b, kind = y" in text
    drawn = page.locator("#map-0 svg").text_content()
    assert "2.1" in drawn
    assert "failed" in drawn
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_page_of_a_sweep_that_runs_renews_itself(found: ds.Sweep) -> None:
    assert "location.reload()" not in to_html(found)
    half = ds.Sweep(found.grid, found.seeds, None, found.table().slice(0, 10))
    assert "location.reload()" in to_html(half)
    assert "10 of 24 cells" in to_html(half)
    empty = ds.Sweep(found.grid, found.seeds, None, found.table().slice(0, 0))
    assert "0 of 24 cells" in to_html(empty)


def test_a_notebook_shows_the_first_map(found: ds.Sweep) -> None:
    assert "<svg" in found._repr_html_()
    assert "<svg" in found.map("a", "b", "rate")._repr_html_()
    assert repr(found) == "Sweep(3 a x 2 b x 2 kind x 2 seed: 24 of 24 cells, 4 failed)"


def test_the_command_does_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, record, page = (tmp_path / name for name in ("made_here.py", "record.json", "page.html"))
    made.write_text(MADE)
    argv = ["sweep", f"{made}:make", "a=1..3", "b=0,1", "--measure", f"{made}:measure"]
    argv += ["--out", str(tmp_path / "cells"), "--workers", "1", "--seeds", "2", "--seed", "5"]
    status, out, err = commands.run([*argv, "--json", str(record), "--html", str(page)], capsys)
    assert (status, err) == (0, "")
    assert "12 cells: a 1, 2, 3; b 0, 1; seeds 5 to 6" in out
    assert "2 failed: ValueError: <script>" in out
    assert "1.550 ± 0.050" in out  # of 1.5 and 1.6
    view = json.loads(record.read_text())
    assert (view["schema"], view["command"], view["total"]) == ("depthscale/1", "sweep", 12)
    assert view["grid"] == {"a": [1, 2, 3], "b": [0, 1]}
    assert [cell["seed"] for cell in view["cells"]] == [5] * 6 + [6] * 6
    assert "6 rate" not in page.read_text()
    again = commands.run(argv, capsys)
    assert again[0] == 0
    assert again[1] in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["{made}:make", "c=1"], "make does not take the grid's c; it takes a, b, kind"),
        (["{made}:make", "a=1..b"], "is no value"),
        (["{made}:make"], "a grid gives each name its values"),
        (["{made}:make", "a=1", "--seeds", "0"], "seeds are how many"),
        (["{made}:make", "a=1", "--backend", "slurm"], "backend must be"),
        (["{made}:nothing", "a=1"], "has no 'nothing'"),
    ],
)
def test_wrong_use_of_the_command_is_one_line(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made_there.py"
    made.write_text(MADE)
    status, out, err = commands.run(["sweep", *(a.format(made=made) for a in argv)], capsys)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
