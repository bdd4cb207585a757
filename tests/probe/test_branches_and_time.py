"""Depths that not every path crosses, and depths in time: networks whose rate is known by
construction."""

from math import log

import pytest
import torch
from torch import Tensor, nn

from depthscale.measure import growth
from depthscale.run import Depth, DepthKind, Run, depth_of
from depthscale.run.depth import Paths
from probe.checks import probed

FACTOR = 1.25


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (16, 8)), generator=torch.Generator().manual_seed(1))


class Scaled(nn.Module):
    """An orthogonal map times a number: it multiplies the gradient's mean square by its square."""

    def __init__(self, width: int = 8, factor: float = FACTOR):
        super().__init__()
        self.fc, self.factor = nn.Linear(width, width, bias=False), factor
        nn.init.orthogonal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.factor


class LongSkip(nn.Module):
    """One skip over all blocks; nested, another one inside it, over all blocks but two."""

    def __init__(self, nested: bool = False) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)
        self.blocks = nn.Sequential(*(Scaled() for _ in range(7)))
        self.nested = nested

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if not self.nested:
            return self.head(x + self.blocks(x))
        y = self.first(x).tanh()
        return self.head(x + self.last(y + self.blocks(y)).tanh())


class TwoHeads(nn.Module):
    """Two heads side by side in the output, one of them of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.one = nn.Sequential(*(Scaled() for _ in range(7)))
        self.other = nn.Sequential(*(nn.Tanh() for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([self.one(x), self.other(x)], -1)


class Loop(nn.Module):
    """A recurrence in plain functions: h <- x_t W + FACTOR h U, with U orthogonal."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(4, 8))
        self.U = nn.Parameter(nn.init.orthogonal_(torch.empty(8, 8)))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 8)
        for step in x.unbind(1):
            h = step @ self.W + FACTOR * (h @ self.U)
        return h


class Cell(nn.Module):
    """The same as a custom cell of two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(4, 8), nn.Linear(8, 8, bias=False)
        nn.init.orthogonal_(self.h.weight)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.i(x) + FACTOR * self.h(h)


class Unrolled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = Cell(), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 8)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.head(h)


def known(model: nn.Module, inputs: Tensor) -> tuple[Run, Depth]:
    """The depth of a model whose gradient grows by FACTOR^2 a step."""
    torch.manual_seed(0)
    trace = probed(model, inputs)
    depth, found = depth_of(trace), growth(trace)
    assert depth is not None
    assert found.rate == pytest.approx(FACTOR**2, rel=1e-5)
    assert abs(log(found.rate)) > 100 * found.log_stderr
    return trace, depth


@pytest.mark.parametrize("nested", [False, True])
def test_blocks_inside_a_long_skip_are_a_depth(nested: bool) -> None:
    _, depth = known(LongSkip(nested), x())
    assert (depth.kind, depth.word, depth.count) == (DepthKind.BLOCKS, "Scaled", 7)
    assert depth.paths is Paths.ONE_BRANCH


def test_blocks_of_one_head_are_a_depth() -> None:
    _, depth = known(TwoHeads(), x())
    assert (depth.word, depth.count, depth.paths) == ("Scaled", 7, Paths.ONE_BRANCH)


@pytest.mark.parametrize("inside", [False, True])
def test_time_steps_in_plain_functions_are_a_depth(inside: bool) -> None:
    """The model itself, and a module of it."""
    model = nn.Sequential(Loop(), nn.Linear(8, 2)) if inside else Loop()
    trace, depth = known(model, x(16, 9, 4))
    assert (depth.kind, depth.count) == (DepthKind.USES, 9)
    assert trace.ops[depth.pairs[0][0]].weights[0][1] == (8, 8), "of U, not of W"


def test_time_steps_of_a_custom_cell_are_a_depth() -> None:
    _, depth = known(Unrolled(), x(16, 9, 4))
    assert (depth.kind, depth.word, depth.count) == (DepthKind.USES, "use of cell.h", 9)
