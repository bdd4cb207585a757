"""A ReLU network over 50 steps in time has recurrent weights of standard deviation 0.2.

Width x variance / 2 is 2.6, so that state and gradient grow by 1.5 per step, to 1.3e7 and 2.1e5. It
is `cell.recurrent`, repeated, and not the depth. The identity as recurrent matrix helps.
Report: yandex/faster-rnnlm, issue 17; arXiv:1504.00941. The loss begins at 9.3e6 where chance has
ln(8) = 2.08, with the identity at 2.22.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-explodes", "activation-explodes"),
    where="cell",
    words="recurrent",
    advice="recurrent|identity|orthogonal",
)


class Cell(nn.Module):
    def __init__(self, inputs, d, identity):
        super().__init__()
        self.inputs = nn.Linear(inputs, d)
        self.recurrent = nn.Linear(d, d, bias=False)
        nn.init.normal_(self.inputs.weight, std=0.03)
        nn.init.normal_(self.recurrent.weight, std=0.2)
        nn.init.zeros_(self.inputs.bias)
        if identity:
            nn.init.eye_(self.recurrent.weight)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.recurrent.in_features)
        for t in range(x.shape[1]):
            h = F.relu(self.inputs(x[:, t]) + self.recurrent(h))
        return h


class Net(nn.Module):
    def __init__(self, identity, d=128):
        super().__init__()
        self.embed = nn.Linear(12, 24)
        self.cell = Cell(24, d, identity)
        self.head = nn.Linear(d, 8)

    def forward(self, x):
        return self.head(self.cell(self.embed(x)))


def _make(identity):
    torch.manual_seed(0)
    model, x, labels = Net(identity), torch.randn(32, 50, 12), torch.randint(0, 8, (32,))
    return model, x, {"loss": lambda out: F.cross_entropy(out, labels)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
