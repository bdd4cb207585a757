"""The softmax of an attention pooling runs over an axis of size 1.

All its weights are 1, so the network that makes the scores (`score`) gets a gradient of exactly 0.
A softmax over the sequence's axis helps.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted",),
    where="score|softmax",
    words="score.*softmax|softmax.*score",
    advice="softmax|axis|dim",
)


class Pool(nn.Module):
    def __init__(self, axis, d=32):
        super().__init__()
        self.rnn = nn.GRU(d, d, batch_first=True)
        self.score = nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Linear(d, 1))
        self.head = nn.Linear(d, 5)
        self.axis = axis

    def forward(self, x):
        h, _ = self.rnn(x)
        weight = torch.softmax(self.score(h), dim=self.axis)
        return self.head((weight * h).sum(1))


def _make(axis):
    torch.manual_seed(0)
    return Pool(axis), torch.randn(16, 20, 32)


def faulty():
    return _make(-1)


def healthy():
    return _make(1)
