"""A table has one column of dates, as days since 1970, beside standardized ones.

The column is 19,700 +- 10 and drowns the others: all samples take one direction from `first` on,
and the outputs hardly depend on the input. A standardized column helps.
Report: openillumi.com, on inputs of large mean. After 200 steps of Adam the error is 98% of the
targets' variance; with a standardized column it is 1e-9.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("inputs-scale",),
    where="input|first",
    words="input.{0,60}RMS",
    advice="standardi|normali[sz]e|subtract",
)


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.body = nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d))

    def forward(self, x):
        return x + self.body(self.norm(x))


class Net(nn.Module):
    def __init__(self, features=24, d=96, depth=6):
        super().__init__()
        self.first = nn.Linear(features, d)
        self.blocks = nn.ModuleList(Block(d) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 3)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def _make(standardize):
    torch.manual_seed(0)
    model, x = Net(), torch.randn(64, 24)
    days = 19_700 + 10 * x[:, 0]
    x[:, 0] = (days - days.mean()) / days.std() if standardize else days
    return model, x


def faulty():
    return _make(False)


def healthy():
    return _make(True)
