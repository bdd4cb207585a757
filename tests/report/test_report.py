"""Pages without a browser: what they say, what they refuse, and that a page is whole or not
there."""

import contextlib
import json
import shlex
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import depthscale as ds
from depthscale._explain.argument import growth_argument
from depthscale._explain.batchnorm_text import WORDS
from depthscale._explain.formula import draw_formula, formula_line
from depthscale._explain.verdict import Outcome, Row
from depthscale._report.condensed import condensed, verdict_line
from depthscale._report.page.claims import claims
from depthscale._report.page.html import Html, tag
from depthscale._report.page.mathml import formula
from depthscale._report.page.provenance import command
from depthscale._report.phrases import interval, rounded, sentence, verdict, with_error
from depthscale._report.render import VIEWS, to_html
from depthscale._report.terminal.founding_table import _growth_cells
from depthscale.drawable import Drawable
from depthscale.errors import InvalidSpec, NoPicture, UnwritablePath
from depthscale.experiments import founding, theory_beside
from depthscale.experiments.curves import DEEPEST, NORMALIZERS, curves
from depthscale.measure import Growth, growth, run_names
from depthscale.nets import simulate
from depthscale.network.spec import NetSpec
from depthscale.theory import predict

WIDE = NetSpec(depth=2, widths=(8, 32, 16))
SMALL = NetSpec(depth=12, width=32, batch=16, norm="batch")


def test_report_is_the_verb_although_a_folder_has_its_name() -> None:
    import depthscale._report.chart.founding_charts

    assert ds.report is depthscale.report
    assert callable(ds.report)


def test_markup_escapes_what_is_not_markup() -> None:
    assert (
        tag("p", "<b> & 'x'", title='"<')
        == '<p title="&quot;&lt;">&lt;b&gt; &amp; &#x27;x&#x27;</p>'
    )
    assert (
        tag("p", Html("<b>x</b>"), class_="a", hidden=True, id=False)
        == '<p class="a" hidden><b>x</b></p>'
    )


def test_formulas_become_mathml() -> None:
    below = "<mrow><mi>π</mi><mo>−</mo><mn>1</mn></mrow>"
    assert formula("frac{π}{π−1}") == (
        f"<math><mfrac><mrow><mi>π</mi></mrow>{below}</mfrac></math>"
    )
    assert formula("σ_1^2") == "<math><msubsup><mi>σ</mi><mn>1</mn><mn>2</mn></msubsup></math>"
    assert formula("x^2_1") == formula("x_1^2")
    assert "&lt;" in formula("a < b")
    assert formula("<w²> = 1") == formula("⟨w^2⟩ = 1")
    assert formula("{a_").endswith("</math>")  # a formula cut short is still an element


@pytest.mark.parametrize(
    ("written", "inside"),
    [
        ("1 / sigma", "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>σ</mi></mrow></mfrac>"),
        ("c**2", "<msup><mi>c</mi><mn>2</mn></msup>"),
        ("sqrt(v)", "<msqrt><mrow><mi>v</mi></mrow></msqrt>"),
        (
            "d(v)",
            "<mfrac><mrow><mi>∂</mi><mi>E</mi></mrow><mrow><mi>∂</mi><mi>v</mi></mrow></mfrac>",
        ),
        ("2 * x_hat", '<mn>2</mn><mover accent="true"><mrow><mi>x</mi></mrow><mo>ˆ</mo></mover>'),
        ("a - (b - c)", "<mi>a</mi><mo>−</mo><mrow><mo>(</mo><mi>b</mi><mo>−</mo><mi>c</mi>"),
    ],
)
def test_formulas_in_python_s_syntax_are_drawn_as_on_paper(written: str, inside: str) -> None:
    assert inside in formula(draw_formula(written))


def test_every_formula_of_the_walk_can_be_drawn() -> None:
    for words in WORDS.values():
        for each in (words.symbol, words.value, *words.local, *words.flows):
            assert formula_line(each)
            ElementTree.fromstring(formula(draw_formula(each), large=True))


def test_numbers_have_as_many_digits_as_their_error_allows() -> None:
    assert rounded(1.48034, 0.0021) == "1.4803"
    assert rounded(1.48034, 0.21) == "1.48"
    assert rounded(123.4, 25.0) == "123"
    assert rounded(inf) == "∞"
    assert rounded(float("nan")) == "–"


def test_a_sentence_has_its_capital_its_stop_and_signs_of_multiplication() -> None:
    assert sentence("gradients explode: x1.22 in RMS, x2^-3 at x1.weight (x36, x1e+05)") == (
        "Gradients explode: ×1.22 in RMS, ×2^-3 at x1.weight (×36, ×1e+05)."
    )
    assert sentence("x1.5.") == "×1.5."
    assert sentence("64x64 at x12b") == "64x64 at x12b."


def test_the_interval_is_students_around_the_logarithm() -> None:
    """95 % of Student's t with 4 degrees of freedom lie within 2.776 standard errors (a printed
    table's value)."""
    low, high = interval(Growth(1.5, 0.15, 1, 9, 0.1, 4.0))
    assert np.log([low, high]) == pytest.approx(np.log(1.5) + np.array([-0.2776, 0.2776]), abs=1e-4)
    low, high = interval(Growth(1.5, 0.15, 1, 9, 0.1, inf))
    assert np.log(high / 1.5) == pytest.approx(0.196, abs=1e-4)


def test_the_verdict_holds_the_measured_rate_and_theory_s() -> None:
    profile = simulate(SMALL, seeds=4)
    said = "".join(verdict(profile, predict(SMALL)))
    found = growth(profile)
    assert "grows ×" + rounded(found.rate, found.stderr) in said
    assert f"Theory says ×{growth(predict(SMALL)).rate:.5g}" in said
    assert "keeps its size" in "".join(verdict(predict(NetSpec()), None))
    assert "shrinks" in "".join(verdict(predict(NetSpec(sigma_w2=1.0)), None))
    assert "No growth rate can be given" in "".join(
        verdict(simulate(replace(SMALL, depth=3), seeds=1), None)
    )


def test_theory_is_drawn_only_beside_networks_that_it_is_about() -> None:
    inputs = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    assert theory_beside(simulate(SMALL, seeds=1)) is not None
    assert theory_beside(simulate(SMALL, seeds=1, inputs=inputs)) is None
    assert theory_beside(simulate(SMALL, seeds=1, loss=lambda x: x.square().sum())) is None


@pytest.mark.parametrize(
    "spec",
    [SMALL, NetSpec(), NetSpec(batch=inf), NetSpec(residual=ds.Residual("post", 0.5, 2)), WIDE],
    ids=str,
)
def test_a_network_comes_back_from_its_record(spec: NetSpec) -> None:
    assert NetSpec.from_record(spec.record()) == spec
    with pytest.raises(InvalidSpec, match="no record of a network"):
        NetSpec.from_record(spec.record() | {"nothing": 1})


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        NetSpec(batch=inf, activation="leaky_relu(0.2)"),
        NetSpec(residual=ds.Residual("post", 0.5, 2)),
        WIDE,
    ],
)
def test_the_command_on_a_page_describes_the_same_network(
    spec: NetSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    from depthscale import cli

    words = shlex.split(command(predict(spec)))
    with contextlib.suppress(SystemExit):
        cli.main([*words[1:], "--json", "-"])
    assert json.loads(capsys.readouterr().out)["spec"] == json.loads(json.dumps(spec.record()))


@pytest.mark.parametrize("wrong", [3, None, [], [1], {"a": 1}, {"a": "b"}])
def test_what_has_no_page_is_refused(wrong: object, tmp_path: Path) -> None:
    with pytest.raises(NoPicture, match="give a Run"):
        ds.report(wrong, tmp_path / "x.html")  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, place = predict(SMALL), tmp_path / "page.html"
    with pytest.raises(UnwritablePath, match="cannot write"):
        ds.report(profile, tmp_path / "absent" / "page.html")
    place.write_text("what stood there")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for method, happens, raised in (
        ("chmod", full, UnwritablePath),
        ("replace", interrupted, KeyboardInterrupt),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(Path, method, happens)
            with pytest.raises(raised):
                ds.report(profile, place)
        assert place.read_text() == "what stood there"
        assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_an_unwritable_place_is_named_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> str:
        raise AssertionError("the page was drawn")

    monkeypatch.setattr(sys.modules[ds.report.__module__], "to_html", never)
    with pytest.raises(UnwritablePath, match="it is a folder"):
        ds.report(predict(SMALL), tmp_path)


def test_profiles_are_named_by_what_tells_them_apart() -> None:
    a, b = predict(SMALL), predict(replace(SMALL, batch=64))
    assert list(run_names([a, b])) == ["batch 16", "batch 64"]
    assert list(run_names([a, simulate(SMALL, seeds=1)])) == ["theory", "simulation"]
    assert len(run_names([a, a, a])) == 3


def test_a_comparison_s_caption_speaks_of_what_is_drawn() -> None:
    a, b = simulate([SMALL, replace(SMALL, norm="none")], seeds=2)
    assert "Points: measured ± 2 standard errors.<" in to_html([a, b])
    assert "Points: measured ± 2 standard errors; lines: theory.<" in to_html([a, predict(SMALL)])
    assert "Lines: theory.<" in to_html([predict(SMALL), predict(replace(SMALL, batch=64))])


def test_a_page_calls_a_normal_deviate_what_is_no_number_of_standard_errors() -> None:
    a, b = simulate([SMALL, replace(SMALL, norm="none")], seeds=2)
    for profiles in ([a, b], [a, a], [a, predict(SMALL)], a):
        said = (
            to_html(profiles)
            .replace("± 2 standard errors", "")
            .replace("there are no standard errors to go by", "")
        )
        assert "standard errors" not in said
        assert "normal deviate" in said


def test_a_table_of_rates_gives_its_difference_as_a_normal_deviate() -> None:
    """Over 4 degrees of freedom t = 3 has the tail 1/2 - 3/8 * 3 / sqrt(13/4) * (1 - 9/39) =
    0.01997: 2.054 for a normal number."""
    measured = Growth(1.3, 0.1, 1, 9, 0.1, 4, steps=8)
    predicted = Growth(1.0, 0.0, 1, 9, 0.0, inf, steps=8)
    assert _growth_cells(measured, predicted)[2] == "+2.1"


def test_every_setting_of_the_controls_gives_predict_s_curve() -> None:
    """The page adds logarithms of factors; for every setting and several depths that is what
    theory's own walk gives."""
    for loss in ("shared", "independent"):
        for i, (name, curve) in enumerate(curves(NetSpec(), loss).items()):
            activation, normalizer, batch = name.split("|")
            depth = (2, 3, 9, DEEPEST)[i % 4]
            plain = NetSpec(
                depth=depth, activation=activation, batch=inf if batch == "inf" else int(batch)
            )
            spec = replace(plain, **NORMALIZERS[normalizer])
            log2 = predict(spec, loss=loss).gradient.log2_mean_square
            if curve.top == -inf:
                assert np.isneginf(log2[:-1]).all()
            else:
                assert np.abs(np.array(curve.levels(depth)) - log2).max() < 1e-9, name


def test_the_article_s_argument_is_explain_s_own_row_by_row() -> None:
    """On the same networks; another seed's would not do."""
    found = founding(NetSpec(depth=5, width=64, batch=32), seeds=4, seed=3)
    argument = growth_argument(NetSpec.from_record(found.measured[1].spec), seeds=4, seed=3)
    text = to_html(found)
    assert f"{verdict_line(argument.rows).capitalize()}." in text
    assert claims(argument.rows) in text
    assert (
        claims(growth_argument(NetSpec.from_record(found.measured[1].spec), seeds=4, seed=4).rows)
        not in text
    )
    (rate,) = condensed(argument.of("rate"))
    assert f">{rate.measured}<" in text


def test_an_argument_that_cannot_be_measured_is_named_in_the_article() -> None:
    """float32 does not hold the squares of inputs so small: the experiment carries powers of two, a
    tape does not."""
    text = to_html(founding(NetSpec(depth=5, width=32, batch=16, input_variance=1e-60), seeds=3))
    assert "Not measured: input: the gradient is not finite there" in text


ROW = Row("norm", "a < b", "sigma_w² x^2", "factor", 3, 1.4, 1.5, 1.48, 0.02, Outcome.HOLDS)


def test_rows_are_drawn_with_their_verdict_and_reason() -> None:
    drawn = claims([ROW, replace(ROW, layer=4, outcome=Outcome.FAILS, why="x & y")])
    assert "1. a &lt; b" in drawn
    assert "1.480 ± 0.020" in drawn
    assert drawn.count("<tbody>") == 1
    assert '<span class="said fails">fails</span>' in drawn
    assert "x &amp; y" in drawn
    assert claims([replace(ROW, stderr=float("nan"))]).count("±") == 0
    assert "no such step: why" in claims(
        [replace(ROW, layer=None, outcome=Outcome.NO_STEP, why="why")]
    )


def test_layers_with_one_verdict_and_reason_share_a_line() -> None:
    rows = [replace(ROW, layer=layer) for layer in (1, 2, 4)]
    other = replace(ROW, layer=3, outcome=Outcome.FAILS, why="because")
    lines = condensed([*rows[:2], other, rows[2]])
    assert [(line.layers, line.verdict) for line in lines] == [("1-2, 4", "holds"), ("3", "fails")]
    assert (
        len(condensed([rows[0], replace(rows[1], outcome=Outcome.FAILS)])) == 2
    )  # for the same reason, or none
    assert len(condensed([other, replace(other, layer=4, why="another")])) == 2
    apart = condensed([replace(ROW, layer=1, predicted=0.5, measured=0.51), *rows[1:]])
    assert [(line.layers, line.measured) for line in apart] == [
        ("1", "0.510 ± 0.020"),
        ("2, 4", "1.480 ± 0.020"),
    ]
    noisy = [
        replace(ROW, layer=i, stderr=i, outcome=Outcome.TOO_FEW_SEEDS, why=f"± {i}")
        for i in (1, 3, 2)
    ]
    assert [line.why for line in condensed(noisy)] == ["± 3"]
    near = [
        replace(ROW, layer=i, outcome=Outcome.HOLDS_UP_TO, miss=miss)
        for i, miss in ((1, 0.095), (2, 0.1), (3, 0.03))
    ]
    assert [line.verdict for line in condensed(near)] == ["holds up to 10.0 %"]
    assert condensed([replace(ROW, measured=-1e-5, predicted=0.0)])[0].measured == "0.000 ± 0.020"


def test_a_formula_keeps_its_words_apart_and_its_exponents_up() -> None:
    assert formula("sigma_w² Var φ") == (
        "<math><msubsup><mi>σ</mi><mi>w</mi><mn>2</mn></msubsup><mspace "
        'width="0.3em"></mspace><mi>Var</mi>'
        '<mspace width="0.3em"></mspace><mi>φ</mi></math>'
    )
    assert formula("λ^(L-2) c") == (
        "<math><msup><mi>λ</mi><mrow><mo>(</mo><mi>L</mi><mo>-</mo><mn>2</mn><mo>)</mo></mrow></msup><mi>c</mi></math>"
    )
    assert "mspace" not in formula("2 p(y_l) − frac{dE}{dz}")


def test_the_article_s_numbers_are_those_of_its_run() -> None:
    for seed in (0, 40):
        found = founding(NetSpec(depth=6, width=64, batch=32), seeds=4, seed=seed)
        text = to_html(found)
        measured = growth(found.measured[1])
        assert f"×{with_error(measured.rate, measured.stderr)} per layer" in text
        assert f"{np.sqrt(found.measured[1].gradient.mean_square[1]):.3g} at layer 1" in text
        assert f"{growth(found.predicted[1]).rate:.5g}" in text
        assert len(text.encode()) < 2_500_000


@pytest.mark.parametrize(
    "spec",
    [
        NetSpec(activation="tanh", depth=5, width=16, batch=8),
        NetSpec(depth=1, width=8),
        NetSpec(width=8, batch=2, depth=4),
    ],
)
def test_another_network_than_the_founding_one_gets_no_story_about_it(spec: NetSpec) -> None:
    text = to_html(founding(spec, seeds=2))
    assert "Poincaré" not in text
    assert "vanilla against batch norm against frozen statistics" in text


CASES = [
    replace(SMALL, depth=1),
    replace(SMALL, depth=2),
    replace(SMALL, batch=2),
    replace(SMALL, batch=3),
    NetSpec(depth=120, width=16, batch=8, sigma_w2=1e4),  # gradients beyond float64
    NetSpec(depth=30, width=8, batch=4, sigma_w2=1e-30),
    NetSpec(depth=4, width=16, batch=8, sigma_w2=0.0),  # everything is 0
]


@pytest.mark.parametrize("spec", CASES, ids=str)
def test_every_kind_of_profile_has_a_page_and_a_face(spec: NetSpec) -> None:
    for profile in (simulate(spec, seeds=2), simulate(spec, seeds=1), predict(spec)):
        text = to_html(profile)
        assert "NaN" not in text.split("const page = ")[1].split(";\n")[0]
        assert "<svg" in profile._repr_html_()


def test_every_drawable_record_has_a_row_for_notebooks() -> None:
    assert [kind for kind in Drawable.__subclasses__() if kind not in VIEWS] == []
    assert all(VIEWS[kind].cell for kind in Drawable.__subclasses__())


def test_faces_are_drawn_without_a_script() -> None:
    a, b = simulate([SMALL, replace(SMALL, norm="none")], seeds=3)
    for record in (
        a,
        ds.compare(a, b),
        growth(a),
        a.gradient_sketches[1],
        ds.Sketch(),
    ):
        face = record._repr_html_()
        assert face.startswith("<")
        assert "<script" not in face
        assert len(repr(record)) < 800
    assert "1.5" in growth(a)._repr_html_()


def test_a_chart_can_be_restyled() -> None:
    profile = simulate(SMALL, seeds=2)
    for record in (
        profile,
        [profile, predict(SMALL)],
        ds.compare(profile, predict(SMALL)),
        profile.gradient_sketches[3],
    ):
        styled = ds.chart(record).properties(width=111, title="mine")
        assert styled.to_dict()["width"] == 111
    with pytest.raises(NoPicture):
        ds.chart(3)


def test_a_chart_is_written_as_png_svg_and_pdf_without_a_browser(tmp_path: Path) -> None:
    trace = ds.probe(nn.Sequential(*(nn.Linear(8, 8) for _ in range(5))), torch.randn(4, 8))
    for record in (simulate(SMALL, seeds=2), trace):
        drawn = ds.chart(record)
        for suffix, begins in (("png", b"\x89PNG"), ("svg", b"<svg"), ("pdf", b"%PDF")):
            drawn.save(tmp_path / f"chart.{suffix}")
            assert (tmp_path / f"chart.{suffix}").read_bytes().startswith(begins)


def test_pandas_gets_a_row_a_layer_and_its_absence_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = simulate(SMALL, seeds=2)
    frame = pytest.importorskip("pandas") and profile.to_pandas()
    assert frame.shape == (13, 9)
    assert frame["gradient_ms"].tolist() == profile.gradient.mean_square.tolist()
    assert ds.compare(profile, predict(SMALL)).to_pandas().shape == (37, 5)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ds.DepthscaleError, match="pip install pandas"):
        profile.to_pandas()


def test_pandas_gets_a_row_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    trace, other = (
        ds.probe(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), torch.randn(4, 8))
        for _ in range(2)
    )
    account, found = ds.ledger(trace), ds.compare(trace, other)
    frame = trace.to_pandas()
    assert (frame.index.name, frame.index.tolist()) == ("operation", [0, 1, 2, 3])
    assert frame.loc[2, "op"] == "relu"
    assert frame["log2_gradient_ms"].tolist() == [op.log2_gradient_ms for op in trace.ops]
    assert account.to_pandas()["contribution"].sum() == pytest.approx(account.total_log2_norm2)
    assert account.to_pandas().index.tolist() == [entry.id for entry in account.entries]
    assert account.to_pandas().loc[2, "share"] == account[2].share
    rows = found.to_pandas().set_index("operation")
    assert rows.loc["1"].iloc[0] == found.second.gradient.log2_ratio[found.rows.index("1")]
    assert len(rows) == len(found.rows)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for record in (trace, account, found):
        with pytest.raises(ds.DepthscaleError, match="pip install"):
            record.to_pandas()
