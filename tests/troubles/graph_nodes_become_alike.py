"""A graph convolution network of 12 layers has no skips.

The mixing over neighbours leaves one direction: the mean cosine of a graph's nodes is 0.98 after
layer 3 and 1.00 after layer 7, while no value and no gradient vanishes. A tenth of the first
features in each layer helps (cosine 0.70 and 0.56).
Report: arXiv:1801.07606; arXiv:1905.10947; yl-1993/learn-to-cluster, issue 23.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("positions-collapse",),
    where="layers|matmul",
    words="position|node",
    advice="skip|first features",
)


class Layer(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.linear = nn.Linear(d, d, bias=False)
        nn.init.orthogonal_(self.linear.weight)

    def forward(self, mixed):
        return nn.functional.leaky_relu(self.linear(mixed), 0.5) * (2 / 1.25) ** 0.5


class Net(nn.Module):
    adjacency: torch.Tensor

    def __init__(self, share, d=48, nodes=32, depth=12):
        super().__init__()
        arms = torch.linspace(0.3, 1.0, nodes)  # from nodes of few edges to hubs
        edges = torch.rand(nodes, nodes) < (arms[:, None] * arms).square()
        edges = (edges | edges.T | torch.eye(nodes, dtype=torch.bool)).float()
        degree = edges.sum(1)
        self.register_buffer("adjacency", edges * degree[:, None] ** -0.5 * degree**-0.5)
        self.embed = nn.Linear(24, d)
        self.layers = nn.ModuleList(Layer(d) for _ in range(depth))
        self.head = nn.Linear(d, 7)
        self.share = share

    def forward(self, x):
        first = h = self.embed(x)
        for layer in self.layers:
            mixed = self.adjacency @ h
            if self.share:
                mixed = (1 - self.share) * mixed + self.share * first
            h = layer(mixed)
        return self.head(h)


def _make(share):
    torch.manual_seed(0)
    return Net(share), torch.randn(16, 32, 24)


def faulty():
    return _make(0.0)


def healthy():
    return _make(0.1)
