"""Pages of two traces: what they say is what `compare` found, and what cannot be compared is
named."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale._diagnose import diagnose
from depthscale._probe import probe
from depthscale._report.chart.along_steps import places
from depthscale._report.phrases import sentence
from depthscale._report.render import to_html
from depthscale.errors import NoPicture
from depthscale.measure import run_names
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.run import Probed, Run
from depthscale.theory import predict
from report.conftest import Open


class Net(nn.Module):
    """Ten blocks of Linear, a norm or nothing, and ReLU; the same Kaiming weights whatever the
    norm."""

    def __init__(self, norm: bool, depth: int = 10) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.fc = nn.ModuleList(nn.Linear(64, 64, bias=False) for _ in range(depth))
        self.norm = nn.ModuleList(
            nn.BatchNorm1d(64) if norm else nn.Identity() for _ in range(depth)
        )
        for each in self.fc:
            nn.init.kaiming_normal_(
                each.get_parameter("weight"), nonlinearity="relu", generator=generator
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for fc, norm in zip(self.fc, self.norm, strict=True):
            x = torch.relu(norm(fc(x)))
        return x


def traced(norm: bool, depth: int = 10) -> Run:
    return probe(Net(norm, depth), torch.randn(32, 64, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def pair() -> dict[str, Run]:
    return {"before": traced(False), "after": traced(True)}


def test_the_page_of_two_traces_says_what_compare_found(pair: dict[str, Run]) -> None:
    text = unescape(to_html(pair))
    found = ds.compare(pair["before"], pair["after"])
    apart = found.second
    assert apart.z_score > 3
    assert (
        f": apart by a normal deviate of {apart.z_score:.1f}, as unlikely as Student's t "
        "of the difference." in text
    )
    assert f"<td>{apart.z_score:+.1f}</td>" in text
    most = found.largest("Net (2)")[0]
    assert f'<th scope="row">{found.rows[most]}</th>' in text
    assert f"×{2 ** (apart.gradient.log2_ratio[most] / 2):.4g}" in text
    assert "Only in after: norm.0, " in text
    for trace in pair.values():
        assert sentence(diagnose(trace).verdict) in text
    origins = [trace.origin for trace in pair.values()]
    probed = [each for each in origins if isinstance(each, Probed)]
    architectures = {each.environment["architecture"] for each in probed}
    assert len(architectures) == 2
    assert all(architecture in text for architecture in architectures)


def test_what_compare_returned_is_the_same_page_by_other_names(
    pair: dict[str, Run], tmp_path: Path
) -> None:
    ds.report(ds.compare(pair["before"], pair["after"]), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<h1>Net (1) against Net (2)</h1>" in text
    assert text.replace("Net (1)", "before").replace("Net (2)", "after") == to_html(pair)


def test_a_trace_against_itself_differs_nowhere(pair: dict[str, Run]) -> None:
    text = unescape(to_html([pair["after"]] * 2))
    assert (
        "They cannot be told apart (a normal deviate of 0.0, as unlikely as Student's t of the "
        "difference)." in text
    )
    assert "30 operations have the same name in both and none differs." in text


def test_traces_without_a_name_in_common_are_compared_by_depth(pair: dict[str, Run]) -> None:
    other = probe(
        nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(6)]),
        torch.randn(8, 64),
    )
    text = to_html({"a": pair["before"], "b": other})
    assert "places of depth are compared" in text
    assert "apart by a normal deviate of" in text or "cannot be told apart" in text


def test_where_nothing_repeats_the_operations_that_every_path_crosses_are_the_depth(
    pair: dict[str, Run],
) -> None:
    shallow = probe(nn.Sequential(nn.Linear(64, 8), nn.Tanh()), torch.randn(8, 64))
    title, ids = places([pair["before"], shallow])
    assert title.startswith("operation that every path crosses")
    assert ids == [list(range(21)), [0, 1, 2]]
    assert "nothing repeats three times" in to_html([pair["before"], shallow])


def test_steps_of_depth_are_where_growth_takes_them(pair: dict[str, Run]) -> None:
    """The rate is the mean of the logarithmic steps between the places that the page draws."""
    _, ids = places(list(pair.values()))
    for trace, at in zip(pair.values(), ids, strict=True):
        levels = np.array([trace.ops[i].log2_gradient_ms for i in at])
        found = ds.growth(trace)
        assert found is not None
        assert 2 ** -np.diff(levels).mean() == pytest.approx(found.rate, rel=1e-6)


def test_traces_are_named_by_what_tells_them_apart(pair: dict[str, Run]) -> None:
    model, x = Net(True, 3), torch.randn(8, 64)
    assert list(run_names([probe(model, x), probe(model, x, seed=1)])) == ["seed 0", "seed 1"]
    assert list(run_names([probe(model, x, mode=mode) for mode in ("train", "eval")])) == [
        "train",
        "eval",
    ]
    assert list(run_names(list(pair.values()))) == ["Net (1)", "Net (2)"]
    assert len(run_names([pair["after"]] * 3)) == 3
    measured = pair["after"]
    theory, described = predict(measured), predict(NetSpec(depth=1, width=8))
    assert list(run_names([measured, theory])) == ["Net", "theory of Net"]
    assert [name.split(",")[0] for name in run_names([described, measured])] == [
        "theory of depth=1",
        "Net",
    ]


def test_models_and_descriptions_are_drawn_together(pair: dict[str, Run]) -> None:
    described = simulate(NetSpec(depth=8, width=8, batch=4), seeds=1)
    assert "described" in to_html({"model": pair["before"], "described": described})
    with pytest.raises(NoPicture, match="list of Run, str"):
        to_html([pair["before"], "a name"])  # type: ignore[list-item]
    with pytest.raises(NoPicture, match="takes two or more, got 1"):
        to_html([pair["before"]])


def test_a_comparison_of_traces_has_a_face_and_a_chart(pair: dict[str, Run]) -> None:
    found = ds.compare(pair["before"], pair["after"])
    face = found._repr_html_()
    assert "by a normal deviate of" in face
    assert "<svg" in face
    assert "<script" not in face
    assert ds.chart(pair).properties(width=99).to_dict()["width"] == 99


def test_in_a_browser_both_curves_are_drawn_and_the_steps_selected(
    pair: dict[str, Run], tmp_path: Path, show: Open
) -> None:
    ds.report({"<b>before</b>": pair["before"], "after": pair["after"]}, tmp_path / "page.html")
    opened = show(tmp_path / "page.html", width=390)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.locator("h1").text_content() == "<b>before</b> against after"
    colours = opened.evaluate(
        "new Set(views.gradient.data('source_2').map(({ series }) => series)).size"
    )
    assert colours == 2
    opened.locator(".rows tr[data-at='4']").click()
    assert opened.evaluate(
        "['gradient', 'activation'].map((id) => views[id].signal('selected'))"
    ) == [4, 4]
    says = opened.text_content("output.readout")
    assert re.match("step of depth 4 · operation, <b>before</b> relu#", says)
