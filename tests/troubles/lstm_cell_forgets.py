"""A hand-written LSTM over 40 steps in time has a forget bias of 0.

Its gate is 0.5, so that the gradient shrinks by 0.63 per step, and the first steps cannot be
learnt. A forget bias of 4 helps.
Report: pytorch/pytorch, issue 20102; arXiv:1804.11188. The gradient of the inputs has an RMS of
1.9e-5 at the last step and of 2.7e-13 at the first; with the bias both are alike (3-fold).
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-vanishes",),
    where="cell",
    words="gate|forget|per use",
    advice="forget",
)


class Cell(nn.Module):
    def __init__(self, inputs, d, forget):
        super().__init__()
        self.gates = nn.Linear(inputs + d, 4 * d)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)
        with torch.no_grad():
            self.gates.bias[d : 2 * d] = forget
        self.d = d

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], self.d)
        for t in range(x.shape[1]):
            i, f, g, o = self.gates(torch.cat([x[:, t], h], -1)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


class Net(nn.Module):
    def __init__(self, forget, d=64):
        super().__init__()
        self.embed = nn.Linear(16, 32)
        self.cell = Cell(32, d, forget)
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        return self.head(self.cell(self.embed(x)))


def _make(forget):
    torch.manual_seed(0)
    return Net(forget), torch.randn(32, 40, 16)


def faulty():
    return _make(0.0)


def healthy():
    return _make(4.0)
