"""A real browser, without a network, for the pages' tests."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update "
    "--disable-sync"
).split()

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian, apt-get install chromium")
    sync = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; pip install '.[test]'"
    )
    with sync.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Opens a page; when the test ends, it must have asked for nothing but itself and said nothing
    on the console."""
    contexts, heard = [], []

    def opened(path: Path, width: int = 1200, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None if request.url == path.as_uri() else heard.append(f"asked for {request.url}")
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_function("document.documentElement.dataset.drawn === 'true'")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


def printed(page: Any, folder: Path) -> str:
    """The text of a page's PDF, laid out as it is there."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on this machine; on Debian, apt-get install poppler-utils")
    page.pdf(path=folder / "page.pdf", format="A4")
    command = ["pdftotext", "-layout", folder / "page.pdf", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
