"""A mixture of experts takes the softmax after it has chosen one expert per token.

A softmax over one value is always 1, so every router (`layers.*.router`) gets a gradient of exactly
0 and never learns. The softmax over all experts before the choice helps.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="router|softmax",
    words="router.*softmax|softmax.*router",
    advice="softmax",
)


class Experts(nn.Module):
    def __init__(self, d, n, before):
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.router = nn.Linear(d, n, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d)) for _ in range(n)
        )
        self.before = before

    def forward(self, x):
        h = self.norm(x)
        logits = self.router(h)
        if self.before:
            weight, chosen = logits.softmax(-1).topk(1, -1)
        else:
            weight, chosen = logits.topk(1, -1)
            weight = weight.softmax(-1)
        out = torch.zeros_like(h)
        for index, expert in enumerate(self.experts):
            mask = chosen[:, 0] == index
            out[mask] = expert(h[mask]) * weight[mask]
        return x + out


class Net(nn.Module):
    def __init__(self, before, d=64, n=4, depth=4):
        super().__init__()
        self.layers = nn.ModuleList(Experts(d, n, before) for _ in range(depth))
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def _make(before):
    torch.manual_seed(0)
    return Net(before), torch.randn(128, 64)


def faulty():
    return _make(False)


def healthy():
    return _make(True)
