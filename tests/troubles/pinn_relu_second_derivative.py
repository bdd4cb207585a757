"""A network with ReLU is to solve u'' = f.

The network is piecewise linear, so that u'' is exactly 0 whatever the weights are: the residual is
-f, the loss a constant, and all gradients are 0. A smooth activation (tanh) helps.
Report: arXiv:2512.11184. The loss is 47.4726 before and after 300 steps of Adam; with tanh it falls
from 47.66 to 0.005.
"""

import torch
from torch import nn

from troubles import Trouble

EXPECT = Trouble(
    kind="moves",
    rules=("gradient-deleted", "gradient-cut"),
    where="net|relu|grad",
    words="second|derivative|piecewise|no gradient",
    advice="smooth|tanh|softplus",
)


class Poisson(nn.Module):
    def __init__(self, activation, width=64, depth=5):
        super().__init__()
        layers = [nn.Linear(1, width), activation()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), activation()]
        self.net = nn.Sequential(*layers, nn.Linear(width, 1, bias=False))
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)

    def u(self, x):
        ends = self.net(torch.tensor([[0.0], [1.0]]))
        return self.net(x) - (1 - x) * ends[0] - x * ends[1]

    def forward(self, x):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            u_x = torch.autograd.grad(self.u(x).sum(), x, create_graph=True)[0]
            u_xx = torch.autograd.grad(u_x.sum(), x, create_graph=True)[0]
        return u_xx + torch.pi**2 * torch.sin(torch.pi * x)


def loss(residual):
    return residual.square().mean()


def _make(activation):
    torch.manual_seed(0)
    return Poisson(activation), torch.rand(64, 1), {"loss": loss}


def faulty():
    return _make(nn.ReLU)


def healthy():
    return _make(nn.Tanh)
