"""Pages in a real browser: they ask for nothing, say what they should, and do what their controls
promise."""

import json
import re
from collections import OrderedDict
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthscale._probe import probe
from depthscale._report.render import report
from depthscale.experiments import founding
from depthscale.experiments.curves import NORMALIZERS
from depthscale.measure import compare
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.theory import predict
from report.conftest import Open, printed

SMALL = NetSpec(depth=12, width=32, batch=16, norm="batch")
LONG = "a_module_with_so_long_a_name_that_no_column_holds_it"
HOSTILE = "</script><script>window.ran = 1</script><img src=x onerror=window.ran=1>"


class Blocks(nn.Module):
    """Ten blocks of Linear, Batch Norm and ReLU, with Kaiming weights of a fixed seed; one has a
    name to be careful with."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU())
            for _ in range(10)
        )
        self.add_module("<img src=x onerror=window_ran()>", nn.Linear(32, 32, bias=False))
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.get_submodule("<img src=x onerror=window_ran()>")(x)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    measured = simulate([SMALL, NetSpec(depth=12, width=32, batch=16)], seeds=3)
    records: dict[str, Any] = {
        "profile": measured[0],
        "theory": predict(SMALL),
        "comparison": compare(*measured),
        "hostile": {HOSTILE: measured[0], "b": measured[1]},
        "article": founding(NetSpec(depth=6, width=64, batch=32), seeds=3),
        "deep": simulate(NetSpec(depth=2000, width=16, norm="batch", batch=8), seeds=1),
        "trace": probe(Blocks(), torch.randn(16, 32, generator=torch.Generator().manual_seed(1))),
    }
    records["stations"] = predict(records["trace"])
    flat = nn.Sequential(*(part for block in Blocks().blocks for part in block.children()))
    records["flat"] = probe(nn.Sequential(OrderedDict({LONG: flat})), torch.randn(16, 32))
    records["traces"] = {
        "<i>small</i>": records["trace"],
        "wide": probe(Blocks(), torch.randn(64, 32)),
    }
    for name, record in records.items():
        report(record, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in records}


@pytest.mark.parametrize(
    "name",
    [
        "profile",
        "theory",
        "comparison",
        "hostile",
        "article",
        "trace",
        "flat",
        "stations",
        "traces",
    ],
)
def test_nothing_is_cut_at_the_width_of_a_phone(
    name: str, pages: dict[str, Path], show: Open
) -> None:
    page = show(pages[name], width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    beyond = page.evaluate(
        """[...document.querySelectorAll("main *")]
        .filter((e) => !e.closest(".scroll, .rows, .formula"))
        .filter((e) => { const r = e.getBoundingClientRect();
          return r.width && (r.right > 391 || r.left < -1); })
        .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert beyond == []
    cut = page.evaluate(
        """[...document.querySelectorAll(".chart svg text")].filter((e) => {
          const r = e.getBoundingClientRect(), s = e.closest("svg").getBoundingClientRect();
          return r.width && (r.left < s.left - 2 || r.right > s.right + 2
            || r.top < s.top - 2 || r.bottom > s.bottom + 2);
        }).map((e) => e.textContent)"""
    )
    assert cut == []
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll, .rows, .formula')].every((e) => e.tabIndex === 0)"
    )


def test_a_check_of_the_width_would_see_something_cut(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["theory"], width=390)
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<pre "
        'style="width:500px">wide</pre>\')'
    )
    assert page.evaluate("document.documentElement.scrollWidth") > 390


@pytest.mark.parametrize("name", ["profile", "comparison", "article", "trace"])
def test_every_chart_is_drawn_and_says_in_words_what_it_shows(
    name: str, pages: dict[str, Path], show: Open
) -> None:
    page = show(pages[name])
    charts = page.evaluate(
        "[...document.querySelectorAll('.chart')].map((e) => [e.getAttribute('aria-label'), "
        "e.querySelectorAll('svg path').length])"
    )
    assert len(charts) >= 3
    assert all(len(says) > 10 and marks > 3 for says, marks in charts)


def test_charts_follow_the_colour_scheme(pages: dict[str, Path], show: Open) -> None:
    colours = [
        show(pages["profile"], scheme=scheme).evaluate(
            "[...new Set([...document.querySelectorAll('#depth path, #depth text')].map((e) => "
            "getComputedStyle(e).fill))].sort()"
        )
        for scheme in ("light", "dark")
    ]
    assert "rgb(0, 114, 178)" in colours[0]
    assert "rgb(86, 180, 233)" in colours[1]
    assert "rgb(51, 51, 51)" not in colours[1]


def test_a_name_that_looks_like_a_script_shows_as_text(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["hostile"])
    assert page.evaluate("window.ran") is None
    assert HOSTILE in page.text_content("h1")
    assert page.evaluate(
        "[...document.querySelectorAll('svg text')].some((e) => "
        "e.textContent.startsWith('</script>'))"
    )


def test_one_selected_layer_is_selected_everywhere(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["profile"])
    page.locator(".rows tr[data-at='7']").click()
    assert page.evaluate(
        "Object.values(views).filter((v) => 'selected' in v.getState().signals).map((v) => "
        "v.signal('selected'))"
    )
    assert set(
        page.evaluate("['depth', 'gradient-ridges'].map((id) => views[id].signal('selected'))")
    ) == {7}
    assert page.text_content("output.readout").startswith("layer 7 ")
    page.locator("#depth").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".rows tr[aria-selected=true]", "data-at") == "8"
    page.keyboard.press("Escape")
    assert page.locator(".rows tr[aria-selected=true]").count() == 0
    box = page.locator("#depth svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.evaluate("selected") in (5, 6, 7)


def test_the_table_sorts_and_filters(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["profile"])

    def column(i: int) -> list[float]:
        return [
            float(cell)
            for cell in page.locator(f".rows tr[data-at] td:nth-child({i})").all_text_contents()
        ]

    page.get_by_role("button", name="gradient RMS").click()
    assert column(2) == sorted(column(2))
    assert len(column(2)) == 13
    page.get_by_role("button", name="gradient RMS").click()
    assert column(2) == sorted(column(2), reverse=True)
    limit = sorted(column(2))[6]
    page.fill("input[type=search]", f"gradient RMS > {limit}")
    assert 5 <= len(column(2)) <= 6
    assert min(column(2)) >= limit
    page.fill("input[type=search]", "12")
    assert 12 in column(1)
    assert len(column(1)) < 13
    page.fill("input[type=search]", "no such row")
    assert column(1) == []


def test_a_long_table_is_virtual_and_a_long_page_small(pages: dict[str, Path], show: Open) -> None:
    assert pages["deep"].stat().st_size < 4_000_000
    page = show(pages["deep"])
    assert page.locator(".rows tr").count() < 100
    page.evaluate("document.querySelector('.rows').scrollTop = 1e9")
    page.wait_for_selector(".rows tr[data-at='2000']")
    assert page.locator(".rows tr").count() < 100
    assert page.locator("svg *").count() < 10_000


@pytest.mark.parametrize(
    ("activation", "normalizer", "batch", "depth"),
    [
        ("relu", "Batch Norm", 8, 20),
        ("relu", "Batch Norm", inf, 3),
        ("tanh", "no norm", inf, 40),
        ("gelu", "Layer Norm after the activation", inf, 60),
        ("sin", "Batch Norm, frozen statistics", 4, 2),
        ("linear", "Batch Norm", 64, 5),
    ],
)
def test_the_controls_move_the_curve_to_what_predict_gives(
    activation: str, normalizer: str, batch: float, depth: int, pages: dict[str, Path], show: Open
) -> None:
    page = show(pages["article"])
    _set(page, activation, normalizer, batch, depth)
    drawn = page.evaluate("views.explorer.data('curve').map(({ at, y }) => [at, y])")
    spec = replace(
        NetSpec(depth=depth, activation=activation, batch=batch), **NORMALIZERS[normalizer]
    )
    log2 = predict(spec, loss="shared").gradient.log2_mean_square
    if np.isneginf(log2[0]):
        assert drawn == [[depth, 1]]
        assert "exactly 0" in page.text_content("#explored")
    else:
        assert [at for at, _ in drawn] == list(range(depth + 1))
        assert [y for _, y in drawn] == pytest.approx(
            (2.0 ** ((log2 - log2[-1]) / 2)).tolist(), rel=1e-5
        )


def _set(page: Any, activation: str, normalizer: str, batch: float, depth: int) -> None:
    page.select_option("select[name=activation]", activation)
    page.select_option("select[name=normalizer]", normalizer)
    if normalizer.startswith("Batch"):
        page.fill("input[name=batch]", str(page.evaluate("page.batches").index(f"{batch:g}")))
    page.fill("input[name=depth]", str(depth))


def test_the_controls_start_at_this_run_with_its_points(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["article"])
    points = page.evaluate("views.explorer.data('points').length")
    assert points == 7
    page.fill("input[name=depth]", "8")
    assert page.evaluate("views.explorer.data('points').length") == 0


@pytest.mark.parametrize("name", ["profile", "article", "trace", "traces"])
def test_print_holds_every_section_and_every_row(
    name: str, pages: dict[str, Path], show: Open, tmp_path: Path
) -> None:
    page = show(pages[name])
    headings = page.locator("h1, h2, h3").all_text_contents()
    layers = page.evaluate("page.table.rows.length")
    text = printed(page, tmp_path)
    flat = " ".join(text.split())
    assert [heading for heading in headings if heading not in flat] == []
    section = flat.split(
        {
            "article": "All numbers",
            "profile": "Layers",
            "trace": "Every operation",
            "traces": "Steps of depth",
        }[name]
    )[-1]
    number = {"article": 1, "profile": 1, "trace": 5, "traces": 2}[
        name
    ]  # the column of the gradient's RMS, or the first network's
    numbers = page.evaluate(f"page.table.rows.map((row) => shown(row[{number}]))")
    assert sum(number in section for number in numbers) == layers


def test_a_printed_table_names_its_columns_on_every_sheet_and_breaks_no_word(
    pages: dict[str, Path], show: Open, tmp_path: Path
) -> None:
    text = printed(show(pages["deep"]), tmp_path)
    sheets = [
        sheet
        for sheet in text.split("\f")
        if len(re.findall(r"^\s*\d+( +[\d.e+–-]+){3}", sheet, re.MULTILINE)) > 20
    ]
    assert len(sheets) > 3
    assert [
        sheet[:300]
        for sheet in sheets
        if not {"layer", "gradient", "activation"} <= set(sheet.split())
    ] == []
    assert len(re.findall(r"batch_norm +16×32", printed(show(pages["trace"]), tmp_path))) == 10


def test_the_page_s_data_are_json_that_cannot_end_its_script(pages: dict[str, Path]) -> None:
    text = pages["hostile"].read_text()
    data = text.split("const page = ", 1)[1].split(";\n", 1)[0]
    assert "<" not in data
    assert HOSTILE in json.dumps(json.loads(data), ensure_ascii=False)
    assert text.count("</script>") == 1


def test_one_selected_operation_is_selected_everywhere(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["trace"])
    page.locator("button.op").first.click()
    guilty = page.evaluate("selected")
    assert page.evaluate("page.table.rows[selected][2]") == "batch_norm"
    assert page.evaluate("views.depth.signal('selected')") == guilty
    assert page.get_attribute(".rows tr[aria-selected=true]", "data-at") == str(guilty)
    assert page.locator(".ops li[aria-selected=true]").get_attribute("data-at") == str(guilty)
    assert page.locator("details.block[open]").count() == 1
    page.locator(".rows tr[data-at='3']").click()
    assert page.locator(".ops li[aria-selected=true]").get_attribute("data-at") == "3"
    assert page.evaluate("views['gradient-ridges'].signal('selected')") == 3


def test_the_step_of_a_selected_operation_is_shaded_in_every_chart(
    pages: dict[str, Path], show: Open
) -> None:
    """Operation 8 is the Batch Norm of the third block: modules 6 to 8."""
    page = show(pages["flat"])
    page.locator(".rows tr[data-at='8']").click()
    page.wait_for_function("document.querySelector('#waterfall path[opacity=\"0.15\"]')")
    opened = page.locator("details.block[open] summary").all_text_contents()
    assert [each.split("×")[0] for each in opened] == [f"{LONG}.6 to 8"]
    assert page.locator(".ops li[aria-selected=true]").get_attribute("data-at") == "8"
    for chart, shade in (
        ("waterfall", "path[opacity='0.15']"),
        ("gradient-ridges", "line[opacity='0.1']"),
    ):
        boxes = page.locator(f"#{chart} {shade}").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().top)"
        )
        assert len(boxes) == 1, chart


def test_a_picture_says_what_its_dots_and_its_lines_are(pages: dict[str, Path], show: Open) -> None:
    for name, chart, words in (
        ("profile", "#depth", {"gradient", "activation", "theory", "measured"}),
        (
            "article",
            "#gradients",
            {"vanilla", "batch norm", "frozen statistics", "theory", "measured"},
        ),
        ("theory", "#depth", {"gradient", "activation"}),  # lines alone need no key
    ):
        legend = show(pages[name]).locator(f"{chart} .role-legend-label text").all_text_contents()
        assert set(legend) == words
        assert len(legend) == len(words)


def test_at_the_width_of_a_desk_nothing_has_a_scrollbar_but_long_tables(
    pages: dict[str, Path], show: Open
) -> None:
    for name in ("trace", "flat", "profile", "article", "traces"):
        page = show(pages[name], width=1280)
        beyond = page.evaluate(
            """[...document.querySelectorAll("main *")]
            .filter((e) => /auto|scroll/.test(getComputedStyle(e).overflow))
            .filter((e) => e.scrollWidth > e.clientWidth
              || (!e.matches(".rows") && e.scrollHeight > e.clientHeight))
            .map((e) => e.outerHTML.slice(0, 100))"""
        )
        assert beyond == [], name
        assert page.evaluate(
            "[...document.querySelectorAll('.formula')].every((e) => e.scrollHeight <= "
            "e.clientHeight)"
        ), name


class Residual(nn.Module):
    """Linear and ReLU, and the block's input added."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fc(x).relu()


def test_an_open_block_draws_what_feeds_what(tmp_path: Path, show: Open) -> None:
    """fc reads what lies above the block, relu reads fc, and the sum reads relu and, by an arc,
    what lies above."""
    report(
        probe(nn.Sequential(*(Residual() for _ in range(3))), torch.randn(4, 8)),
        tmp_path / "page.html",
    )
    page = show(tmp_path / "page.html", width=390)
    page.locator("details.block summary").nth(2).click()
    page.wait_for_selector("details[open] .wires")
    lines = page.locator("details[open] .ops li span:first-child").all_text_contents()
    assert lines == ["fc", "relu", "add"]
    wires = page.evaluate(
        """[...document.querySelectorAll("details[open] .wires path")]
        .map((e) => [e.dataset.from, e.dataset.to, e.getBBox().width])"""
    )
    assert [(start, end) for start, end, _ in wires] == [
        ("", "4"),
        ("4", "5"),
        ("", "6"),
        ("5", "6"),
    ]
    assert [width > 5 for *_, width in wires] == [False, False, True, False]
    heights = page.evaluate(
        """["li", "circle"]
        .map((name) => [...document.querySelectorAll(`details[open] .ops ${name}`)]
        .map((e) => e.getBoundingClientRect()).map(({ top, height }) => top + height / 2))"""
    )
    assert heights[0] == pytest.approx(heights[1], abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_trace_s_page_shows_the_ledger_s_numbers(pages: dict[str, Path], show: Open) -> None:
    page = show(pages["trace"])
    bars = page.evaluate("views.waterfall.data('source_0').map(({ gain }) => gain)")
    assert sum(bars[:-1]) == pytest.approx(bars[-1], abs=1e-4)
    assert "<img src=x" in page.evaluate("page.table.rows.at(-1)[1]")


def test_a_page_s_policy_forbids_every_request_and_eval(pages: dict[str, Path]) -> None:
    for path in pages.values():
        policy = path.read_text().split('Content-Security-Policy" content="')[1].split('"')[0]
        assert policy.startswith("default-src 'none';")
        assert "unsafe-eval" not in policy
        assert not {"http:", "https:", "*"} & set(policy.replace(";", " ").split())


def test_theory_stands_beside_a_trace_s_operations(pages: dict[str, Path], show: Open) -> None:
    """Ten Batch Norm blocks of width 32: a single network departs from theory by what its width
    allows, not by more."""
    page = show(pages["trace"])
    measured, predicted = (
        np.array(
            page.evaluate(
                f"page.table.rows.map((row) => row[page.table.columns.indexOf('{name}')])"
            ),
            float,
        )
        for name in ("gradient RMS", "predicted gradient RMS")
    )
    known = np.isfinite(predicted)
    assert known.sum() > 20
    assert np.abs(np.log(measured[known] / predicted[known])).max() < 0.7
    assert "as theory has them" in page.text_content("main")


def test_without_a_ledger_the_blocks_are_there_without_gains(tmp_path: Path, show: Open) -> None:
    """Weights of 0 let no gradient through to the input."""
    layers = [part for _ in range(10) for part in (nn.Linear(16, 16), nn.Tanh())]
    nn.init.zeros_(next(layers[0].parameters()))
    report(probe(nn.Sequential(*layers), torch.randn(4, 16)), tmp_path / "page.html")
    page = show(tmp_path / "page.html", width=390)
    assert "no ledger: the gradient is 0" in page.text_content("main")
    page.locator("details.block summary").nth(1).click()
    page.wait_for_selector("details[open] .wires")
    assert page.locator("details[open] .ops .gain").first.text_content() == "–"
    assert page.locator("details.block summary .gain").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_two_thousand_operations_are_a_light_page_that_answers(tmp_path: Path, show: Open) -> None:
    """Orthogonal maps and activations that change nothing: so deep, any other network's gradient
    leaves float32."""
    layers = [
        part
        for _ in range(666)
        for part in (nn.Linear(16, 16, bias=False), nn.LeakyReLU(1.0), nn.Hardtanh(-9, 9))
    ]
    for layer in layers[::3]:
        nn.init.orthogonal_(next(layer.parameters()), generator=torch.Generator().manual_seed(0))
    trace = probe(nn.Sequential(*layers), torch.randn(8, 16))
    assert len(trace.ops) == 1999
    report(trace, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 4_000_000
    assert (tmp_path / "page.html").read_text().count(
        "vegaEmbed="
    ) <= 1  # the library is in it once
    page = show(tmp_path / "page.html")
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert 30 < page.locator("details.block").count() <= 40
    page.evaluate("select(1234)")
    assert page.get_attribute(".rows tr[aria-selected=true]", "data-at") == "1234"
    assert page.locator(".ops li[aria-selected=true]").get_attribute("data-at") == "1234"
    page.fill("input[type=search]", "1777")
    assert (
        page.locator(".rows tr[data-at]").count() == 2
    )  # the operation's number, and the module's of operation 1778
