"""A study: networks that are trained, what is recorded of them, and theory's lines over it."""

import json
from math import log, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import commands
import depthscale as ds
from depthscale._explain import load_dataset
from depthscale._report.render import to_html
from depthscale.errors import InvalidSpec
from depthscale.sweeps import Training, Trial, theory_lines
from depthscale.sweeps.trial import OPTIMIZERS, _built, _loss, trial
from depthscale.training import handed_back
from report.conftest import Open, browser, show

__all__ = ["browser", "show"]
SMALL = Training(width=32, batch=16, steps=12)
GRID = ds.StudyGrid(("vanilla", "batch norm"), (4, 6), ("sgd", "adam"), (0.01, 0.1), 2)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ds.Study:
    return ds.study(GRID, SMALL, out=tmp_path_factory.mktemp("study"), workers=2)


def test_the_depth_at_which_the_first_step_turns_the_first_layer_is_that_of_one_real_step() -> None:
    """A step of SGD at the depth of the line turns the first layer by some 45 degrees, six layers
    above it by far more, six below by far less. (White inputs and labels, width 256.)"""
    lines = theory_lines("batch norm", Training(width=256), [0.1])
    depth = lines.turned[0.1]
    assert 27 < depth < 29
    angles = [np.mean([angle(round(depth) + d, seed) for seed in range(2)]) for d in (-6, 0, 6)]
    # theory's angle d layers from the line is arctan of rate^(d/2)
    expected = [np.degrees(np.arctan(lines.rate ** (d / 2))) for d in (-6, 0, 6)]
    assert angles == pytest.approx(expected, abs=6)


def angle(depth: int, seed: int, step: float = 0.1) -> float:
    """By how much one step of SGD turns the first layer, in degrees."""
    spec = ds.NetSpec(depth=depth, width=256, batch=64, norm="batch")
    drawn = torch.Generator().manual_seed(seed)
    model = _built(spec, load_dataset(), seed)
    weight: torch.Tensor = model[0].weight  # pyright: ignore
    before: torch.Tensor = weight.detach().double().clone()
    x = torch.randn(64, 256, generator=drawn)
    labels = torch.randint(10, (64,), generator=drawn)
    F.cross_entropy(model(x), labels).backward()
    after = before - step * weight.grad.double()  # pyright: ignore
    cosine = (before * after).sum() / before.norm() / after.norm()
    return float(torch.rad2deg(torch.acos(cosine)))


def test_theory_s_lines_are_those_of_the_formulas() -> None:
    lines = theory_lines("batch norm", Training(width=64, batch=64), [0.1, 0.01])
    assert lines.rate == pytest.approx(pi / (pi - 1), rel=0.03)  # of an endless batch
    assert lines.trainable_depth == pytest.approx(16 / log(lines.rate))
    # a decade of the learning rate is 2 ln 10 / ln rate layers
    assert lines.turned[0.01] - lines.turned[0.1] == pytest.approx(2 * log(10) / log(lines.rate))
    assert not theory_lines("vanilla", Training(), [0.1]).turned
    calmer = theory_lines("batch norm, shift 1", Training(), [0.1])
    assert 1.05 < calmer.rate < 1.2


def test_what_a_cross_entropy_hands_back_is_that_of_a_direct_sum() -> None:
    """Of two classes a softmax is a sigmoid of the difference: E |p - y|^2 = 2 E sigmoid(-z)^2 with
    z normal of twice the variance and a random sign."""
    z, weights = np.polynomial.hermite_e.hermegauss(80)
    p = 1 / (1 + np.exp(-z * 1.5**0.5))
    assert handed_back(0.75, 0.0, 2).own == pytest.approx(
        float(2 * (p**2 * weights).sum() / weights.sum()), rel=1e-9
    )
    assert handed_back(0.0, 0.0, 10).own == pytest.approx(0.9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_trial_is_the_training_that_it_says(optimizer: str) -> None:
    """Against a loop written out here. (Under a norm the gradient of a constant pixel is a rounding
    error, of which Adam makes a whole step; so without one.)"""
    made, steps, right = Trial("vanilla", 3, optimizer, 0.05), 3, 0.0
    columns = Training(width=16, batch=16, steps=steps)(made, seed=2)
    data = load_dataset()
    spec = ds.NetSpec(depth=3, widths=(64, 16, 16, 16), batch=16)
    model, drawn = _built(spec, data, 2), torch.Generator().manual_seed(2)
    weights = list(model.parameters())
    begun = weights[0].detach().norm()
    m, v = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for number in range(steps):
        rows = torch.randint(len(data.train), (16,), generator=drawn)
        loss, right = _loss(model(data.train[rows]), data.train_labels[rows])
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
                m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
                adam = m[i] / (1 - 0.9 ** (number + 1))
                adam = adam / ((v[i] / (1 - 0.999 ** (number + 1))).sqrt() + 1e-8)
                w -= (
                    0.05
                    * {
                        "sgd": g,
                        "sgd with warmup": g * min(1.0, (number + 1)),
                        "adam": adam,
                        "layerwise": g * w.norm() / g.norm(),
                    }[optimizer]
                )
    assert columns["grown_end"] == pytest.approx(
        float(weights[0].detach().norm() / begun), rel=1e-4
    )
    assert columns["train_accuracy"] == right
    assert not columns["diverged"]


def test_norms_grow_as_orthogonal_steps_make_them() -> None:
    """Without weight decay a step of SGD is at right angles to weights under a norm, so that their
    norm never falls."""
    columns = Training(width=32, batch=32, steps=12)(Trial("batch norm", 5, "sgd", 0.5), seed=0)
    assert 1.0 == columns["grown_start"] < columns["grown_step1"]  # pyright: ignore
    assert columns["grown_step1"] < columns["grown_step5"] < columns["grown_end"]  # pyright: ignore


def test_a_probe_records_growth_on_the_way() -> None:
    columns = Training(width=64, batch=64, steps=12)(Trial("batch norm", 12, "sgd", 0.01), seed=0)
    assert columns["rate_start"] == pytest.approx(1.49, rel=0.05)
    assert columns["ratio_start"] == pytest.approx(1.49 ** (10 / 2), rel=0.25)  # of 10 whole steps


def test_a_network_that_leaves_the_numbers_guesses() -> None:
    columns = Training(width=16, batch=16, steps=20)(Trial("vanilla", 8, "sgd", 50.0), seed=0)
    assert columns["diverged"] is True
    assert columns["accuracy"] == columns["train_accuracy"] == 0.1


def test_a_study_goes_on_where_it_ended(found: ds.Study) -> None:
    assert len(found.sweep) == found.sweep.total == 32
    seen: list[tuple[int, int]] = []
    again = ds.study(GRID, SMALL, out=found.sweep.folder, progress=lambda *done: seen.append(done))
    assert seen == [(32, 32)]
    assert again.sweep.table().equals(found.sweep.table())


def test_the_best_rate_is_that_of_training(found: ds.Study) -> None:
    rows = found.sweep.table().to_pylist()
    for tested, trained in found.best("batch norm", "adam"):
        depth, rate = tested.where
        own = [r for r in rows if r["network"] == "batch norm" and r["optimizer"] == "adam"]
        means = {
            each: np.mean(
                [r["train_accuracy"] for r in own if r["depth"] == depth and r["rate"] == each]
            )
            for each in (0.01, 0.1)
        }
        assert means[float(rate or 0)] == max(means.values()) == pytest.approx(trained.mean)


def test_the_page_draws_maps_and_lines(found: ds.Study, tmp_path: Path, show: Open) -> None:
    ds.report(found, tmp_path / "study.html")
    page = show(tmp_path / "study.html")
    text = page.inner_text("main")
    assert page.locator("figure svg").count() == 5
    line = found.lines["batch norm"]
    assert f"×{line.rate:.4g} per layer" in text
    assert f"16 / ln rate = {line.trainable_depth:.3g} layers" in text
    assert "depthscale study --network 'vanilla'" in text
    assert "svg" in found._repr_html_()


def test_lines_are_drawn_where_they_are(found: ds.Study) -> None:
    def marks(network: str, optimizer: str) -> list[str]:
        from depthscale._report.chart.study_chart import accuracy_map

        layers = accuracy_map(found, network, optimizer).to_dict()["layer"]
        return [layer["mark"]["type"] for layer in layers]

    assert marks("batch norm", "sgd")[2:] == ["line", "line"]
    assert marks("batch norm", "adam")[2:] == []  # the line is of SGD
    assert marks("vanilla", "sgd")[2:] == []


def test_the_command_trains_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "study.json"
    argv = "study --depth 4 --rate 0.1 --rate 0.01 --optimizer sgd --network vanilla --steps 12"
    argv = [*argv.split(), "--width", "16", "--seeds", "1", "--workers", "1", "--json", str(record)]
    status, out, err = commands.run(argv, capsys)
    assert (status, err) == (0, "")
    assert "2 networks of width 16, batches of 64, 12 steps, 1 seed" in out
    view = json.loads(record.read_text())
    assert view["command"] == "study"
    assert [cell["rate"] for cell in view["cells"]] == [0.1, 0.01]
    assert view["training"]["steps"] == 12


@pytest.mark.parametrize(
    ("grid", "training", "said"),
    [
        (ds.StudyGrid(networks=("resnet",)), {}, "no network 'resnet'; choose of vanilla"),
        (ds.StudyGrid(optimizers=("lion",)), {}, "no optimizer 'lion'; choose of sgd"),
        (ds.StudyGrid(depths=(2,)), {}, "depths must be whole numbers from 3"),
        (ds.StudyGrid(rates=(0.0,)), {}, "learning rates must lie between 0 and 100"),
        (ds.StudyGrid(seeds=0), {}, "seeds are how many"),
        (ds.StudyGrid(), {"steps": 5}, "at least 10 steps"),
    ],
)
def test_settings_that_train_nothing_are_refused(
    grid: ds.StudyGrid, training: dict, said: str
) -> None:
    with pytest.raises(InvalidSpec, match=said):
        ds.study(grid, Training(**training))
    with pytest.raises(InvalidSpec, match="there is no 'x'"):
        trial("x", 3, "sgd", 0.1)


def test_a_training_function_of_one_s_own_takes_trials() -> None:
    def train(made: Trial, seed: int) -> dict[str, float]:
        return {"accuracy": 1 / made.depth, "train_accuracy": 1 - made.rate + seed}

    found = ds.study(GRID, train=train, workers=1)
    (shallow, _), (deep, _) = found.best("batch norm", "sgd")
    assert (shallow.mean, deep.mean) == pytest.approx((1 / 4, 1 / 6))
    assert shallow.where == (4, 0.01)
    assert "Study" in to_html(found)
