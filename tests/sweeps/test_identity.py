"""What makes a cell: code and values count, layout and the process do not."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from depthscale.sweeps.identity import fingerprint

BASE = """
from torch import nn
WIDTH = 16
KINDS = {"batch", "layer", "group"}
def helper(n):
    return n + 1
class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.depth = depth
    @property
    def twice(self):
        return 2 * self.depth
def other():
    return 1
def make(depth, norm="batch"):
    assert norm in {"batch", "layer", "group"} and KINDS
    inner = lambda: helper(WIDTH)
    return Net(depth + inner())
"""
SAME = {
    "a comment": BASE.replace("return n + 1", "return n + 1  # one more"),
    "layout": BASE.replace("WIDTH = 16", "\n\nWIDTH = 16\n"),
    "what it does not use": BASE.replace("return 1", "return 2"),
}
CHANGED = {
    "itself": BASE.replace("depth + inner()", "depth - inner()"),
    "a default": BASE.replace('norm="batch"', 'norm="layer"'),
    "a helper": BASE.replace("n + 1", "n + 2"),
    "a constant": BASE.replace("WIDTH = 16", "WIDTH = 17"),
    "a set": BASE.replace('KINDS = {"batch", ', "KINDS = {"),
    "a class": BASE.replace("self.depth = depth", "self.depth = depth + 1"),
    "a property": BASE.replace("2 * self", "3 * self"),
    "the base of a class": BASE.replace("Net(nn.Module)", "Net(nn.Sequential)"),
}


def of_a_new_process(folder: Path, code: str, hashing: str = "0") -> str:
    (folder / "made.py").write_text(code)
    line = (
        "import made; from depthscale.sweeps.identity import fingerprint as f; print(f(made.make))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", line],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{':'.join(sys.path)}", "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def of_code(code: str) -> str:
    scope: dict = {"__name__": "__main__"}
    exec(code, scope)
    return fingerprint(scope["make"])


def test_another_process_tells_the_same(tmp_path: Path) -> None:
    first = of_a_new_process(tmp_path, BASE, "1")
    assert first == of_a_new_process(tmp_path, BASE, "2")
    assert first != of_a_new_process(tmp_path, CHANGED["a helper"], "1")


@pytest.mark.parametrize("change", SAME)
def test_what_changes_no_cell_does_not_count(change: str) -> None:
    assert SAME[change] != BASE
    assert of_code(SAME[change]) == of_code(BASE)


@pytest.mark.parametrize("change", CHANGED)
def test_what_changes_cells_counts(change: str) -> None:
    assert CHANGED[change] != BASE
    assert of_code(CHANGED[change]) != of_code(BASE)


def test_what_a_function_closes_over_counts() -> None:
    import torch

    def maker(width: object):
        return lambda depth: (width, depth)

    values = [16, 17, [16], {"a": 16}, torch.ones(3), torch.zeros(3), partial(maker, 3), None]
    assert len({fingerprint(maker(value)) for value in values}) == len(values)
    assert fingerprint(maker([16])) == fingerprint(maker([16]))
    assert fingerprint(maker(torch.ones(3))) == fingerprint(maker(torch.ones(3)))


def test_what_refers_to_itself_ends() -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    loop: list = [1]
    loop.append(loop)
    assert fingerprint(even) == fingerprint(even)
    assert fingerprint(loop) == fingerprint(loop)
