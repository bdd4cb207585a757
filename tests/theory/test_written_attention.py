"""Attention and rotary positions that a model writes out are one operation each, to theory."""

import pytest
import torch
from torch import Tensor, nn

from depthscale._probe import probe
from depthscale.network.operations import Attention
from depthscale.run import Run
from depthscale.theory import predict_run


class Written(nn.Module):
    """One block of attention in elementary calls. / causal, rotary: with a mask, with rotary
    positions; rotated: by which the second half is multiplied, 1 for what keeps no length."""

    def __init__(self, width: int, causal: bool = False, rotary: float | None = None):
        super().__init__()
        self.norm, self.causal = nn.LayerNorm(width), causal
        self.turns, self.rotary = rotary is not None, rotary or 0.0
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y, (n, t, _) = self.norm(x), x.shape
        q, k, v = (each(y).view(n, t, 4, -1).transpose(1, 2) for each in (self.q, self.k, self.v))
        if self.turns:
            q, k = self._turned(q), self._turned(k)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if self.causal:
            scores = scores + torch.full((t, t), -1e9).triu(1)
        out = torch.softmax(scores, -1) @ v
        return x + self.o(out.transpose(1, 2).reshape(n, t, -1))

    def _turned(self, x: Tensor) -> Tensor:
        half, angle = x.shape[-1] // 2, torch.arange(x.shape[-2])[:, None] * 0.7
        cos, sin = angle.cos(), angle.sin() * self.rotary
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def run_of(model: nn.Module, width: int = 128, positions: int = 24) -> Run:
    torch.manual_seed(1)
    for each in model.modules():
        if isinstance(each, nn.Linear):
            nn.init.normal_(each.weight, std=width**-0.5)
    return probe(model, torch.randn(8, positions, width))


@pytest.mark.parametrize("width", [64, 256])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rotary", [None, 1.0])
def test_what_is_written_out_is_one_attention(
    width: int, causal: bool, rotary: float | None
) -> None:
    torch.manual_seed(0)
    run = run_of(Written(width, causal, rotary), width)
    found = predict_run(run)
    assert found.stops == ()
    (last,) = [op for op in run.ops if any(isinstance(w, Attention) for w in op.meaning.what)]
    (what,) = last.meaning.what
    assert isinstance(what, Attention)
    assert what.causal == causal
    assert what.scale == pytest.approx(1.0)
    for name in ("q", "k", "v", "o"):
        theory, measured = found[name], run[name]
        assert theory.log2_activation_ms == pytest.approx(measured.log2_activation_ms, abs=0.25)
        assert theory.log2_gradient_ms == pytest.approx(measured.log2_gradient_ms, abs=0.35)


def test_what_turns_no_vector_is_not_taken_for_rotary_positions() -> None:
    torch.manual_seed(0)
    found = predict_run(run_of(Written(64, rotary=3.0), 64))
    assert {found.ops[i].op for i, _ in found.stops} >= {"add", "mul"}


@pytest.mark.parametrize("need_weights", [False, True])
def test_torchs_own_attention_shows_what_it_calls(need_weights: bool) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(64)
            self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(x)
            return self.attention(y, y, y, need_weights=need_weights)[0]

    torch.manual_seed(0)
    model, x = Own(), torch.randn(4, 10, 64)
    run = probe(model, x, verify=True)
    assert run.verified
    assert "multi_head_attention_forward" not in {op.op for op in run.ops}
    assert sum(op.op == "linear" for op in run.ops) == 2
    found = predict_run(run)
    assert need_weights or found.stops == ()  # the softmax is returned, too
    assert found.ops[-1].log2_activation_ms == pytest.approx(
        run.ops[-1].log2_activation_ms, abs=0.3
    )


class Masked(nn.Module):
    """Attention under a mask, of truth values or of numbers to add."""

    def __init__(self, mask: Tensor):
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        q = x.unflatten(-1, (4, -1)).transpose(1, 2)
        y = nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=self.mask)
        return y.transpose(1, 2).flatten(2)


def past(window: int, positions: int = 12) -> Tensor:
    return torch.ones(positions, positions, dtype=torch.bool).tril().triu(1 - window)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (past(12), (True, None)),
        (past(5), (True, 5)),
        (past(5).expand(2, 1, 12, 12), (True, 5)),
        (torch.zeros(12, 12).masked_fill(~past(12), -torch.inf), (True, None)),
        (torch.zeros(12, 12).masked_fill(~past(4), torch.finfo(torch.float32).min), (True, 4)),
        (past(12).T, (False, None)),
        (past(12) & (torch.arange(12) != 3) | past(1), (False, None)),
        (torch.randn(12, 12).masked_fill(~past(12), -torch.inf), (True, None)),
        (torch.randn(12, 12), (False, None)),
    ],
)
def test_a_mask_of_the_past_is_known(mask: Tensor, expected: tuple[bool, int | None]) -> None:
    run = probe(Masked(mask), torch.randn(2, 12, 32))
    (attention,) = [w for op in run.ops for w in op.meaning.what if isinstance(w, Attention)]
    assert (attention.causal, attention.window) == expected
