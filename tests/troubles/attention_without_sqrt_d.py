"""A causal transformer does not divide its attention scores by sqrt(d).

The scores have a standard deviation of sqrt(128) = 11, the softmax of every block is nearly one-hot
(largest weight 0.96 in the median), and hardly any gradient passes it. The division helps.
Report: PAIR-code/tiny-transformers, issue 71; the reason is footnote 4 of arXiv:1706.03762.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("softmax-one-hot",),
    where="attention|softmax",
    words="softmax.*scores",
    advice="sqrt|scale",
)


class Attention(nn.Module):
    def __init__(self, d, scale):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(d, d, bias=False) for _ in range(4))
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
        self.softmax = nn.Softmax(-1)
        self.scale = scale

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(-2, -1)
        if self.scale:
            scores = scores / x.shape[-1] ** 0.5
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return self.out(self.softmax(scores.masked_fill(hidden, -1e9)) @ self.value(x))


class Block(nn.Module):
    def __init__(self, d, scale):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = Attention(d, scale)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, scale, d=128, depth=4, vocabulary=256, length=32):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.position = nn.Parameter(torch.randn(length, d) * 0.5)
        self.blocks = nn.ModuleList(Block(d, scale) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, vocabulary, bias=False)

    def forward(self, ids):
        x = self.embed(ids) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def _make(scale):
    torch.manual_seed(0)
    return Model(scale), torch.randint(0, 256, (16, 32))


def faulty():
    return _make(False)


def healthy():
    return _make(True)
