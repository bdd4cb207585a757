"""An implicit image function mixes ten networks that stand in a plain Python list.

`mlps` runs and gets gradients, but model.parameters() does not know of 54,430 of its 57,320
numbers, so that no optimizer moves them. nn.ModuleList helps. The frozen encoder stands in a list
on purpose.
Report: LianpoWang/SLIIF, issue 13; PyTorch's issues 666, 715 and 1053 are older.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("parameter-unregistered",),
    where="mlps",
    words="plain list",
    advice="ModuleList",
)


class ResidualMLP(nn.Module):
    def __init__(self, d, hidden, out, depth=4):
        super().__init__()
        self.first = nn.Linear(d, hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.last = nn.Linear(hidden, out)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = x + torch.relu(layer(x)) * 0.5
        return self.last(x)


class Implicit(nn.Module):
    def __init__(self, registered, experts=10, d=32, hidden=32):
        super().__init__()
        encoder = nn.Sequential(nn.Linear(27, 64), nn.GELU(), nn.Linear(64, d)).requires_grad_(
            False
        )
        self.frozen = [encoder]  # on purpose: not saved, not trained
        mlps = [ResidualMLP(d + 2, hidden, 3) for _ in range(experts)]
        self.mlps = nn.ModuleList(mlps) if registered else mlps
        self.gate = nn.Sequential(nn.Linear(d + 2, 64), nn.ReLU(), nn.Linear(64, experts))

    def forward(self, x):
        patch, coordinates = x[:, :27], x[:, 27:]
        x = torch.cat([self.frozen[0](patch), coordinates], 1)
        weights = torch.softmax(self.gate(x), 1)
        return sum(weights[:, i : i + 1] * mlp(x) for i, mlp in enumerate(self.mlps))


def _make(registered):
    torch.manual_seed(0)
    model, x = Implicit(registered), torch.randn(64, 29)
    rgb = torch.rand(64, 3)
    return model, x, {"loss": lambda out: (out - rgb).abs().mean()}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
