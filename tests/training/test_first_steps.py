"""first_steps of a model: what is read of a probe's step, what is said, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from commands import run
from depthscale.errors import DepthscaleError
from depthscale.store import dumps
from training.founding import batch, drawn, gradients
from training.steps import waves

WIDTH, SAMPLES = 128, 64


def founding(depth: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """The founding network as modules, with the weights of the plain one."""
    weights, readout = drawn(depth, WIDTH, 0)
    parts: list[nn.Module] = []
    for w in (*weights, readout):
        layer = nn.Linear(w.shape[1], w.shape[0], bias=False)
        layer.weight.data.copy_(w)
        parts += [layer, nn.BatchNorm1d(WIDTH, eps=1e-30, affine=False), nn.ReLU()]
    return nn.Sequential(*parts[:-2]), *batch(WIDTH, SAMPLES, 0)


def steps_of(depth: int, optimizer: Any) -> ds.FirstSteps:
    model, x, labels = founding(depth)
    loss = nn.CrossEntropyLoss()
    return ds.first_steps(model, x, loss=lambda y: loss(y, labels), optimizer=optimizer)


def test_layers_that_are_scrambled_are_those_whose_step_is_larger_than_they_are() -> None:
    depth = 40
    weights, readout = drawn(depth, WIDTH, 0)
    found = gradients(weights, readout, *batch(WIDTH, SAMPLES, 0))
    ratios = [0.1 * float(g.norm() / w.norm()) for g, w in zip(found, weights, strict=False)]
    expected = [k for k, ratio in enumerate(ratios, 1) if ratio > 1]
    steps = steps_of(depth, "sgd:lr=.1")
    assert [block.number for block in steps.scrambled] == expected
    assert len(steps.layers) == depth
    assert steps.lr_limit == pytest.approx(0.1 / max(ratios), rel=0.01)  # 40 layers of float32
    assert f"layers 1-{expected[-1]} of 40" in steps.verdict
    assert abs(steps.depth_limit - (depth - expected[-1])) < 1.5
    turned = {p.name: p for p in steps.params}
    assert all(turned[f"{3 * k}.weight"].scale_invariant for k in range(depth))
    assert not turned[f"{3 * depth}.weight"].scale_invariant


def test_equal_steps_are_not_called_harmless() -> None:
    steps = steps_of(40, "adam:lr=1e-3")
    assert not steps.scrambled
    assert steps.is_equal
    assert "equal steps do not restore depth" in steps.verdict


def test_momentum_is_told() -> None:
    assert "10 times as large" in steps_of(10, "sgd:lr=.1,momentum=.9").verdict
    assert "times as large" not in steps_of(10, "sgd:lr=.1").verdict


def test_a_function_a_name_and_an_optimizer_say_the_same() -> None:
    model, x, labels = founding(5)
    given = [
        "sgd:lr=.1",
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        torch.optim.SGD(model.parameters(), lr=0.1),
    ]
    loss = nn.CrossEntropyLoss()
    found = [
        ds.first_steps(model, x, loss=lambda y: loss(y, labels), optimizer=each).record()
        for each in given
    ]
    assert found[0] == found[1] == found[2]


def test_a_run_that_has_a_step_is_read_again_after_it_was_saved(tmp_path: Path) -> None:
    model, x, labels = founding(5)
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    run = ds.probe(model, x, loss=lambda y: loss(y, labels), optimizer=optimizer)
    ds.save(run, tmp_path / "run.json")
    again = ds.first_steps(ds.load(tmp_path / "run.json"))
    assert dumps(again.record()) == dumps(ds.first_steps(run).record())
    page = tmp_path / "page.html"
    ds.report(run, page)
    assert "The first step" in page.read_text()


class Residual(nn.Module):
    """Blocks of two matrices in two stages, which a layer between them does not join."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.ModuleList(block(16) for _ in range(4))
        self.wider = nn.Linear(16, 24)
        self.two = nn.ModuleList(block(24) for _ in range(4))
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        for each in self.one:
            x = x + each(x)
        x = self.wider(x)
        for each in self.two:
            x = x + each(x)
        return self.head(x)


def block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))


def test_blocks_hold_every_matrix_once_in_the_order_of_running() -> None:
    torch.manual_seed(0)
    steps = ds.first_steps(Residual(), torch.randn(8, 16), loss=waves, optimizer="sgd:lr=.1")
    names = [each.most.name for each in steps.blocks]
    homes = [name.rsplit(".", 2)[0] for name in names]
    order = [f"{stage}.{k}" for stage in ("one", "two") for k in range(4)]
    assert [home for home in dict.fromkeys(homes) if home in order] == order
    assert names[-1] == "head.weight"
    assert [each.number for each in steps.layers] == list(range(1, len(steps.layers) + 1))
    matrices = {p.name for p in steps.params if p.is_matrix}
    assert len(matrices) == 18


def test_weights_that_are_0_have_no_angle_and_are_told() -> None:
    model, x, _ = founding(3)
    nn.init.zeros_(model[0].weight)  # type: ignore[arg-type]
    model[1] = nn.Identity()
    steps = ds.first_steps(model, x, loss=waves, optimizer="sgd:lr=.1")
    zero = steps.params[0]
    assert zero.degrees != zero.degrees
    assert any("0.weight" in note for note in steps.notes)
    assert "0.weight" not in [each.most.name for each in steps.blocks]


class Scored(nn.Module):
    """Returns its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x).square().mean()


def test_a_model_that_returns_its_loss_needs_none() -> None:
    assert ds.first_steps(Scored(), torch.randn(4, 8), optimizer="sgd:lr=.1").params


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"optimizer": "sgdd:lr=.1"}, "no optimizer 'sgdd'"),
        ({"optimizer": "sgd:lr=0"}, "rate of SGD is 0"),
        ({"optimizer": "sgd:.1"}, "not name=value"),
        ({"optimizer": "sgd:lr=.1,speed=2"}, "cannot be made"),
        ({"optimizer": 3}, "optimizer= takes"),
        ({"optimizer": lambda parameters: 3}, "no optimizer"),
        ({"optimizer": "lbfgs"}, "closure"),
        ({"loss": "independent"}, "is no loss"),
        ({"loss": None}, "returns no loss"),
        ({"mode": "eval"}, "eval mode"),
    ],
)
def test_wrong_use_is_told_in_one_line(settings: dict[str, Any], why: str) -> None:
    model, x, _ = founding(3)
    with pytest.raises(DepthscaleError, match=why) as told:
        ds.first_steps(model, x, **{"optimizer": "sgd:lr=.1", "loss": waves, **settings})
    assert "\n" not in str(told.value)


def test_a_model_in_eval_mode_is_refused_with_the_way_out() -> None:
    model, x, _ = founding(3)
    with pytest.raises(DepthscaleError, match=r"call model\.train"):
        ds.first_steps(model.eval(), x, loss=waves, optimizer="sgd:lr=.1")
    assert ds.first_steps(model, x, loss=waves, optimizer="sgd:lr=.1", mode="train").params
    assert not model.training


FACTORY = """
import torch
from torch import nn
def make():
    parts = [part for _ in range(6) for part in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(16, 4)), torch.randn(8, 16)
def loss(y):
    return y.square().mean()
def rms(parameters):
    return torch.optim.RMSprop(parameters, lr=1e-3)
"""


def test_the_command_prints_the_verdict_and_writes_record_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net_of_steps.py"
    file.write_text(FACTORY)
    record, page = tmp_path / "steps.json", tmp_path / "steps.html"
    command = ["first-steps", f"{file}:make", "--optimizer"]
    given = ["sgd:lr=.1,momentum=.9", "--loss", f"{file}:loss", "--json", str(record)]
    status, out, err = run([*command, *given, "--html", str(page)], capsys)
    assert (status, err) == (0, "")
    found = json.loads(record.read_text())
    assert found["command"] == "first-steps"
    assert found["optimizer"]["optimizer"] == "SGD"
    assert len(found["params"]) == 26
    assert "degrees" in out
    assert "SGD at 0.1" in page.read_text()
    _, out, _ = run([*command, f"{file}:rms", "--loss", "cross_entropy"], capsys)
    assert "RMSprop at 1e-3" in out
    status, _, err = run([*command, "sgd:lr=.1"], capsys)
    assert status == 2
    assert err.count("\n") == 1
