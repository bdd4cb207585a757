"""A dense block without norms has Kaiming weights of mode fan_out.

Its convolutions have 8 channels out and up to 120 in, so that their weights are sqrt(in / out) too
large and gradients grow by 1.37 per convolution. fan_in helps.
Report: ClementPinard/FlowNetPytorch, issue 19; twtygqyy/pytorch-SRDenseNet, issue 2. The values
grow 50-fold and the loss is 497, with fan_in 0.9-fold and 0.29.
"""

import torch
from torch import nn
from torch.nn import functional as F

from troubles import Trouble

EXPECT = Trouble(
    kind="growth",
    rules=("gradient-explodes", "activation-explodes"),
    where="convs",
    words="weights",
    advice="fan_in|variance",
)


class Block(nn.Module):
    def __init__(self, width, growth, depth, mode):
        super().__init__()
        convs = [nn.Conv2d(width + i * growth, growth, 3, padding=1) for i in range(depth)]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(conv.get_parameter("bias"))
        self.convs = nn.ModuleList(convs)

    def forward(self, x):
        for conv in self.convs:
            x = torch.cat([x, F.relu(conv(x))], 1)
        return x


class Net(nn.Module):
    def __init__(self, mode, width=16, growth=8, depth=14):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")
        self.block = Block(width, growth, depth, mode)
        self.last = nn.Conv2d(width + growth * depth, 3, 1)

    def forward(self, x):
        return self.last(self.block(F.relu(self.stem(x))))


def _make(mode):
    torch.manual_seed(0)
    return Net(mode), torch.randn(16, 3, 16, 16)


def faulty():
    return _make("fan_out")


def healthy():
    return _make("fan_in")
