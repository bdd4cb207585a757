"""Layers of polynomial kernels, (conv(x) + 1)^2, follow each other.

Each squares, so that growth is faster than exponential: the RMS is 2.2, 4.5, 19, 430, 431,000. The
squares do it and not the weights. A norm before each square helps (RMS 3.0-3.4 throughout).
Report: gan3sh500/kervolution-pytorch, issue 8.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-explodes", "activation-explodes"),
    where="layers.*pow",
    words=r"\bpow\b",
    advice="norm",
)


class Kerv(nn.Module):
    def __init__(self, fan_in, width, normed):
        super().__init__()
        self.conv = nn.Conv2d(fan_in, width, 3, padding=1, bias=False)
        nn.init.normal_(self.conv.weight, std=(0.5 / (9 * fan_in)) ** 0.5)
        self.norm = nn.GroupNorm(1, width) if normed else nn.Identity()

    def forward(self, x):
        return (self.norm(self.conv(x)) + 1) ** 2


class Net(nn.Module):
    def __init__(self, normed, width=16, depth=5):
        super().__init__()
        self.layers = nn.Sequential(
            *(Kerv(3 if i == 0 else width, width, normed) for i in range(depth))
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.layers(x).mean((2, 3)))


def _make(normed):
    torch.manual_seed(0)
    return Net(normed), torch.randn(16, 3, 12, 12)


def faulty():
    return _make(False)


def healthy():
    return _make(True)
