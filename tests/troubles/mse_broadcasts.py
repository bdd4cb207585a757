"""A regression compares outputs of shape (64, 1) with targets of shape (64,).

mse_loss broadcasts both to (64, 64), so that the best answer to every input is the mean of all
targets. A target of shape (64, 1) helps.
Report: pytorch/pytorch, issues 16045 and 19699. After 300 steps of Adam R2 is 0.000, with equal
shapes 1.000.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="ends",
    rules=("loss-shapes",),
    where="loss|output|head",
    words="broadcast",
    advice="shape",
)


class Net(nn.Module):
    def __init__(self, features=13, d=64, depth=3):
        super().__init__()
        self.first = nn.Linear(features, d)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(depth))
        self.bodies = nn.ModuleList(
            nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d)) for _ in range(depth)
        )
        self.head = nn.Linear(d, 1)

    def forward(self, x):
        x = self.first(x)
        for norm, body in zip(self.norms, self.bodies, strict=True):
            x = x + body(norm(x))
        return self.head(x)


def _make(same):
    torch.manual_seed(0)
    model, x = Net(), torch.randn(64, 13)
    target = x[:, 0] - x[:, 1] * x[:, 2] + 0.5 * x[:, 3]
    target = (target - target.mean()) / target.std()
    if same:
        target = target.unsqueeze(1)
    return model, x, {"loss": lambda out: F.mse_loss(out, target)}


def faulty():
    return _make(False)


def healthy():
    return _make(True)
