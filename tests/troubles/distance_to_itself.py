"""A graph network over all pairs of atoms takes the distance of each atom to itself, too.

sqrt has an infinite slope at 0, so that the gradient is NaN from `sqrt` in layers 1 and 2 on,
though all values are finite. sqrt(. + 1e-6) helps.
Report: dmlc/dgl, issue 7271; pytorch/pytorch, issue 2421. 15 of 29 parameters are NaN throughout.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="numbers",
    rules=("gradient-not-finite",),
    where="sqrt",
    words="sqrt|root",
    advice="eps",
)


class Layer(nn.Module):
    def __init__(self, d, eps, moves):
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * d + 1, d), nn.SiLU(), nn.Linear(d, d), nn.SiLU())
        self.node = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, d))
        self.move = nn.Linear(d, 1, bias=False) if moves else None
        self.eps = eps

    def forward(self, h, x):
        n = h.shape[1]
        difference = x[:, :, None] - x[:, None]  # all pairs, an atom and itself included
        distance = ((difference**2).sum(-1, keepdim=True) + self.eps).sqrt()
        pairs = torch.cat(
            [h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1), distance], -1
        )
        message = self.edge(pairs)
        if self.move is not None:
            x = x + (difference / (distance + 1) * self.move(message)).mean(2)
        h = h + self.node(torch.cat([h, message.mean(2)], -1))
        return h, x


class Net(nn.Module):
    def __init__(self, eps, d=32, depth=3):
        super().__init__()
        self.embed = nn.Embedding(10, d)
        self.layers = nn.ModuleList(Layer(d, eps, i < depth - 1) for i in range(depth))
        self.head = nn.Linear(d, 1)

    def forward(self, kinds, positions):
        h, x = self.embed(kinds), positions
        for layer in self.layers:
            h, x = layer(h, x)
        return self.head(h.mean(1))


def _make(eps):
    torch.manual_seed(0)
    return Net(eps), (torch.randint(0, 10, (16, 12)), torch.randn(16, 12, 3) * 2)


def faulty():
    return _make(0.0)


def healthy():
    return _make(1e-6)
