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
        self.net = nn.Sequential(
            nn.Linear(d // 2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, d)
        )
        for layer in self.net[:-1]:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
        if safe:
            nn.init.zeros_(self.net[-1].weight)
            nn.init.zeros_(self.net[-1].bias)
        else:
            nn.init.xavier_normal_(self.net[-1].weight)
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
