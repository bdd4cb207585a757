"""The table of blocks: what people call a block is found, and its numbers are those of plain
hooks."""

from math import isnan, log, sqrt

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import depthscale as ds
from depthscale._probe import probe

WIDTH = 16


class Mlp(nn.Module):
    """A pre-norm block whose inner parts repeat, too."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.down(torch.relu(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.stem, self.act = nn.Linear(8, WIDTH), nn.Tanh()
        self.blocks = nn.ModuleList(Mlp() for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def total(output: Tensor) -> Tensor:
    return (output**2).sum()


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net()


def rms(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())


def by_hooks(model: nn.Module, x: Tensor, names: list[str]) -> dict[str, tuple[float, float]]:
    """RMS of each module's output and of the gradient there, seen without the probe."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            output.retain_grad()
            outputs[name] = output

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    total(model(x)).backward()
    for handle in handles:
        handle.remove()
    found = {}
    for name, output in outputs.items():
        assert output.grad is not None
        found[name] = rms(output), rms(output.grad)
    return found


def test_a_row_is_what_hooks_see_at_a_blocks_output(model: Net) -> None:
    x = torch.randn(4, 8)
    names = [f"blocks.{k}" for k in range(5)]
    seen = by_hooks(model, x, [*names, "act", "norm", "head"])
    blocks = probe(model, x, loss=total).blocks()
    assert [row.name for row in blocks] == [
        *("input", "stem to act", *names, "norm", "head", "loss")
    ]
    for row, name in zip(blocks.rows[1:-1], ["act", *names, "norm", "head"], strict=True):
        activation, gradient = seen[name]
        assert row.activation == pytest.approx(activation, rel=1e-5)
        assert row.gradient == pytest.approx(gradient, rel=1e-5)
    for below, above in zip(blocks.rows, blocks.rows[1:], strict=False):
        assert above.source == below.out
        assert above.forward == pytest.approx(above.activation / below.activation)
        assert above.backward == pytest.approx(below.gradient / above.gradient)


def test_a_branch_is_told_over_its_trunk(model: Net) -> None:
    x = torch.randn(4, 8)
    with torch.no_grad():
        trunk = model.act(model.stem(x))
        ratios = []
        for block in model.blocks:
            after = block(trunk)
            ratios.append(rms(after - trunk) / rms(trunk))
            trunk = after
    found = [row.branches for row in probe(model, x).blocks() if row.kind == "Mlp"]
    assert all(len(branches) == 1 for branches in found)
    assert [branches[0] for branches in found] == pytest.approx(ratios, rel=1e-4)


def test_parameters_gradients_are_those_of_backward(model: Net) -> None:
    x = torch.randn(4, 8)
    blocks = probe(model, x, loss=total, params=True).blocks()
    total(model(x)).backward()
    for k, block in enumerate(model.blocks):
        gradients = [p.grad.ravel() for p in block.parameters() if p.grad is not None]
        expected = rms(torch.cat(gradients))
        assert blocks[f"blocks.{k}"].parameter_gradient == pytest.approx(expected, rel=1e-5)
    assert isnan(probe(model, x).blocks()[2].parameter_gradient)


class Towers(nn.Module):
    """Two towers of one class of blocks, the second of which reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(Mlp() for _ in range(3))
        self.up = nn.ModuleList(Mlp() for _ in range(3))
        self.between = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            kept.append(x := block(x))
        x = self.between(x)
        for block in self.up:
            x = block(x + kept.pop())
        return x


def test_towers_are_parts_and_skips_between_them_hide_no_block() -> None:
    blocks = probe(Towers(), torch.randn(4, WIDTH)).blocks()
    assert blocks.parts == ("down", "up")
    assert [row.name for row in blocks if row.kind] == [
        f"{part}.{k}" for part in ("down", "up") for k in range(3)
    ]
    assert len(blocks) == 8  # the input, and the map between them


class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(4):
            x = self.block(x)
        return x


def test_a_block_that_runs_again_has_a_row_each_time() -> None:
    names = [row.name for row in probe(Again(), torch.randn(4, WIDTH)).blocks()]
    assert names == ["input", "block", "block#2", "block#3", "block#4"]


def test_every_operation_lies_in_one_row() -> None:
    for network in (Net(), Towers(), Again(), nn.Sequential(nn.Linear(WIDTH, 4), nn.ReLU())):
        width = 8 if isinstance(network, Net) else WIDTH
        run = probe(network, torch.randn(4, width))
        rows = run.blocks()
        assert [op for row in rows for op in range(row.first, row.last + 1)] == [*range(len(run))]


def test_a_flat_network_has_a_row_a_step_of_depth_and_a_shallow_one_a_row_a_map() -> None:
    parts = [p for _ in range(4) for p in (nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU())]
    rows = probe(nn.Sequential(*parts), torch.randn(4, WIDTH)).blocks()
    assert [row.name for row in rows] == ["input", "0 to 2", "3 to 5", "6 to 8", "9 to 11"]
    assert rows[1].kind == "linear-layer_norm-relu"
    rows = probe(nn.Sequential(*parts[:4]), torch.randn(4, WIDTH)).blocks()
    assert [(row.name, row.kind) for row in rows] == [("input", ""), ("0 to 2", ""), ("3", "")]


def test_theory_stands_beside_and_says_where_it_was_measured() -> None:
    """Of a deep linear network every step's gain is fan_in times the weights' variance."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(256, 256, bias=False), nn.Tanh()) for _ in range(4)]
    rows = [r for r in probe(nn.Sequential(*layers), torch.randn(8, 256) * 1e-4).blocks() if r.kind]
    for row in rows:
        assert row.from_theory
        assert row.theory_backward == pytest.approx(sqrt(1 / 3), rel=1e-2)  # U(-1, 1) / sqrt(256)
        assert abs(log(row.backward / row.theory_backward)) < 0.1

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.airy_ai(x) if x is None else torch.linalg.matrix_exp(x)

    network = nn.Sequential(nn.Linear(8, 8), Odd(), nn.Linear(8, 8))
    measured = probe(network, torch.randn(8, 8)).blocks()
    assert not measured[1].from_theory


def test_findings_stand_at_the_block_that_they_name() -> None:
    parts = [
        p for _ in range(20) for p in (nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU())
    ]
    run = probe(nn.Sequential(*parts), torch.randn(64, WIDTH))
    named = {finding.where for finding in ds.diagnose(run) if finding.severity != "info"}
    rows = [row for row in run.blocks() if row.findings]
    assert rows
    for row in rows:
        assert named & {op.name for op in run.ops[row.first : row.last + 1]}


def test_layers_of_a_description_are_rows_and_its_gains_are_the_growth() -> None:
    run = ds.predict(ds.NetSpec(depth=8, width=64, norm="batch", batch=64))
    rows = [row for row in run.blocks() if row.kind]
    assert [row.name for row in rows] == [f"layer {k}" for k in range(1, 9)]
    assert rows[4].backward == pytest.approx(ds.growth(run).rms_rate, rel=1e-6)


def test_the_table_is_plain_values_and_a_frame(model: Net) -> None:
    blocks = probe(model, torch.randn(4, 8)).blocks()
    frame = blocks.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == [row.name for row in blocks]
    assert frame.loc["blocks.2", "backward"] == blocks["blocks.2"].backward
    assert blocks.to_dict()[3]["gradient"] == blocks[3].gradient
    with pytest.raises(KeyError, match=r"no block 'block.2'; the nearest: blocks.2"):
        blocks["block.2"]
