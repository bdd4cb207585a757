"""The package stays small: fewer tokens than before it was rebuilt, short functions and files."""

from statistics import median

import pytest

import size

TOKENS = 195_728  # of commit 3616075, by the same measure
FUNCTION_LINES = 8
FILE_LINES = 350

# Files that are longer. This list may only become shorter.
LONG_FILES = {
    "network/activations.py",
    "numerics/gaussian.py",
    "sketch/sketch.py",
    "theory/classical/critical.py",
    "theory/full/gram.py",
    "theory/moments/expectations.py",
}
TEXTS = size.files()


@pytest.mark.xfail(reason="what is being replaced still stands beside what replaces it")
def test_the_package_has_no_more_code_than_before() -> None:
    assert sum(map(size.tokens, TEXTS.values())) <= TOKENS


def test_half_of_all_functions_have_at_most_eight_lines() -> None:
    lengths = [length for text in TEXTS.values() for length in size.function_lengths(text)]
    assert median(lengths) <= FUNCTION_LINES


def test_no_file_is_longer_than_one_noun_takes() -> None:
    longer = {path for path, text in TEXTS.items() if size.lines(text) > FILE_LINES}
    assert longer == LONG_FILES


def test_only_code_counts() -> None:
    bare = "def f(a): return g(a)"
    dressed = 'def f(\n    a: int,\n) -> str:\n    """Why."""\n    # how\n    return (g(a))\n'
    assert size.tokens(bare) == size.tokens(dressed) == 11
    assert size.tokens('f"{a + b:.3g} of {c}"') == size.tokens('(a + b, " of ", c)')
    assert size.function_lengths(dressed) == [1]
