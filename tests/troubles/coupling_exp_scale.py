"""A normalizing flow has 32 affine couplings with a scale of exp(s), s from random weights.

Each multiplies half of the values by exp(s), and s grows with the values, to infinity at the `exp`
of a coupling. A bounded s whose last layer begins at 0 helps.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("activation-not-finite", "activation-explodes"),
    where="exp",
    words="infinit|grow",
    advice="tanh|clamp",
)


class Coupling(nn.Module):
    def __init__(self, d, safe):
        super().__init__()
        first, second, last = nn.Linear(d // 2, 64), nn.Linear(64, 64), nn.Linear(64, d)
        self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
        nn.init.kaiming_normal_(first.weight)
        nn.init.kaiming_normal_(second.weight)
        if safe:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        else:
            nn.init.xavier_normal_(last.weight)
        self.safe = safe

    def forward(self, x):
        a, b = x.chunk(2, -1)
        s, t = self.net(a).chunk(2, -1)
        if self.safe:
            s = 2 * torch.tanh(s / 2)
        return torch.cat([b * torch.exp(s) + t, a], -1)


def _make(safe):
    torch.manual_seed(0)
    return nn.Sequential(*(Coupling(16, safe) for _ in range(32))), torch.randn(128, 16)


def faulty():
    return _make(False)


def healthy():
    return _make(True)
