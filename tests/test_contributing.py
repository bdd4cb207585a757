"""CONTRIBUTING.md names files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Named for what is being built. This list may only become shorter.
NOT_YET: set[str] = set()


def missing(text: str) -> set[str]:
    """Paths in backquotes at which nothing stands."""
    named = re.findall(r"`((?:src|tests|docs)/[^`\s]+)`", text)
    assert named
    return {path for path in named if not (ROOT / path).exists()}


def test_every_file_of_a_recipe_exists() -> None:
    assert missing((ROOT / "CONTRIBUTING.md").read_text()) == NOT_YET


def test_a_missing_file_is_named() -> None:
    assert missing("see `src/depthscale/run` and `tests/nowhere.py`") == {"tests/nowhere.py"}
