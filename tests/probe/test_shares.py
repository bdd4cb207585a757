"""How softmaxes share out: against torch's own entropy, and inside fused attention against the same
attention written out."""

from dataclasses import asdict
from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import scaled_dot_product_attention

from depthscale._probe import probe
from depthscale.run import Shares

SAMPLES, POSITIONS, WIDTH, HEADS = 4, 16, 32, 4


class Attention(nn.Module):
    """Attention with scores of some scale, fused or written out."""

    def __init__(self, fused: bool, scale: float, mask: str = ""):
        super().__init__()
        torch.manual_seed(0)
        self.maps = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.fused, self.scale, self.mask = fused, scale, mask

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        q, k, v = (m(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for m in self.maps)
        seen = torch.ones(n, n, dtype=torch.bool).tril()
        if self.mask == "boolean":
            seen = torch.rand(n, n, generator=torch.Generator().manual_seed(0)) > 0.3
        if self.fused:
            causal, given = self.mask == "causal", seen if self.mask == "boolean" else None
            return scaled_dot_product_attention(q, k, v, given, 0.0, causal, scale=self.scale)
        scores = q @ k.transpose(-1, -2) * self.scale
        if self.mask:
            scores = scores.masked_fill(~seen, -torch.inf)
        return scores.softmax(-1) @ v


def shares_of(model: nn.Module, x: Tensor) -> Shares:
    (found,) = (op.shares for op in probe(model, x).ops if op.shares is not None)
    return found


def x() -> Tensor:
    return torch.randn(SAMPLES, POSITIONS, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mask", ["", "causal", "boolean"])
@pytest.mark.parametrize("scale", [1e-4, 0.35, 50.0])
def test_fused_attention_is_read_as_it_would_be_written_out(scale: float, mask: str) -> None:
    fused, eager = (shares_of(Attention(f, scale, mask), x()) for f in (True, False))
    assert fused.values == eager.values == POSITIONS
    assert fused.entropy == pytest.approx(eager.entropy, rel=1e-5)
    assert fused.one_hot == pytest.approx(eager.one_hot, abs=0.02)
    assert fused.spread == pytest.approx(eager.spread, rel=1e-3, abs=1e-6)


def test_the_entropy_is_that_of_the_rows() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.softmax(-1)

    scores = 3 * torch.randn(60, 20, generator=torch.Generator().manual_seed(2))
    expected = Categorical(logits=scores).entropy().mean() / log(20)
    found = shares_of(Last(), scores)
    assert found.entropy == pytest.approx(float(expected), rel=1e-5)
    one = scores.softmax(-1).amax(-1) > 0.99
    assert found.one_hot == pytest.approx(float(one.float().mean()))


def test_a_small_spread_is_that_of_the_scores() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.softmax(-1)

    scores = 1e-3 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(3))
    found = shares_of(Last(), scores.expand(8, -1))
    assert found.spread == pytest.approx(float(scores.std()), rel=0.01)


def test_a_softmax_over_one_value_has_no_shares() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1].softmax(-1) * x

    assert not [op for op in probe(Last(), torch.randn(4, 5)).ops if op.shares is not None]


def test_every_number_is_of_the_type_that_a_file_gives_back() -> None:
    shares = probe(nn.Softmax(1), torch.randn(4, 8)).ops[-1].shares
    assert shares is not None
    assert {type(value) for value in asdict(shares).values()} == {float}
