"""Names hold what they like; pages and terminals do not obey it."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale._report.render import to_html
from depthscale.cli import main
from depthscale.controls import disarm

TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
# every character of a category that moves, colours or turns text, by Unicode's own table
ARMED = [
    c
    for c in map(chr, range(0x3000))
    if (unicodedata.category(c) == "Cc" and c not in "\t\n")
    or unicodedata.bidirectional(c)
    in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    or c in "\u200e\u200f\u061c\u2028\u2029"
]
NAME = "fc\u202egnp\x1b[31m\u2066x\u200f\r\x9b2J"


def test_every_control_is_replaced_raw_and_spelled_and_nothing_else_is() -> None:
    assert len(ARMED) == 63 + 14
    for c in ARMED:
        assert disarm(f"a{c}b") == "a\ufffdb"
        assert json.loads(disarm(json.dumps(f"a{c}b"))) in ("a\ufffdb", f"a{c}b" if c < " " else "")
    kept = "".join(c for c in map(chr, range(0x3000)) if c not in ARMED)
    assert disarm(kept) == kept


def test_what_looks_spelled_out_stays_json() -> None:
    name = "\\u202e"
    assert json.loads(disarm(json.dumps(name))) == "\\ufffd"


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for k in range(4):
            self.add_module(f"{NAME}{k}", nn.Linear(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for each in self.children():
            x = torch.tanh(each(x))
        return x


def armed(text: str) -> list[str]:
    """Controls in a text, raw or spelled out."""
    spelled = [rf"\\u{ord(c):04x}" for c in ARMED]
    return re.findall(f"[{re.escape(''.join(ARMED))}]|{'|'.join(spelled)}", text)


def test_pages_and_cells_show_names_without_obeying_them() -> None:
    trace = ds.probe(Named(), torch.randn(3, 4), params=True)
    assert NAME in trace.ops[1].name
    bundle = re.compile(r"\(\(\) => \{.*?\}\)\(\);\n", re.DOTALL)  # the libraries, as they come
    cell, page, both = trace._repr_html_(), to_html(trace), to_html([trace, trace])
    assert "fc\ufffdgnp" in cell
    assert "fc\ufffdgnp" in page
    for text in (cell, page, both):
        assert not armed(bundle.sub("", text))


@pytest.mark.parametrize("more", [[], ["--all"]])
def test_the_terminal_shows_names_without_obeying_them(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["probe", f"{Path(__file__)}:Named", "--input", "float32[3,4]", *more])
    printed = capsys.readouterr().out
    assert "fc\ufffdgnp" in printed
    assert not armed(printed)


def test_an_error_shows_names_without_obeying_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["probe", "absent\u202e.py:make"])
    assert not armed(capsys.readouterr().err)
