"""House prices are the targets as they are, of a network with standardized features.

Targets have an RMS of 242,000 and outputs one of 0.6: the loss is 5.9e10 and all its gradients have
one sign. Standardized targets help.
Report: community.deeplearning.ai, thread 211759; discuss.pytorch.org, thread 96648. After 200 steps
of Adam R2 is -6.2, with standardized targets 1.000.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("targets-scale",),
    where="loss|head|output|target",
    words="target",
    advice="standardi|normali[sz]e",
)


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.body = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        return x + self.body(self.norm(x))


class Net(nn.Module):
    def __init__(self, features=30, d=96, depth=6):
        super().__init__()
        self.first = nn.Linear(features, d)
        self.blocks = nn.ModuleList(Block(d) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 1)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).squeeze(-1)


def _make(standardize):
    torch.manual_seed(0)
    model, x = Net(), torch.randn(64, 30)
    price = 180_000 * torch.exp(0.35 * (x[:, :5].sum(1) / 5**0.5))
    if standardize:
        price = (price - price.mean()) / price.std()
    return model, x, {"loss": lambda out: F.mse_loss(out, price)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
