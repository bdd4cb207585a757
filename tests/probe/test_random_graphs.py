"""Networks of random operations: whatever is put together, every node is seen, the ledger closes,
and the total is autograd's."""

import random
from collections.abc import Callable
from math import log2

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from depthscale.measure import ledger
from probe.checks import probed


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.layer_norm = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.LayerNorm(6)
        self.rnn, self.attend = (
            nn.GRU(6, 6, batch_first=True),
            nn.MultiheadAttention(6, 2, batch_first=True),
        )
        self.conv = nn.Conv1d(6, 6, 3, padding=1)


def part_written(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = a.clone()
    h[:, :3] += b[:, 3:]
    return h


def view_written(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = p.fc(a)
    h.view(2, 24).mul_(0.7)
    return h


def seen_through_an_older_view(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = p.fc(a)
    view = h.view(-1)
    h.add_(b)
    h[1:3] = 0.5
    return view.view(8, 6).sin()


def seen_through_a_part(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = p.fc(a)
    part = h[:, 2:]
    h.mul_(b)
    part.add_(1)
    return F.pad(part * 2, (0, 2)) + h


def overwritten(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = a * 1
    h.copy_(b)
    return h


def filled(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    h = torch.zeros(8, 6)
    for i in range(6):
        h[:, i] = a[:, i] * b[:, 5 - i]
    return h


def masked(p: Parts, a: Tensor, b: Tensor) -> Tensor:
    return a.masked_fill(b > 0, 0.3).index_add(0, torch.tensor([1, 1]), b[:2])


def checkpointed(reentrant: bool) -> Callable[[Parts, Tensor, Tensor], Tensor]:
    def run(p: Parts, a: Tensor, b: Tensor) -> Tensor:
        result = checkpoint(lambda t, u: p.fc(t).sin() + u, a, b, use_reentrant=reentrant)
        assert isinstance(result, Tensor)
        return result

    return run


STEPS: list[Callable[[Parts, Tensor, Tensor], Tensor]] = [
    lambda p, a, b: p.fc(a),
    lambda p, a, b: p.norm(a),
    lambda p, a, b: p.layer_norm(a),
    lambda p, a, b: p.rnn(a[None])[0][0],
    lambda p, a, b: p.attend(a[None], b[None], a[None])[0][0],
    lambda p, a, b: p.conv(a.t()[None])[0].t(),
    lambda p, a, b: a + b,
    lambda p, a, b: a * b * 0.5,
    lambda p, a, b: a.detach() * b,
    lambda p, a, b: (a * 1).add_(b),
    lambda p, a, b: F.relu(a * 1, inplace=True).clamp(max=1),
    lambda p, a, b: torch.where(a > 0, a, b),
    lambda p, a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
    lambda p, a, b: torch.cat([a[:, :3] * a[:, 3:], b.split([1, 3, 2], 1)[1]], 1),
    lambda p, a, b: torch.stack(a.unbind(1)[::-1], 1),
    lambda p, a, b: torch.stack([a, b]).mean(0),
    lambda p, a, b: a.t().contiguous().t(),
    lambda p, a, b: (
        a.view(-1).view(2, 4, 6).transpose(0, 1).reshape(8, 6)
        if a.is_contiguous()
        else a.reshape(8, 6)
    ),
    lambda p, a, b: a.expand(3, 8, 6).sum(0) + b.broadcast_to(2, 8, 6)[1],
    lambda p, a, b: a[:, [5, 4, 3, 2, 1, 0]].gather(1, torch.arange(6).roll(2).expand(8, 6)),
    lambda p, a, b: torch.einsum("bi,bj->bi", a, b) * 0.3,
    lambda p, a, b: torch.addmm(a, b, p.fc.weight),
    lambda p, a, b: F.scaled_dot_product_attention(a[None, None], b[None, None], a[None, None])[
        0, 0
    ],
    lambda p, a, b: (
        F.softmax(a, 1) + a.max(1, keepdim=True)[0] * torch.linalg.norm(b, dim=1, keepdim=True)
    ),
    lambda p, a, b: torch.fft.ifft(torch.fft.fft(a)).real,
    lambda p, a, b: a.to(torch.bfloat16).float(),
    lambda p, a, b: F.dropout(a, 0.2),
    lambda p, a, b: F.pad(a, (1, 1))[:, 1:-1] + b.roll(1, 1),
    part_written,
    view_written,
    seen_through_an_older_view,
    seen_through_a_part,
    overwritten,
    filled,
    masked,
    checkpointed(False),
    checkpointed(True),
]


class Random(nn.Module):
    """Each value reads from the four before it; the output is the sum of the last three."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.parts, self.seed = Parts(), seed

    def forward(self, x: Tensor) -> Tensor:
        drawn = random.Random(self.seed)
        values = [x * 1]
        for _ in range(drawn.randrange(3, 14)):
            a, b = drawn.choice(values[-4:]), drawn.choice(values[-4:])
            values.append(drawn.choice(STEPS)(self.parts, a, b))
        return values[-1] + sum(values[-3:-1], torch.zeros(8, 6))


def x(seed: int) -> Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(80))
def test_any_network_is_seen_whole(seed: int) -> None:
    model, w = Random(seed), x(seed + 1000)
    given = x(seed).requires_grad_()
    state = torch.get_rng_state()
    (model(given) * w).sum().backward()
    torch.set_rng_state(state)
    model = Random(seed)  # with its running statistics as they were
    trace = probed(model, x(seed), loss=lambda y: (y * w).sum())
    account, expected = ledger(trace), given.grad
    assert expected is not None
    assert account.total_log2_norm2 == pytest.approx(
        log2(float(expected.double().square().sum())), abs=1e-5
    )
    assert sum(entry.contribution for entry in account.entries) == pytest.approx(
        account.total_log2_norm2, abs=1e-6
    )


def test_every_step_is_drawn() -> None:
    drawn: set[int] = set()
    for seed in range(80):
        chosen = random.Random(seed)
        for _ in range(chosen.randrange(3, 14)):
            _ = chosen.choice(range(4)), chosen.choice(range(4))
            drawn.add(chosen.choice(range(len(STEPS))))
    assert len(drawn) > 0.9 * len(STEPS)
