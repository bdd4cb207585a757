"""Attention in float16 adds a mask of -65,504 to scores that have a bias of about -24.

The sum is -inf, and a row of masked keys alone (left padding) is NaN after the softmax in
`blocks.0.attention`. masked_fill helps.
Report: huggingface/transformers, pull request 17306. Half of the outputs and all gradients are NaN.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where=r"softmax|\badd|mask",
    words="float16|65,?504",
    advice="mask|float32|clamp",
)


class Attention(nn.Module):
    def __init__(self, d, heads, length, safe):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.bias = nn.Parameter(
            torch.randn(heads, 2 * length - 1) - 24
        )  # softmax does not feel the common -24: nothing holds it at 0
        self.heads, self.safe = heads, safe

    def forward(self, x, blocked):
        b, n, d = x.shape
        q, k, v = (
            f(x).view(b, n, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        place = torch.arange(n)[:, None] - torch.arange(n) + n - 1
        scores = q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5 + self.bias[:, place]
        lowest = torch.finfo(x.dtype).min
        if self.safe:
            scores = scores.masked_fill(blocked, lowest)
        else:
            scores = scores + blocked.to(x.dtype) * lowest
        weights = torch.softmax(scores, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    def __init__(self, d, length, safe):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = Attention(d, 4, length, safe)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x, blocked):
        x = x + self.attention(self.norm1(x), blocked)
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, safe, d=64, length=16, depth=3):
        super().__init__()
        self.embed = nn.Embedding(100, d)
        self.blocks = nn.ModuleList(Block(d, length, safe) for _ in range(depth))
        self.head = nn.Linear(d, 2)

    def forward(self, ids):
        n = ids.shape[1]
        later = torch.ones(n, n, dtype=torch.bool).triu(1)
        blocked = (later | (ids == 0)[:, None])[
            :, None
        ]  # causal, and no key that is padding (left, id 0)
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, blocked)
        return self.head(x[:, -1])


def loss(out):
    return F.cross_entropy(out.float(), torch.arange(out.shape[0]) % 2)


def _make(safe):
    torch.manual_seed(0)
    model = Model(safe).half()
    ids = torch.randint(1, 100, (16, 16))
    for row in range(1, 16, 2):
        ids[row, : 1 + row // 3] = 0
    return model, ids, {"loss": loss}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
