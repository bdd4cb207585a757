"""Attention pooling gives its head the entropy of its weights, -(w log w).sum().

The weights of padding are exactly 0, and 0 * log 0 is NaN: the logarithm in `pool` makes it, not
the masked softmax. clamp_min before the logarithm helps.
Report: huggingface/trl, issue 7221; pytorch/pytorch, issue 40553. 27 of 32 outputs and all
gradients are NaN.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("activation-not-finite",),
    where=r"\blog\b|\bmul\b",
    words="log.{0,80}0",
    advice="clamp|xlogy|eps",
)


class Pool(nn.Module):
    def __init__(self, d, floor):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1))
        self.floor = floor

    def forward(self, x, padding):
        weights = self.score(x).squeeze(-1).masked_fill(padding, float("-inf")).softmax(-1)
        logs = weights.clamp_min(self.floor).log() if self.floor else weights.log()
        entropy = -(weights * logs).sum(-1, keepdim=True)
        return torch.cat([(weights[..., None] * x).sum(1), entropy], -1)


class Net(nn.Module):
    def __init__(self, floor, d=64):
        super().__init__()
        self.embed = nn.Embedding(100, d)
        self.convs = nn.ModuleList(nn.Conv1d(d, d, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))
        self.pool = Pool(d, floor)
        self.head = nn.Sequential(nn.Linear(d + 1, d), nn.ReLU(), nn.Linear(d, 6))

    def forward(self, ids):
        x = self.embed(ids)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + F.relu(conv(norm(x).transpose(1, 2)).transpose(1, 2))
        return self.head(self.pool(x, ids == 0))


def _make(floor):
    torch.manual_seed(0)
    model, ids, labels = Net(floor), torch.randint(1, 100, (32, 20)), torch.randint(0, 6, (32,))
    for row in range(32):
        ids[row, 20 - row % 7 :] = 0
    return model, ids, {"loss": lambda out: F.cross_entropy(out, labels)}


def faulty():
    return _make(0.0)


def healthy():
    return _make(1e-9)
