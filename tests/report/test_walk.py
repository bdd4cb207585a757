"""The walk as people see it: a terminal of 80 columns, and a page that steps through it in a
browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from depthscale._explain.batchnorm import BatchnormWalk, explain_batchnorm, random_input
from depthscale._report.pages.walk_page import walk_page
from depthscale._report.short_numbers import short
from depthscale._report.terminal.walk_lines import walk_lines

CHROMIUM = shutil.which("chromium")
WALK = explain_batchnorm(random_input(4, 3, 0), gamma=(1.5,), beta=(0.5,), eps=0.1)
ENDS = np.array([[1.23456789e-154, -9.87654321e-110], [-8.7654321e-154, 1.0], [1.1e-154, 2.0]])


@pytest.mark.parametrize(
    "walk",
    [
        WALK,
        explain_batchnorm(
            random_input(200, 2, 0) * -1e7, gamma=(-1e-9,), beta=(-123456,), neuron=1
        ),
        explain_batchnorm(random_input(1, 1, 0)),
        explain_batchnorm(ENDS, -ENDS, gamma=(-1.2345e-100,), eps=1.2345e-300),
    ],
)
def test_the_terminal_form_fits_80_columns(walk: BatchnormWalk) -> None:
    lines = list(walk_lines(walk))
    assert max(map(cell_len, lines)) <= 80
    assert sum(line.startswith("step ") for line in lines) == 10


SMALL = explain_batchnorm(
    -random_input(4, 1, 0) * 1e-5, -random_input(4, 1, 3) * 1e-7, gamma=(-1.234e-5,), eps=1e-12
)


@pytest.mark.parametrize("walk", [WALK, SMALL], ids=["plain", "long numbers"])
def test_the_terminal_form_shows_each_number_of_the_record(walk: BatchnormWalk) -> None:
    words = set(re.findall(r"[^\s│]+", "\n".join(walk_lines(walk))))
    for step in walk.steps:
        assert {short(number) for number in (*step.numbers, *step.arriving)} <= words
        for flow in step.flows:
            assert {flow.name, *map(short, flow.numbers), *map(short, flow.local_numbers)} <= words
    circuit = set(re.findall(r"[^\s│]+", "\n".join(list(walk_lines(walk))[4:20])))
    for value, gradient in walk.edges().values():
        assert {short(value[0], 3), short(gradient[0], 3)} <= circuit


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-0.123456, "-0.1235"),
        (1234.56, "1235"),
        (-1.23456e-5, "-1.235e-5"),
        (0.0, "0"),
        (-1.23456e-155, "-1.2e-155"),
        (1e6, "1e6"),
    ],
)
def test_a_short_number_has_at_most_nine_characters(value: float, written: str) -> None:
    assert short(value) == written
    assert len(written) <= 9


def test_a_long_batch_says_what_is_shown() -> None:
    walk = explain_batchnorm(random_input(20, 1, 0))
    assert any("first 4 of 20 values are shown" in line for line in walk_lines(walk))
    assert "The tables show its first 8" in walk_page(walk)


def test_a_check_that_fails_is_shown_to_fail() -> None:
    from dataclasses import replace

    wrong = replace(WALK, checks=(replace(WALK.checks[0], measured=1.0), *WALK.checks[1:]))
    assert sum(line.startswith("✗") for line in walk_lines(wrong)) == 1
    assert walk_page(wrong).count('class="check fails"') == 1
    assert walk_page(WALK).count('class="check holds"') == 4


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The page in a browser, with what it asked for and complained of."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed, so the page cannot be tried in a browser")
    from playwright.sync_api import sync_playwright

    place: Path = tmp_path_factory.mktemp("page") / "walk.html"
    place.write_text(walk_page(WALK))
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        shown.set_default_timeout(10_000)
        asked: list[str] = []
        wrong: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: wrong.append(message.text))
        shown.on("pageerror", lambda error: wrong.append(str(error)))
        shown.goto(place.as_uri())
        yield shown
        assert set(asked) == {place.as_uri()}
        assert wrong == []
        browser.close()


def title(page) -> str:
    (shown,) = [panel for panel in page.query_selector_all(".panel") if panel.is_visible()]
    return shown.query_selector("h2").inner_text()


TITLES = [
    "The forward pass",
    *(f"Step {step.step}: {step.node}" for step in WALK.steps),
    "Step 0: x",
]


@pytest.mark.parametrize("means", ["keyboard", "click"])
def test_the_page_steps_forward_and_back(page, means: str) -> None:
    def go(key: str, button: str) -> None:
        page.keyboard.press(key) if means == "keyboard" else page.click(button)

    page.keyboard.press("Home")
    for i, expected in enumerate(TITLES):
        assert title(page) == expected
        seen = page.eval_on_selector_all("svg .seen .gradient", "all => all.length")
        assert seen == sum(len(step.flows) for step in WALK.steps[:i]) + (i > 0)
        if 0 < i < 10:
            assert page.text_content("svg .node.on .name") == WALK.steps[i - 1].node
        if expected != TITLES[-1]:
            go("ArrowRight", "#next")
    assert page.is_disabled("#next")
    page.keyboard.press("ArrowRight")
    assert title(page) == TITLES[-1]
    for expected in reversed(TITLES):
        assert title(page) == expected
        if expected != TITLES[0]:
            go("ArrowLeft", "#back")
    assert page.is_disabled("#back")


def test_a_node_and_a_dot_lead_to_their_panel_and_end_to_the_last(page) -> None:
    page.keyboard.press("Home")
    page.click("svg .node[data-step='3'] .sign")
    assert title(page) == "Step 3: square"
    page.click(".dot[data-panel='1']")
    assert title(page) == "Step 9: shift"
    page.keyboard.press("End")
    assert title(page) == "Step 0: x"
    page.keyboard.press("Shift+Home")
    assert title(page) == "Step 0: x"


@pytest.mark.parametrize("width", [390, 1280])
def test_no_width_needs_sideways_scrolling_of_the_whole(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for _ in TITLES:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("ArrowLeft")


def test_on_a_phone_the_current_node_is_in_sight(page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for key in ("Home", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_function(
        "() => { const at = document.querySelector('svg .node.on').getBoundingClientRect();"
        " return at.left >= 0 && at.right <= 390; }",
    )


def test_numbers_at_wires_do_not_run_into_each_other(page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate(
        "document.querySelectorAll('svg .value, svg .gradient').forEach(e => e.textContent = "
        "'−0.0123')"
    )  # a long one
    boxes = page.eval_on_selector_all(
        "svg text:not(.sign), svg .node circle",
        "all => all.map(e => { const b = e.getBBox(); return [b.x, b.y + 2, b.x + b.width, b.y + "
        "b.height - 2]; })",
    )
    page.reload()
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )


def test_without_javascript_every_panel_is_there() -> None:
    written = walk_page(WALK)
    assert written.count('<section class="panel"') == len(TITLES)
    assert "://" not in written
