"""The pages of what `explain` found: they show its numbers, in a browser, and name the command that
gives them again."""

import contextlib
import json
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale import cli
from depthscale._explain.argument import growth_argument
from depthscale._explain.explanation import explain, read_explanation
from depthscale._explain.normalizer_answers import answers, normalizers
from depthscale._explain.trainability import matter, read_matter
from depthscale._explain.training import Settings
from depthscale._report.condensed import verdict_line
from depthscale._report.page.claims import claims
from depthscale._report.phrases import with_error
from depthscale._report.render import to_html
from depthscale.network.spec import NetSpec
from depthscale.store import dumps
from report.conftest import Open, printed

SMALL = NetSpec(depth=5, width=32, batch=16, norm="batch")
NAMES = ["growth", "normalizers", "matter"]
HOSTILE = "<script>norm</script>"


def model() -> nn.Module:
    """Five blocks of Linear, Batch Norm and ReLU, and a norm of a hostile name."""
    blocks = [part for _ in range(5) for part in (nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU())]
    made = nn.Sequential(*blocks)
    made.add_module(HOSTILE, nn.BatchNorm1d(32))
    return made


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return {
        "growth": growth_argument(SMALL, seeds=3, seed=2),
        "vanilla": growth_argument(replace(SMALL, norm="none"), seeds=3, loss="independent"),
        "normalizers": normalizers(["relu", "leaky_relu(0.2)"], depth=4, width=16, batch=8, seed=1),
        "model": explain(model(), torch.randn(16, 32), loss="shared", seed=0),
        "matter": matter(
            (3, 4), (0.01, 0.1), seeds=2, seed=3, settings=Settings(width=16, batch=16, steps=8)
        ),
    }


@pytest.fixture(scope="module")
def pages(found: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("explained")
    for name, record in found.items():
        ds.report(record, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in found}


def test_the_argument_s_page_shows_its_rate_its_verdict_and_every_row(
    found: dict[str, Any],
) -> None:
    argument = found["growth"]
    text = to_html(argument)
    (rate,) = argument.of("rate")
    assert (
        f"×{with_error(rate.measured, rate.stderr)}</strong>; the argument has ×{rate.argued:.4g}"
        in text
    )
    assert verdict_line(argument.rows).capitalize() in text
    assert claims(argument.rows) in text


@pytest.mark.parametrize(
    "spec",
    [
        replace(SMALL, norm="none"),
        replace(SMALL, norm="rms", activation="gelu"),
        replace(SMALL, depth=1),
        replace(SMALL, gamma=2.0),
    ],
    ids=str,
)
def test_every_argument_has_a_page(spec: NetSpec) -> None:
    """Without a norm there is one curve; one layer has no rate."""
    text = to_html(growth_argument(spec, loss="independent", seeds=3))
    assert "NaN" not in text.split("const page = ")[1].split(";\n")[0]
    assert ("without norm" in text) == (spec.norm == "none")
    assert ("No rate of growth: there are no layers" in text) == (spec.depth == 1)
    assert ("no command gives this" in text) == (spec.gamma == 2)


@pytest.mark.parametrize("name", [*NAMES, "vanilla"])
def test_the_command_on_the_page_gives_the_same_record(
    name: str, found: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    line = unescape(re.findall(r"<pre>(depthscale explain .*?)</pre>", to_html(found[name]))[0])
    with contextlib.suppress(SystemExit):
        cli.main([*shlex.split(line)[1:], "--json", "-"])
    record = found[name].record()
    again = json.loads(capsys.readouterr().out)
    assert again["rows"] == json.loads(dumps(record))["rows"]


def test_what_is_said_of_normalizers_and_of_training_is_on_their_pages(
    found: dict[str, Any],
) -> None:
    for name, lines in (
        ("normalizers", answers(found["normalizers"])),
        ("matter", read_matter(found["matter"])),
    ):
        text = unescape(to_html(found[name]))
        assert [line for line in lines if line.strip() not in text] == []


def test_every_norm_of_a_model_has_its_rows_and_its_point(
    found: dict[str, Any], pages: dict[str, Path], show: Open
) -> None:
    explained = found["model"]
    text = pages["model"].read_text()
    assert [norm.name for norm in explained.norms if claims(norm.rows) not in text] == []
    assert [line for line in read_explanation(explained) if line not in unescape(text)] == []
    assert ">bulk<" not in text
    opened = show(pages["model"])
    assert HOSTILE in opened.text_content("main")
    drawn = opened.evaluate("views.norms.data('source_2').map(({ y }) => y)")
    assert drawn == pytest.approx([norm["norm"].measured for norm in explained.norms], rel=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "model"])
def test_at_the_width_of_a_phone_all_is_there_and_nothing_cut(
    name: str, pages: dict[str, Path], show: Open
) -> None:
    opened = show(pages[name], width=390)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    cut = opened.evaluate(
        """[...document.querySelectorAll(".chart svg text")].filter((e) => {
          const r = e.getBoundingClientRect(), s = e.closest("svg").getBoundingClientRect();
          return r.width && (r.left < s.left - 2 || r.right > s.right + 2
            || r.top < s.top - 2 || r.bottom > s.bottom + 2);
        }).map((e) => e.textContent)"""
    )
    assert cut == []
    charts = opened.evaluate(
        "[...document.querySelectorAll('.chart')].map((e) => e.querySelectorAll('svg path').length)"
    )
    assert charts
    assert min(charts) > 3


@pytest.mark.parametrize("name", [*NAMES, "model"])
def test_print_holds_every_section(
    name: str, pages: dict[str, Path], show: Open, tmp_path: Path
) -> None:
    opened = show(pages[name])
    headings = [" ".join(each.split()) for each in opened.locator("h1, h2, h3").all_text_contents()]
    flat = " ".join(printed(opened, tmp_path).split())
    assert [heading for heading in headings if heading not in flat] == []


def test_a_selected_pair_is_selected_in_the_picture_and_in_the_table(
    pages: dict[str, Path], show: Open
) -> None:
    opened = show(pages["normalizers"])
    opened.locator(".rows tr[data-at='7']").click()
    assert opened.evaluate("views.cells.signal('selected')") == 7
    opened.locator("#cells").scroll_into_view_if_needed()
    box = opened.locator("#cells path[aria-roledescription='rect mark']").nth(2).bounding_box()
    opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert opened.get_attribute(".rows tr[aria-selected=true]", "data-at") == "2"
    assert opened.text_content("output.readout").startswith(
        "pair 2 · activation relu · normalizer batch after"
    )


def test_the_picture_of_factors_holds_the_rows_numbers(
    found: dict[str, Any], pages: dict[str, Path], show: Open
) -> None:
    opened = show(pages["growth"])
    drawn = opened.evaluate(
        "Object.values(views.depth.data('source_2') ?? {}).map(({ series, at, y }) => [series, "
        "at, y])"
    )
    measured = {("with the norm", row.layer): row.measured for row in found["growth"].of("layer")}
    measured |= {("without", row.layer): row.measured for row in found["growth"].of("vanilla")}
    shown = {(series, at): y for series, at, y in drawn}
    assert shown.keys() == measured.keys()
    assert np.allclose([shown[key] for key in measured], list(measured.values()), rtol=1e-5)
