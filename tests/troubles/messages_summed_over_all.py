"""A graph network adds up the messages of all 30 atoms, in four residual layers.

The sum over 30 messages that are alike is 16-26 times the trunk: the RMS is 17, 414, 10,900,
180,000. The mean over the neighbours helps (1.2, 1.5, 1.7, 1.9).
Report: lucidrains/egnn-pytorch, issues 7 and 9.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-explodes", "activation-explodes"),
    where="layers.*sum",
    words=r"\bsum\b",
    advice=r"\bmean\b|divide",
)


class Layer(nn.Module):
    def __init__(self, d, mean):
        super().__init__()
        first, second = nn.Linear(2 * d, d), nn.Linear(d, d)
        self.message = nn.Sequential(first, nn.SiLU(), second)
        for layer in (first, second):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.mean = mean

    def forward(self, h):
        n = h.shape[1]
        messages = self.message(
            torch.cat([h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1)], -1)
        )
        return h + (messages.mean(2) if self.mean else messages.sum(2))


class Net(nn.Module):
    def __init__(self, mean, d=24, depth=4):
        super().__init__()
        self.embed = nn.Embedding(20, d)
        self.layers = nn.ModuleList(Layer(d, mean) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 1)

    def forward(self, kinds):
        h = self.embed(kinds)
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h).mean(1))


def _make(mean):
    torch.manual_seed(0)
    return Net(mean), torch.randint(0, 20, (16, 30))


def faulty():
    return _make(False)


def healthy():
    return _make(True)
