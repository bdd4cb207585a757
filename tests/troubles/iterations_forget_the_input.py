"""A block is iterated 30 times and sees its input only as the first state.

It contracts by 0.57 per iteration, so that all samples end in one state, which the bias alone
decides. The input in every iteration helps. There, too, early states get next to no gradient, as in
every iteration that settles; the weights and the input get theirs.
Report: arXiv:2202.05826. The outputs deviate by 2e-8 between samples, with recall by 0.28.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("samples-collapse",),
    where="step|tanh",
    words="same|alike",
    advice="recall|input|skip",
    allowed=("gradient-vanishes",),
)


class Tied(nn.Module):
    def __init__(self, recall, d=96, iterations=30):
        super().__init__()
        self.stem = nn.Linear(20, d)
        self.step = nn.Linear(d, d)
        self.head = nn.Linear(d, 10)
        self.recall, self.iterations = recall, iterations

    def forward(self, x):
        first = state = self.stem(x)
        for _ in range(self.iterations):
            state = torch.tanh(self.step(state) + first if self.recall else self.step(state))
        return self.head(state)


def _make(recall):
    torch.manual_seed(0)
    model, x, labels = Tied(recall), torch.randn(48, 20), torch.randint(0, 10, (48,))
    return model, x, {"loss": lambda out: F.cross_entropy(out, labels)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
