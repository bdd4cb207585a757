"""Hostile graphs: what writes in place, shares, reuses, cuts up and puts together."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probe.checks import kinds, probed


class Written(nn.Module):
    """A model that is a function of the input and one linear map."""

    def __init__(self, run: Callable[[nn.Linear, Tensor], Tensor], width: int = 6):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(width, width)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.fc, x)


def x(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 6)), generator=torch.Generator().manual_seed(1))


def in_place(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    h += x
    return fc(F.relu(h, inplace=True))


def filled(fc: nn.Linear, x: Tensor) -> Tensor:
    out, h = torch.zeros(4, 3, 6), x
    for i in range(3):
        h = torch.tanh(fc(h))
        out[:, i] = h
    return out


def cut(fc: nn.Linear, x: Tensor) -> Tensor:
    a, b = fc(x).chunk(2, 1)
    c, d, e = torch.cat([a, b], 1).split([1, 2, 3], 1)
    rows = torch.stack([r * 2 for r in e.unbind(1)], 1)
    return torch.cat([c, d.sin(), rows], 1)


def looked_up(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    where = torch.where(h > 0, h, 0.1 * h)
    gathered = where.gather(1, torch.tensor([[5, 4, 3, 2, 1, 0]] * 4))
    return (
        torch.zeros(4, 6)
        .scatter_add(1, torch.tensor([[0, 0, 1, 1, 2, 2]] * 4), gathered)[:, :3]
        .index_select(0, torch.tensor([0, 0, 2]))
    )


def multiplied(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    return (
        torch.einsum("bi,bj,ij->bi", h, x, fc.weight)
        + torch.baddbmm(h[:, None], h[:, None], fc.weight.expand(4, 6, 6))[:, 0]
    )


def strided(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x).t().expand(3, 6, 4)
    return fc(h.permute(0, 2, 1)[:, ::2]) * h.transpose(1, 2)[:, 1::2]


def controlled(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    while h.norm() > 1:
        h = torch.tanh(h) * 0.7
    return h


def partly_without_grad(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    with torch.no_grad():
        scale = F.relu(h).amax(1, keepdim=True) + 1
    return h / scale


def cut_off(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    return fc(h) + fc(h.detach()).exp()


def empty(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    return torch.cat([h, fc(h[:0])], 0)


def differentiated_inside(fc: nn.Linear, x: Tensor) -> Tensor:
    with torch.enable_grad():
        energy = torch.tanh(fc(x)).sum()
        (force,) = torch.autograd.grad(energy, x, create_graph=True)
    return fc(force)


def mapped(fc: nn.Linear, x: Tensor) -> Tensor:
    return torch.func.vmap(lambda row: torch.tanh(row) * row.sum())(fc(x))


def views_written(fc: nn.Linear, x: Tensor) -> Tensor:
    h = fc(x)
    h[:, :3].mul_(2)
    h.view(-1)[::2].add_(1)
    h.t()[1] = 0
    return fc(h)


def out_written(fc: nn.Linear, x: Tensor) -> Tensor:
    h = torch.empty(4, 6)
    with torch.no_grad():
        torch.mul(fc(x), 2, out=h)
    return fc(x) * h


def three_times(fc: nn.Linear, x: Tensor) -> Tensor:
    return fc(fc(fc(x).relu()).relu())


@pytest.mark.parametrize(
    "run",
    [
        in_place,
        filled,
        cut,
        looked_up,
        multiplied,
        strided,
        controlled,
        partly_without_grad,
        cut_off,
        empty,
        differentiated_inside,
        mapped,
        views_written,
        out_written,
        three_times,
    ],
)
def test_every_graph_is_seen_whole(run: Callable[[nn.Linear, Tensor], Tensor]) -> None:
    probed(Written(run), x(), explained=run is mapped)  # of whose inside the trace tells


def test_an_activation_is_counted_before_it_is_overwritten() -> None:
    trace = probed(Written(in_place), x())
    with torch.no_grad():
        fc = Written(in_place).fc
        h = fc(x())
        both = h + x()
    assert kinds(trace)[:3] == ["linear", "add", "relu"]
    for op, plain in zip(trace.ops[1:4], (h, both, both.relu()), strict=True):
        assert op.activation is not None
        assert op.activation.mean_square() == pytest.approx(
            float(plain.double().square().mean()), rel=1e-12
        )


def test_each_use_of_a_module_has_a_row() -> None:
    trace = probed(Written(three_times), x())
    assert [op.name for op in trace.ops if op.op == "linear"] == ["fc", "fc#2", "fc#3"]
    assert {op.weights[0][0] for op in trace.ops if op.op == "linear"} == {"fc.weight"}


def test_tied_embeddings_have_a_row_for_each_use() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 6)
            self.fc = nn.Linear(6, 6)

        def forward(self, ids: Tensor) -> Tensor:
            return F.linear(torch.tanh(self.fc(self.embed(ids))), self.embed.weight)

    trace = probed(Tied(), torch.arange(8).reshape(2, 4), params=True)
    assert kinds(trace) == ["embedding", "linear", "tanh", "linear"]
    assert trace.ops[-1].weights[0][0] == "embed.weight"
    assert [name for name, *_ in trace.ops[0].weights] == ["embed.weight"]


def test_a_class_token_joins_parameters_and_inputs() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 6))
            self.place = nn.Parameter(torch.randn(1, 4, 6))
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place).mean(
                1
            )

    trace = probed(Tokens(), x(5, 3, 6))
    assert kinds(trace) == ["cat", "add", "linear", "mean"]


def test_several_embeddings_are_all_sources() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word, self.place = nn.Embedding(11, 6), nn.Embedding(4, 6)
            self.bag = nn.EmbeddingBag(11, 6)
            self.fc = nn.Linear(6, 6)

        def forward(self, ids: Tensor, places: Tensor) -> Tensor:
            return self.fc(self.word(ids) + self.place(places) + self.bag(ids)[:, None])

    trace = probed(Sum(), (torch.arange(8).reshape(2, 4), torch.arange(4)))
    assert [trace.ops[op].name for op, _ in trace.sources] == ["word", "place", "bag"]


@pytest.mark.parametrize("depth", [2000])
def test_depth_is_no_recursion(depth: int) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2, bias=False)
            nn.init.orthogonal_(self.fc.weight)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(depth):
                x = self.fc(x)
            return x

    trace = probed(Deep(), x(2, 2))
    assert len(trace) == depth + 1
