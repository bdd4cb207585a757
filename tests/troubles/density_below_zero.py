"""The density of a radiance field is a rectified output that begins below 0 everywhere.

The `relu` of the density is 0 at every point, the picture is black whatever the weights are, and no
weight gets a gradient. A softplus helps.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("dead-units", "gradient-deleted"),
    where="relu",
    words="no gradient",
    advice="bias|softplus",
)


class Field(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
        )
        self.density = nn.Linear(64, 1)
        self.colour = nn.Linear(64, 3)
        nn.init.constant_(self.density.bias, -2.0)
        self.activation = activation

    def forward(self, points):
        h = self.body(points)
        sigma = self.activation(self.density(h))[..., 0]
        alpha = 1 - torch.exp(-sigma * 0.1)
        through = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1]], 1), 1)
        return ((alpha * through)[..., None] * torch.sigmoid(self.colour(h))).sum(1)


def _make(activation):
    torch.manual_seed(0)
    return Field(activation), torch.rand(64, 16, 3) * 2 - 1


def faulty():
    return _make(F.relu)


def healthy():
    return _make(F.softplus)
