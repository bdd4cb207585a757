"""A name shows as it is written: it turns nothing round and steers no terminal."""

import torch
from torch import nn

import depthscale as ds
from depthscale._report import probe_view, to_html
from depthscale.cli.output import console
from depthscale.network import visible

STEERING = ("\u202egnp_exe", "\x1b[31mred", "\u2066apart\u2069", "\u200fmark", "bell\x07")


def named() -> ds.Run:
    model = nn.Sequential()
    for name in STEERING:
        model.add_module(name, nn.Linear(4, 4))
    return ds.probe(model, torch.randn(3, 4))


def steers(text: str) -> list[str]:
    return [c for name in STEERING for c in name if c in text and not c.isprintable()]


def test_a_page_shows_what_steers_by_its_number() -> None:
    page = to_html(named())
    assert steers(page) == []
    assert r"\u202e" not in page, "which a script would read as the mark"
    assert "⟨U+202E⟩gnp_exe" in page


def test_a_notebook_shows_what_steers_by_its_number() -> None:
    assert steers(named()._repr_html_()) == []


def test_the_terminal_shows_what_steers_by_its_number() -> None:
    trace, terminal = named(), console()
    with terminal.capture() as captured:
        for line in probe_view(trace, ds.diagnose(trace), whole=True, width=120, unicode=True):
            terminal.print(line)
    assert steers(captured.get()) == []


def test_what_steers_nothing_stays() -> None:
    assert visible("a\tb\n漢字 é 👩‍🔬 a.b_c[0]") == "a\tb\n漢字 é 👩‍🔬 a.b_c[0]"
    assert visible("\x00\u202e") == "⟨U+0000⟩⟨U+202E⟩"
