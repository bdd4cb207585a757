"""What one step of depth is: a block that repeats, a sequence of operations, or none."""

from collections.abc import Callable
from itertools import pairwise
from math import log

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale._probe.tree import walked
from depthscale.errors import UnreliableGrowth
from depthscale.measure import growth
from depthscale.run import depth_of
from probe.checks import probed


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (16, 8)), generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.fc(self.norm(x)))


class Named(nn.Module):
    """Blocks in a list, between an embedding and a head."""

    def __init__(self, blocks: int, block: Callable[[], nn.Module] = Block):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(8, 8)
        self.layers = nn.ModuleList(block() for _ in range(blocks))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def flat(layers: int, width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(
            m
            for _ in range(layers)
            for m in (nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())
        )
    )


def test_a_block_of_the_module_tree_comes_first() -> None:
    trace = probed(Named(6), x())
    found = depth_of(trace)
    assert found is not None
    assert (found.word, found.count) == ("Block", 6)
    ends = [(trace.ops[a].name, trace.ops[b].name) for a, b in found.pairs]
    assert ends == [
        (f"layers.{k}.add", f"layers.{k + 1}.add") for k in range(4)
    ]  # first and last left out
    assert found.position == (1, 2, 3, 4)


def test_else_the_shortest_sequence_of_operations() -> None:
    trace = probed(flat(6), x())
    found = depth_of(trace)
    assert found is not None
    assert (found.word, found.count) == ("linear-batch_norm-relu", 6)
    assert [(trace.ops[a].name, trace.ops[b].name) for a, b in found.pairs] == [
        (str(3 * k + 2), str(3 * k + 5)) for k in range(4)
    ]


def test_a_sequence_may_begin_after_a_stem_and_end_before_a_head() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), *flat(5), nn.Sigmoid(), nn.Linear(8, 3))
    found = depth_of(probed(model, x()))
    assert found is not None
    assert found.count == 5
    assert sorted(found.word.split("-")) == ["batch_norm", "linear", "relu"]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)),
        nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 4), nn.Sigmoid()),
        Named(2),
    ],
)
def test_where_nothing_repeats_three_times_there_is_none(model: nn.Module) -> None:
    trace = probed(model, x())
    assert depth_of(trace) is None
    with pytest.raises(UnreliableGrowth, match="nothing repeats three times") as refusal:
        growth(trace)
    assert refusal.value.estimate is None


def test_stages_of_another_width_are_no_steps() -> None:
    """Only blocks that read and give the same shape are compared."""

    class Wide(nn.Module):
        def __init__(self, fan_in: int, fan_out: int):
            super().__init__()
            self.fc, self.norm = nn.Linear(fan_in, fan_out), nn.LayerNorm(fan_out)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.norm(self.fc(x)))

    model = nn.Sequential(
        *(Wide(8, 8) for _ in range(4)), Wide(8, 16), *(Wide(16, 16) for _ in range(3))
    )
    trace = probed(model, x())
    found = depth_of(trace)
    assert found is not None
    assert all(trace.ops[a].shape == trace.ops[b].shape for a, b in found.pairs)
    assert len(found.pairs) == 3 + 2


def test_a_shared_block_is_a_step_at_every_use() -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(6):
                x = self.block(x)
            return x

    found = depth_of(probed(Looped(), x()))
    assert found is not None
    assert found.count == 6


class Shares(nn.Module):
    """A block whose activation is the same object in all blocks."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.norm, self.act, self.fc = nn.BatchNorm1d(8), act, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.norm(x)))


def test_a_shared_activation_counts_where_it_is_used() -> None:
    """The rates and the names are those of blocks that have one of their own."""
    act = nn.ReLU()
    grown = []
    for acts in ([act] * 6, [nn.ReLU() for _ in range(6)]):
        torch.manual_seed(0)
        trace = probed(nn.Sequential(*map(Shares, acts)), x())
        assert [op.name for op in trace.ops[1:5]] == ["0.norm", "0.act", "0.fc", "1.norm"]
        grown.append(growth(trace))
    assert grown[0] is not None
    assert grown[1] is not None
    assert grown[0].rate == grown[1].rate
    assert grown[0].step == "Shares"


def test_modules_that_stand_in_several_places_are_named_by_them() -> None:
    act, block = nn.ReLU(), Block()
    assert [
        op.name for op in probed(nn.Sequential(nn.Linear(8, 8), act, nn.Linear(8, 8), act), x()).ops
    ][1:] == list("0123")
    trace = probed(nn.Sequential(block, block, block), x())
    assert [op.module.partition(".")[0] for op in trace.ops[1:]] == sorted(
        op.module.partition(".")[0] for op in trace.ops[1:]
    )
    assert {note.path.partition(".")[0] for note in trace.graph.modules} == {"0", "1", "2"}


def test_a_tree_that_doubles_with_every_level_is_walked_so_far() -> None:
    module: nn.Module = nn.Linear(8, 8)
    for _ in range(24):
        module = nn.Sequential(module, module)
    found = walked(module)
    assert len(found.modules) == 25
    assert len(found.places) == 10_000
    assert max(map(len, found.structures.values())) < 2100


def test_a_known_rate_is_measured() -> None:
    """Orthogonal layers times s: every step multiplies the gradient's mean square by s^2,
    exactly."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8, bias=False)
            nn.init.orthogonal_(self.fc.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * 1.25

    torch.manual_seed(0)
    trace = probed(nn.Sequential(*(Scaled() for _ in range(10))), x())
    found = growth(trace)
    assert found is not None
    assert found.rate == pytest.approx(1.25**2, rel=1e-5)
    assert (found.step, found.steps) == ("Scaled", 8)
    assert found.change == pytest.approx(8 * log(1.25**2) / log(2), rel=1e-5)
    forward = growth(trace, of="activation")
    assert forward is not None
    assert forward.rate == pytest.approx(1.25**2, rel=1e-5)


@pytest.mark.parametrize("blocks", [3, 4])
def test_three_or_four_blocks_give_an_estimate_with_its_error(blocks: int) -> None:
    """Of three the block under the head takes part; two steps have one degree of freedom."""
    trace = probe(Named(blocks), x())
    found = growth(trace)
    tops = [trace[f"layers.{k}.add"].log2_gradient_ms for k in range(3)]
    steps = [(below - top) * log(2) for below, top in pairwise(tops)]
    assert (found.steps, found.degrees) == (2, 1)
    assert log(found.rate) == pytest.approx(sum(steps) / 2)
    assert found.log_stderr == pytest.approx(abs(steps[0] - steps[1]) / 2, rel=1e-6)


class Late(nn.Module):
    """A tower, and an input that joins it: at its end, or after every layer."""

    def __init__(self, where: str):
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.where = nn.ModuleList(nn.Linear(8, 8) for _ in range(12)), where

    def forward(self, x: Tensor, late: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x) + late if self.where == "everywhere" else layer(x)
            x = x.relu()
        return x * late if self.where == "end" else x


@pytest.mark.parametrize("where", ["end", "everywhere"])
def test_an_input_that_joins_late_does_not_hide_the_depth(where: str) -> None:
    """A late input of zeros that is added, or of ones that is multiplied, changes no value: the
    rates are those of the tower."""
    late = torch.ones(16, 8) if where == "end" else torch.zeros(16, 8)
    both, alone = (
        probed(Late(where), (x(), late)),
        probed(Late(where), (x(), late.requires_grad_(False).long())),
    )
    found, expected = growth(both), growth(alone)
    assert found is not None
    assert expected is not None
    assert found.step.startswith("linear")
    assert found.steps == 10
    assert found.rate == pytest.approx(expected.rate, rel=1e-6)
